"""The last checkpoint of the hub's audit log that this node witnessed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``checkpoint``."""
    op.create_table(
        "checkpoint",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False, comment="when it was looked at here"),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the hub's audit key"),
        sa.PrimaryKeyConstraint("one"),
        comment="of the hub's audit log: the last one that grew out of the one before",
    )
