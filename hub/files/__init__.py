"""The hub's attachment store: sealed chunks on disk, from the first byte of an upload to the last reader."""
