"""Checkpoints of earlier hours: what the audit log of a hub that was restored is held against."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``checkpoints_kept``; it begins with the next checkpoint."""
    op.create_table(
        "checkpoints_kept",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("signed_ms", sa.BigInteger(), nullable=False, comment="by the hub's clock"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("evidence", sa.Boolean(), nullable=False, comment="the hub's log went back behind it"),
        sa.PrimaryKeyConstraint("seq"),
        comment="of the hub's audit log: the last one of each hour, and what a restored hub forgot",
        sqlite_autoincrement=True,
    )
