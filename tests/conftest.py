"""What holds for every test: Hypothesis judges what code does, not how fast a shared machine is today."""

from hypothesis import HealthCheck, settings

settings.register_profile("wasl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wasl")
