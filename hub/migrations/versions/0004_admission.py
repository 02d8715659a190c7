"""What a facility is and where; keys that wait until somebody has approved or signed them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add kind and wilaya, dates of issue, inviters, and the table ``requests``."""
    op.add_column("facilities", sa.Column("kind", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column(
        "facilities",
        sa.Column("wilaya", sa.Integer(), nullable=False, server_default="0", comment="1 to 58; 0: not said"),
    )
    op.add_column("credentials", sa.Column("issued_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column(
        "invitations", sa.Column("invited_by", sa.String(), nullable=False, server_default=sa.text("''"))
    )
    op.create_table(
        "requests",
        sa.Column("link_key", sa.LargeBinary(), nullable=False),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealing_key", sa.LargeBinary(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("invited_by", sa.String(), nullable=False, comment="who may not approve"),
        sa.Column("approved_by", sa.String(), nullable=False, comment="empty: nobody yet"),
        sa.Column(
            "proof",
            sa.LargeBinary(),
            nullable=False,
            comment="a renewal: signed with the key before; else empty",
        ),
        sa.ForeignKeyConstraint(["facility"], ["facilities.facility"]),
        sa.PrimaryKeyConstraint("link_key"),
        comment="keys that wait for a second administrator or for the authority's signature",
    )
