"""What every process that speaks HTTP shares."""
