"""Several hub processes on one database: who they are, and which has whose session."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``hubs``, and say in ``presence`` where a session is. No process runs meanwhile."""
    op.create_table(
        "hubs",
        sa.Column(
            "number",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="of one process only",
        ),
        sa.Column("name", sa.String(), nullable=False, comment="host and home, for people"),
        sa.Column("beats", sa.BigInteger(), nullable=False, comment="goes up while the process lives"),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.execute(
        "UPDATE presence SET connected = false,"
        " seen_seq = coalesce((SELECT max(seq) FROM spool), seen_seq) WHERE connected"
    )
    with op.batch_alter_table("presence") as presence:
        presence.add_column(
            sa.Column(
                "hub",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="number of the process that has its session, 0: none",
            )
        )
        presence.add_column(
            sa.Column(
                "claimed_seq",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="spool seq used up when it was taken from another",
            )
        )
    with op.batch_alter_table("presence") as presence:
        presence.alter_column("hub", existing_type=sa.BigInteger(), server_default=None)
        presence.alter_column("claimed_seq", existing_type=sa.BigInteger(), server_default=None)
    op.create_index("presence_claimed", "presence", ["claimed_seq"])
