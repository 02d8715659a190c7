"""The processes that share the database."""

from sqlalchemy import BigInteger, Column, String, Table

from hub.metadata import metadata

hubs = Table(
    "hubs",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="of one process only"),
    Column("name", String, nullable=False, comment="host and home, for people"),
    Column("beats", BigInteger, nullable=False, comment="goes up while the process lives"),
    Column("started_ms", BigInteger, nullable=False),
)
