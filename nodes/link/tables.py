"""The node's schema. Times are UTC milliseconds, ids are 16 raw bytes, states are ``State`` numbers."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite's rowid is an INTEGER PRIMARY KEY and nothing else; elsewhere sequences are 64 bits.
_Sequence = BigInteger().with_variant(Integer, "sqlite")

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=False, comment="see facts.OUTBOX_SEQ"),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("key", String, unique=True, comment="the sender's own key, if it gave one"),
    Column("put_digest", LargeBinary, nullable=False, comment="over all that the sender asked for"),
    Column("sender", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("subject", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("envelope", LargeBinary, nullable=False, comment="encoded once, signed at each sending"),
    Column("sealed", LargeBinary, nullable=False, comment="the content, sealed under content_key"),
    Column("content_key", LargeBinary, nullable=False, comment="wrapped for the recipients at each sending"),
    Column("digest", LargeBinary, nullable=False, comment="over envelope and sealed"),
    Column("files_total", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("state", Integer, nullable=False, comment="QUEUED, ACCEPTED or RETURNED: where the message is"),
    Column("settled", Boolean, nullable=False, default=False, comment="every recipient's state is final"),
)
Index("outbox_queued", outbox.c.seq, sqlite_where=text("state = 0"), postgresql_where=text("state = 0"))

outbox_recipients = Table(
    "outbox_recipients",
    metadata,
    Column("outbox_seq", ForeignKey("outbox.seq", ondelete="CASCADE"), primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("state", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False, comment="the application's answer, opened"),
    Column("receipt", LargeBinary, nullable=False, comment="the last signed receipt"),
)

outbox_history = Table(
    "outbox_history",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("outbox_seq", ForeignKey("outbox.seq", ondelete="CASCADE"), nullable=False, index=True),
    Column("recipient", String, nullable=False, comment="empty: of the message as a whole"),
    Column("state", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("text", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

outbox_files = Table(
    "outbox_files",
    metadata,
    Column("outbox_seq", ForeignKey("outbox.seq", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("path", String, nullable=False, comment="the sealed chunks, relative to the home"),
    Column("chunks_sent", BigInteger, nullable=False, comment="for people who watch; the hub decides"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", LargeBinary, nullable=False),
    Column("sender", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("subject", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("key", String, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="empty if body_path is set"),
    Column("body_path", String, comment="relative to the home"),
    Column("body_digest", LargeBinary, comment="of what is at body_path"),
    Column(
        "content_digest", LargeBinary, nullable=False, comment="over what is handed on, checked when it is"
    ),
    Column("created_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("state", Integer, nullable=False, comment="DELIVERED until the application took or refused it"),
    Column("handed_ms", BigInteger, comment="when it was laid into the drop folder"),
    Column("code", String, nullable=False),
    Column("receipt", LargeBinary, nullable=False, comment="our signed statement of delivery"),
    Column("conclusion", LargeBinary, comment="our signed statement of what the application said"),
    Column("concluded_ms", BigInteger, comment="when it said so"),
    UniqueConstraint("id", "sender", "recipient", name="inbox_once"),
    sqlite_autoincrement=True,
)
Index(
    "inbox_waiting",
    inbox.c.recipient,
    inbox.c.priority.desc(),
    inbox.c.seq,
    sqlite_where=text("state = 3"),
    postgresql_where=text("state = 3"),
)

inbox_files = Table(
    "inbox_files",
    metadata,
    Column("inbox_seq", ForeignKey("inbox.seq", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("media_type", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("path", String, nullable=False, comment="the plain bytes, relative to the home"),
)

openings = Table(
    "openings",
    metadata,
    Column("inbox_seq", ForeignKey("inbox.seq", ondelete="CASCADE"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    comment="what somebody opened at the desk: the daemon signs that, and takes the row away",
)

receipts = Table(
    "receipts",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", LargeBinary, nullable=False),
    Column("sender", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("state", Integer, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

addressbook = Table(
    "addressbook",
    metadata,
    Column("name", String, primary_key=True, comment="facility id, or group name"),
    Column("is_group", Boolean, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("title", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("serial", BigInteger, nullable=False, comment="never goes down"),
    Column("revoked", BigInteger, nullable=False, comment="up to this serial nothing is believed again"),
    Column("statement", LargeBinary, nullable=False, comment="signed by the authority, verified"),
    Column("earlier", LargeBinary, nullable=False, comment="the credential before it, while both are in use"),
    Column(
        "mailboxes", LargeBinary, nullable=False, comment="MessagePack: Mailbox list, or a group's members"
    ),
    Column("kind", String, nullable=False, server_default=text("''")),
    Column("wilaya", Integer, nullable=False, server_default="0", comment="1 to 58; 0: not said"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="cursors and moments: one number each",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, comment="when it was looked at here"),
    Column("statement", LargeBinary, nullable=False, comment="signed by the hub's audit key"),
    comment="of the hub's audit log: the last one that grew out of the one before",
)

checkpoints_kept = Table(
    "checkpoints_kept",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("signed_ms", BigInteger, nullable=False, comment="by the hub's clock"),
    Column("size", BigInteger, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("evidence", Boolean, nullable=False, comment="the hub's log went back behind it"),
    comment="of the hub's audit log: the last one of each hour, and what a restored hub forgot",
    sqlite_autoincrement=True,
)

alarms = Table(
    "alarms",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("code", String, nullable=False),
    Column("text", String, nullable=False),
)
