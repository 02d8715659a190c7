"""What all web processes share."""
