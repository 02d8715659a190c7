"""What facilities in the address book are, and where."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add kind and wilaya; the hub tells them again with the next change of each entry."""
    op.add_column("addressbook", sa.Column("kind", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column(
        "addressbook",
        sa.Column("wilaya", sa.Integer(), nullable=False, server_default="0", comment="1 to 58; 0: not said"),
    )
