"""The desk's tables: accounts, departments, what people did with messages, and the audit log.

``desk_mail`` and ``desk_sent`` have a row for each message of the inbox and the outbox, with what lists show
and search, so that no list reads bodies; they are caught up from those tables (:mod:`nodes.desk.catching`),
which stay the truth. Times are UTC milliseconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from nodes.link.tables import metadata
from runtime.append_only import guard
from runtime.web.accounts import account_tables
from runtime.web.passkeys import passkey_tables

ACCOUNTS = account_tables(metadata)
PASSKEYS = passkey_tables(metadata)

people = Table(
    "desk_people",
    metadata,
    Column("name", String, primary_key=True, comment="of the account"),
    Column("title", String, nullable=False, comment="how colleagues and recipients see it: Dr Amina Benali"),
)

members = Table(
    "desk_members",
    metadata,
    Column("department", String, primary_key=True, comment="a mailbox of this facility"),
    Column("name", String, primary_key=True),
    Column("duty_until_ms", BigInteger, comment="on duty until then; none: not"),
)
Index("desk_members_name", members.c.name)

departments = Table(
    "desk_departments",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", BigInteger, nullable=False, comment="goes up with each change that lists show"),
)

mail = Table(
    "desk_mail",
    metadata,
    Column("seq", ForeignKey("inbox.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("id", LargeBinary, nullable=False),
    Column("department", String, nullable=False),
    Column("rank", Integer, nullable=False, comment="see nodes.desk.mail.store.Rank: lists go down from it"),
    Column("sender", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("subject", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("words", String, nullable=False, comment="what a search finds, folded"),
    Column("thread", LargeBinary, nullable=False, comment="id of the message that it began with"),
    Column("opened_ms", BigInteger),
    Column("opened_by", String),
    Column("assigned", String, comment="name of an account"),
)
Index("desk_mail_order", mail.c.department, mail.c.rank, mail.c.seq)
Index("desk_mail_patient", mail.c.department, mail.c.patient, mail.c.seq)
Index("desk_mail_sender", mail.c.department, mail.c.sender, mail.c.seq)
Index("desk_mail_received", mail.c.department, mail.c.received_ms)
Index("desk_mail_thread", mail.c.thread)
Index("desk_mail_id", mail.c.id)

sent = Table(
    "desk_sent",
    metadata,
    Column("seq", ForeignKey("outbox.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("department", String, nullable=False),
    Column("by", String, nullable=False, comment="name of an account; empty: another door"),
    Column("words", String, nullable=False, comment="what a search finds, folded"),
    Column("thread", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("answered_ms", BigInteger, comment="when the first answer came"),
    Column("answer_seq", BigInteger, comment="that answer in the inbox"),
)
Index("desk_sent_order", sent.c.department, sent.c.seq)
Index("desk_sent_created", sent.c.department, sent.c.created_ms)
Index("desk_sent_thread", sent.c.thread)

totp = Table(
    "desk_totp",
    metadata,
    Column("name", String, primary_key=True, comment="of the account"),
    Column("secret", String, nullable=False, comment="base32"),
    Column("confirmed_ms", BigInteger, comment="since then a code is asked for; none: not yet"),
    Column("last_step", BigInteger, nullable=False, comment="of 30 seconds: no code counts twice"),
)

audit = Table(
    "desk_audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False, comment="user:NAME, cli:NAME or desk"),
    Column("action", String, nullable=False, comment="dotted, message.opened"),
    Column("subject", String, nullable=False, comment="a message id, an account, a department, a patient"),
    Column("details", String, nullable=False, comment="JSON, hashed as it stands"),
    Column("previous", LargeBinary, nullable=False, comment="hash of the entry before"),
    Column("hash", LargeBinary, nullable=False),
)
Index("desk_audit_subject", audit.c.subject, audit.c.number)
Index("desk_audit_actor", audit.c.actor, audit.c.number)
guard(audit)
