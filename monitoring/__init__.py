"""What watches Wasl: rules and dashboards. ``python -m monitoring.dashboards`` writes the latter."""
