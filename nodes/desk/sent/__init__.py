"""What a department sent: where it is, with time and place; what is late and why; what can be done."""
