"""Queues that are held back, what waits for a second person, what is kept of links, what came back."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_CAME_BACK = sa.text("state IN (5, 6)")


def upgrade() -> None:
    """Make the tables, and the index of what came back."""
    op.create_table(
        "queue_pauses",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column(
            "held",
            sa.Boolean(),
            nullable=False,
            comment="its session sends nothing: presence.seen_seq is exact",
        ),
        sa.PrimaryKeyConstraint("facility"),
    )
    op.create_table(
        "queue_stops",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the spool row"),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="copies that are not sent, and what follows them in their lanes neither",
    )
    op.create_index("queue_stops_facility", "queue_stops", ["facility"])
    _make_discards()
    op.create_table(
        "link_sessions",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("began_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), comment="none: it lasts"),
        sa.Column("software", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False, comment="of the end"),
        sa.PrimaryKeyConstraint("facility", "began_ms"),
    )
    op.create_table(
        "link_faults",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False, comment="of the last time"),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("facility", "code"),
    )
    op.create_index(
        "events_came_back", "events", ["seq"], sqlite_where=_CAME_BACK, postgresql_where=_CAME_BACK
    )


def _make_discards() -> None:
    op.create_table(
        "discards",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, comment="open, done, refused or withdrawn"),
        sa.Column("settled_by", sa.String(), nullable=False, comment="empty while it is open"),
        sa.Column("settled_ms", sa.BigInteger()),
        sa.Column("returned", sa.Integer(), nullable=False, comment="copies that went back"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "discard_copies",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the spool row"),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["discards.number"]),
        sa.PrimaryKeyConstraint("number", "seq"),
    )
