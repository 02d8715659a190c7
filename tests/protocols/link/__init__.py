"""The link protocol, both ends at once, and every way to get it wrong."""
