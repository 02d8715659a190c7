"""The audit log's values: entries in a hash chain, the Merkle tree over them, checkpoints, countersignatures.

Pure, because three parties compute the same bytes: the hub that keeps the log, the nodes that witness it, and
whoever checks a receipt years later without either. ``docs/audit.md`` gives the formats byte for byte.
"""
