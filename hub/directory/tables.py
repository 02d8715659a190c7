"""Facilities, mailboxes, credentials, groups, invitations. Every visible change raises ``version``."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table

from hub.metadata import metadata

facilities = Table(
    "facilities",
    metadata,
    Column("facility", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("suspended", Boolean, nullable=False),
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
)

directory_version = Table(
    "directory_version",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
