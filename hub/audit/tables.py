"""The audit log. The database itself refuses to change or remove an entry.

That refusal stops mistakes, not somebody who owns the file: him the hashes give away.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from hub.metadata import Sequence, metadata
from runtime.append_only import guard

audit = Table(
    "audit",
    metadata,
    Column("number", Sequence, primary_key=True, autoincrement=False, comment="from 1, without gaps"),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False, comment="user:NAME, cli:NAME, node:FACILITY or hub"),
    Column("action", String, nullable=False, comment="dotted, facility.invited"),
    Column("subject", String, nullable=False),
    Column("details", String, nullable=False, comment="JSON, hashed as it stands"),
    Column("previous", LargeBinary, nullable=False, comment="hash of the entry before"),
    Column("hash", LargeBinary, nullable=False),
)
Index("audit_time", audit.c.at_ms)
Index("audit_subject", audit.c.subject, audit.c.number)
Index("audit_action", audit.c.action, audit.c.number)

audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False, comment="which run of 2^level leaves"),
    Column("hash", LargeBinary, nullable=False),
    comment="complete subtrees of the Merkle tree over the entries; can be computed again",
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="entries 1 to this"),
    Column("at_ms", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("statement", LargeBinary, nullable=False, comment="signed by the hub's audit key"),
)

witnesses = Table(
    "witnesses",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="of the checkpoint"),
    Column("facility", String, primary_key=True),
    Column("serial", Integer, nullable=False, comment="of the credential whose key signed"),
    Column("at_ms", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

audit_batches = Table(
    "audit_batches",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="of the entry"),
    Column("ledger_first", BigInteger, nullable=False),
    Column("ledger_last", BigInteger, nullable=False, comment="one less than the first: none"),
    Column("events_first", BigInteger, nullable=False),
    Column("events_last", BigInteger, nullable=False),
    Column("leaves", LargeBinary, nullable=False, comment="32 bytes for each number: ledger, then events"),
    comment="what became of messages, as it was when it entered the log",
)
Index("audit_batches_ledger", audit_batches.c.ledger_last)
Index("audit_batches_events", audit_batches.c.events_last)
guard(audit)
