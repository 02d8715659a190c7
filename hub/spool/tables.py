"""Spool, ledger, events. Times are UTC milliseconds of the hub's clock, ids are 16 raw bytes."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, text

from hub.metadata import Sequence, metadata

ledger = Table(
    "ledger",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False, comment="in the order of acceptance"),
    Column("id", LargeBinary, nullable=False),
    Column("facility", String, nullable=False, comment="the sender's"),
    Column("digest", LargeBinary, nullable=False),
    Column("sender", String, nullable=False),
    Column("recipients", String, nullable=False, comment="space-separated addresses"),
    Column("kind", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("size", BigInteger, nullable=False, comment="sealed message and attachments, bytes"),
    Column("files", Integer, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
# The id comes first: it begins with the time, so the index grows at one end only.
Index("ledger_once", ledger.c.id, ledger.c.facility, unique=True)

# Who writes spool rows or events takes their numbers here, in the same transaction. So numbers are never used
# again, and become visible in their order, however many processes write: the row is locked until the commit.
numbers = Table(
    "numbers",
    metadata,
    Column("name", String, primary_key=True, comment="a table's name"),
    Column("last", BigInteger, nullable=False, comment="the number given out last"),
)

spool = Table(
    "spool",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("facility", String, nullable=False, comment="the recipient's"),
    Column("priority", Integer, nullable=False),
    Column("recipient", String, nullable=False),
    Column("sender", String, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("files", Integer, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False, comment="of the warning; once told, of the expiry"),
    Column("expires_ms", BigInteger, nullable=False),
    Column("message", LargeBinary, nullable=False, comment="the sealed message as it came"),
)
Index("spool_queue", spool.c.facility, spool.c.priority, spool.c.seq)
Index("spool_due", spool.c.due_ms)
Index("spool_files", spool.c.id, sqlite_where=text("files > 0"), postgresql_where=text("files > 0"))

events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=False),
    Column("facility", String, nullable=False, comment="the sender's: whom it is news for"),
    Column("id", LargeBinary, nullable=False),
    Column("recipient", String, nullable=False),
    Column("state", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("receipt", LargeBinary, nullable=False, comment="signed by the recipient's node, or empty"),
)
Index("events_news", events.c.facility, events.c.seq)
Index("events_once", events.c.id, events.c.facility, events.c.recipient, events.c.state, unique=True)

cursors = Table(
    "cursors",
    metadata,
    Column("facility", String, primary_key=True),
    Column("events_taken", BigInteger, nullable=False, comment="this seq and all before are at the node"),
)

presence = Table(
    "presence",
    metadata,
    Column("facility", String, primary_key=True),
    Column("connected", Boolean, nullable=False),
    Column("seen_ms", BigInteger, nullable=False, comment="when the present or last session began or ended"),
    Column(
        "seen_seq", BigInteger, nullable=False, comment="the last spool seq that its sessions may have seen"
    ),
    Column("software", String, nullable=False),
)
