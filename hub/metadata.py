"""The one schema that all rooms of the hub share."""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData()

# SQLite's rowid is an INTEGER PRIMARY KEY and nothing else; elsewhere sequences are 64 bits.
Sequence = BigInteger().with_variant(Integer, "sqlite")
