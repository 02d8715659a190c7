"""The hub's schema, step by step; see ``runtime.migrations``."""

HEAD = "0012"
