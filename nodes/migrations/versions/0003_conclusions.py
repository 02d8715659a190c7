"""What was said of a received message is kept beside it, so that it can be said again after a restore."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the receipt of the conclusion and its time; what was concluded before has none."""
    with op.batch_alter_table("inbox") as inbox:
        inbox.add_column(
            sa.Column(
                "conclusion", sa.LargeBinary(), comment="our signed statement of what the application said"
            )
        )
        inbox.add_column(sa.Column("concluded_ms", sa.BigInteger(), comment="when it said so"))
