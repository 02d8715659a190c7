"""The tables of administration: who may sign in, which programs may ask, what waits for a second person."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from hub.metadata import metadata
from runtime.web.accounts import account_tables
from runtime.web.passkeys import passkey_tables

ACCOUNTS: Final = account_tables(metadata)
PASSKEYS: Final = passkey_tables(metadata)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("name", String, primary_key=True),
    Column("hash", String, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("role", String, nullable=False),
    Column("made_by", String, nullable=False, comment="user:NAME or cli:NAME"),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, comment="the last time, to the minute; none: never"),
    Column("revoked_ms", BigInteger),
    comment="kept when they are over, so that a name in the journal stays one thing",
)

api_answers = Table(
    "api_answers",
    metadata,
    Column("token", String, primary_key=True, comment="its name"),
    Column("key", String, primary_key=True, comment="the Idempotency-Key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="of the request, keyed with the token"),
    Column("at_ms", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="what changing requests were answered, for a day",
)
Index("api_answers_time", api_answers.c.at_ms)

discards = Table(
    "discards",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("facility", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("state", String, nullable=False, comment="open, done, refused or withdrawn"),
    Column("settled_by", String, nullable=False, comment="empty while it is open"),
    Column("settled_ms", BigInteger),
    Column("returned", Integer, nullable=False, comment="copies that went back"),
)

discard_copies = Table(
    "discard_copies",
    metadata,
    Column("number", ForeignKey("discards.number"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="of the spool row"),
    Column("id", LargeBinary, nullable=False),
    Column("sender", String, nullable=False),
    Column("recipient", String, nullable=False),
)
