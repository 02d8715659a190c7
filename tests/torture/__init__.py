"""The long fault campaigns, behind ``make torture``."""
