"""The nodes's schema, step by step; see ``runtime.migrations``."""

HEAD = "0008"
