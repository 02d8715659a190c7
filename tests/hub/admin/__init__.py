"""The hub's administration: services, roles, console."""
