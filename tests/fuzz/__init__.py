"""Every parser of foreign bytes, under bytes that nobody should send."""
