"""The commented sample settings files, found by ``config.load.sample``."""
