"""Credentials whose node has connected with a newer one."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``retired``: such a key opens no session any more."""
    op.add_column(
        "credentials",
        sa.Column(
            "retired", sa.Boolean(), nullable=False, server_default=sa.false(), comment="no more on the link"
        ),
    )
