"""Passkeys of the console's users, and the challenges that were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``passkeys`` and ``passkey_spent``."""
    op.create_table(
        "passkeys",
        sa.Column(
            "id", sa.LargeBinary(), nullable=False, comment="the credential's, as its authenticator chose it"
        ),
        sa.Column("name", sa.String(), nullable=False, comment="the user's"),
        sa.Column("label", sa.String(), nullable=False, comment="what the user calls it"),
        sa.Column("handle", sa.LargeBinary(), nullable=False, comment="for whom the authenticator keeps it"),
        sa.Column("public_key", sa.LargeBinary(), nullable=False, comment="COSE"),
        sa.Column(
            "uses", sa.BigInteger(), nullable=False, comment="the authenticator's own count; 0: it keeps none"
        ),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), comment="the last time; none: never"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("passkeys_name", "passkeys", ["name"])
    op.create_table(
        "passkey_spent",
        sa.Column("challenge", sa.LargeBinary(), nullable=False, comment="SHA-256"),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge"),
    )
    op.create_index("passkey_spent_until", "passkey_spent", ["until_ms"])
