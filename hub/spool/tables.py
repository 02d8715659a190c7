"""Spool, ledger, events. Times are UTC milliseconds of the hub's clock, ids are 16 raw bytes."""

from typing import Final

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
    Column(
        "again_until_ms",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="until then it may have been delivered before a restore; 0: no",
    ),
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

# What came back, and how far behind it: the states are protocols.link.envelope's REFUSED and RETURNED. They
# stand in the text because a database uses a partial index only where it knows the values beforehand.
CAME_BACK: Final = "state IN (5, 6)"
Index(
    "events_came_back",
    events.c.seq,
    sqlite_where=text(CAME_BACK),
    postgresql_where=text(CAME_BACK),
)

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
    Column("hub", BigInteger, nullable=False, comment="number of the process that has its session, 0: none"),
    Column(
        "claimed_seq", BigInteger, nullable=False, comment="spool seq used up when it was taken from another"
    ),
    Column("trust", BigInteger, nullable=False, server_default="0", comment="key changes that it follows"),
    Column(
        "hub_key",
        String,
        nullable=False,
        server_default=text("''"),
        comment="by which of the hub's link keys it called: fingerprint",
    ),
)
Index("presence_claimed", presence.c.claimed_seq)

# A facility whose row is here gets nothing until the row goes; see hub.spool.holds.
queue_pauses = Table(
    "queue_pauses",
    metadata,
    Column("facility", String, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("held", Boolean, nullable=False, comment="its session sends nothing: presence.seen_seq is exact"),
)

queue_stops = Table(
    "queue_stops",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="of the spool row"),
    Column("facility", String, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", String, nullable=False),
    comment="copies that are not sent, and what follows them in their lanes neither",
)
Index("queue_stops_facility", queue_stops.c.facility)

link_sessions = Table(
    "link_sessions",
    metadata,
    Column("facility", String, primary_key=True),
    Column("began_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("ended_ms", BigInteger, comment="none: it lasts"),
    Column("software", String, nullable=False),
    Column("reason", String, nullable=False, comment="of the end"),
)

link_faults = Table(
    "link_faults",
    metadata,
    Column("facility", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("text", String, nullable=False, comment="of the last time"),
    Column("times", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
