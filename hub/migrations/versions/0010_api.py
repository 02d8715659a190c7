"""Tokens of programs, and what they were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``api_tokens`` and ``api_answers``."""
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False, comment="user:NAME or cli:NAME"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), comment="the last time, to the minute; none: never"),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("hash"),
        comment="kept when they are over, so that a name in the journal stays one thing",
    )
    op.create_table(
        "api_answers",
        sa.Column("token", sa.String(), nullable=False, comment="its name"),
        sa.Column("key", sa.String(), nullable=False, comment="the Idempotency-Key"),
        sa.Column(
            "fingerprint", sa.LargeBinary(), nullable=False, comment="of the request, keyed with the token"
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("token", "key"),
        comment="what changing requests were answered, for a day",
    )
    op.create_index("api_answers_time", "api_answers", ["at_ms"])
