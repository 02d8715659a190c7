"""Facilities, mailboxes, keys, what waits, groups, codes. Every visible change raises ``version``."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
    text,
)

from hub.metadata import metadata

facilities = Table(
    "facilities",
    metadata,
    Column("facility", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("kind", String, nullable=False, server_default=text("''")),
    Column("wilaya", Integer, nullable=False, server_default="0", comment="1 to 58; 0: not said"),
    Column("revocation", LargeBinary, nullable=False, comment="signed; empty if none"),
    Column("created_ms", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("facility", ForeignKey("facilities.facility"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("specialty", String, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("facility", ForeignKey("facilities.facility"), primary_key=True),
    Column("serial", Integer, primary_key=True),
    Column("link_key", LargeBinary, nullable=False, unique=True),
    Column("statement", LargeBinary, nullable=False, comment="signed by the authority"),
    Column("revoked", Boolean, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("issued_ms", BigInteger, nullable=False, server_default="0"),
    Column("retired", Boolean, nullable=False, server_default=false(), comment="no more on the link"),
)

groups = Table(
    "groups",
    metadata,
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("serial", Integer, nullable=False),
    Column("statement", LargeBinary, nullable=False, comment="signed by the authority"),
    Column("active", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("invitation", LargeBinary, primary_key=True),
    Column("facility", ForeignKey("facilities.facility"), nullable=False),
    Column("psk", LargeBinary, nullable=False, comment="all that is kept of the secret"),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_by", LargeBinary, comment="the link key that used it"),
    Column("invited_by", String, nullable=False, server_default=text("''")),
)

requests = Table(
    "requests",
    metadata,
    Column("link_key", LargeBinary, primary_key=True),
    Column("facility", ForeignKey("facilities.facility"), nullable=False),
    Column("signing_key", LargeBinary, nullable=False),
    Column("sealing_key", LargeBinary, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("invited_by", String, nullable=False, comment="who may not approve"),
    Column("approved_by", String, nullable=False, comment="empty: nobody yet"),
    Column("proof", LargeBinary, nullable=False, comment="a renewal: signed with the key before; else empty"),
    comment="keys that wait for a second administrator or for the authority's signature",
)

knocks = Table(
    "knocks",
    metadata,
    Column("link_key", LargeBinary, primary_key=True),
    Column("facility", String, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("statement", LargeBinary, nullable=False, comment="signed by the authority"),
    Column("seen_ms", BigInteger, nullable=False),
    comment="nodes with a credential that a restored hub has forgotten: an administrator decides",
)

trust = Table(
    "trust",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Integer, nullable=False, comment="1 link, 2 authority, 3 its end"),
    Column("key", LargeBinary, nullable=False, comment="public"),
    Column(
        "before", LargeBinary, nullable=False, comment="the key whose place it takes; of an end: the same"
    ),
    Column("statement", LargeBinary, nullable=False, comment="signed by the authority before; empty: waits"),
    Column("at_ms", BigInteger, nullable=False),
    Column("announced_ms", BigInteger, comment="since when nodes are told"),
    Column("finished", Boolean, nullable=False, comment="what came before counts no more"),
    comment="changes of the network's own keys, in order",
)

policies = Table(
    "policies",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("author", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("note", String, nullable=False),
    Column("text", String, nullable=False, comment="TOML, as it was given"),
    comment="every policy that was ever applied; the highest number holds",
)

directory_version = Table(
    "directory_version",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
