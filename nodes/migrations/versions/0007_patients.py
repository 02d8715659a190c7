"""Patients; passkeys and codes of the desk's users; the day of a department."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and indexes."""
    op.create_table(
        "desk_totp",
        sa.Column("name", sa.String(), nullable=False, comment="of the account"),
        sa.Column("secret", sa.String(), nullable=False, comment="base32"),
        sa.Column(
            "confirmed_ms",
            sa.BigInteger(),
            nullable=True,
            comment="since then a code is asked for; none: not yet",
        ),
        sa.Column(
            "last_step", sa.BigInteger(), nullable=False, comment="of 30 seconds: no code counts twice"
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "passkey_spent",
        sa.Column("challenge", sa.LargeBinary(), nullable=False, comment="SHA-256"),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge"),
    )
    op.create_index("passkey_spent_until", "passkey_spent", ["until_ms"], unique=False)
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
        sa.Column("used_ms", sa.BigInteger(), nullable=True, comment="the last time; none: never"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("passkeys_name", "passkeys", ["name"], unique=False)
    op.create_table(
        "patients",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("given", sa.String(), nullable=False),
        sa.Column("sex", sa.String(), nullable=False, comment="HL7 table 0001: F, M, O, U"),
        sa.Column("born", sa.String(), nullable=False, comment="YYYY-MM-DD; empty: not known"),
        sa.Column("nin", sa.String(), nullable=True, comment="18 digits; none: not known"),
        sa.Column("words", sa.String(), nullable=False, comment="names and numbers, folded, for search"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("nin"),
    )
    op.create_index("patients_words", "patients", ["words"], unique=False)
    op.create_table(
        "patient_numbers",
        sa.Column(
            "authority",
            sa.String(),
            nullable=False,
            comment="a facility's id, within which the value is unique",
        ),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("patient", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["patient"], ["patients.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("authority", "value"),
    )
    op.create_index(op.f("ix_patient_numbers_patient"), "patient_numbers", ["patient"], unique=False)
    op.create_index("desk_mail_received", "desk_mail", ["department", "received_ms"], unique=False)
    op.create_index("desk_sent_created", "desk_sent", ["department", "created_ms"], unique=False)
