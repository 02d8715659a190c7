"""Floods against a real hub, and what they do to the others' messages."""
