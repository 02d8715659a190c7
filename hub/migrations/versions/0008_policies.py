"""Policies with their history."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``policies``; until one is applied, that of hub.toml holds."""
    op.create_table(
        "policies",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False, comment="TOML, as it was given"),
        sa.PrimaryKeyConstraint("number"),
        comment="every policy that was ever applied; the highest number holds",
    )
