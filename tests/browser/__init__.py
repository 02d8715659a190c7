"""Pages in a real Chromium, served by the real process on a hub with made data."""
