"""The Merkle tree over the audit log, its checkpoints and witnesses, and what became of messages in it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _number(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False, comment=comment)


def upgrade() -> None:
    """Make four tables."""
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        _number("at", "which run of 2^level leaves"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "at"),
        comment="complete subtrees of the Merkle tree over the entries; can be computed again",
    )
    op.create_table(
        "checkpoints",
        _number("size", "entries 1 to this"),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the hub's audit key"),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "witnesses",
        _number("size", "of the checkpoint"),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False, comment="of the credential whose key signed"),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", "facility"),
    )
    op.create_table(
        "audit_batches",
        _number("number", "of the entry"),
        sa.Column("ledger_first", sa.BigInteger(), nullable=False),
        sa.Column("ledger_last", sa.BigInteger(), nullable=False, comment="one less than the first: none"),
        sa.Column("events_first", sa.BigInteger(), nullable=False),
        sa.Column("events_last", sa.BigInteger(), nullable=False),
        sa.Column(
            "leaves",
            sa.LargeBinary(),
            nullable=False,
            comment="32 bytes for each number: ledger, then events",
        ),
        sa.PrimaryKeyConstraint("number"),
        comment="what became of messages, as it was when it entered the log",
    )
    op.create_index("audit_batches_ledger", "audit_batches", ["ledger_last"])
    op.create_index("audit_batches_events", "audit_batches", ["events_last"])
