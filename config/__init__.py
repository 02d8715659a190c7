"""Settings: typed values, read from TOML with every fault reported at once, and commented samples."""
