"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "cursors",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column(
            "events_taken", sa.BigInteger(), nullable=False, comment="this seq and all before are at the node"
        ),
        sa.PrimaryKeyConstraint("facility"),
    )
    op.create_table(
        "directory_version",
        sa.Column("one", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("facility", sa.String(), nullable=False, comment="the sender's: whom it is news for"),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "receipt", sa.LargeBinary(), nullable=False, comment="signed by the recipient's node, or empty"
        ),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("events_news", "events", ["facility", "seq"], unique=False)
    op.create_index("events_once", "events", ["id", "facility", "recipient", "state"], unique=True)
    op.create_table(
        "facilities",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("revocation", sa.LargeBinary(), nullable=False, comment="signed; empty if none"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("facility"),
    )
    op.create_table(
        "groups",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the authority"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "ledger",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="in the order of acceptance",
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("facility", sa.String(), nullable=False, comment="the sender's"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipients", sa.String(), nullable=False, comment="space-separated addresses"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="sealed message and attachments, bytes"),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ledger_once", "ledger", ["id", "facility"], unique=True)
    op.create_table(
        "numbers",
        sa.Column("name", sa.String(), nullable=False, comment="a table's name"),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="the number given out last"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "presence",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column(
            "seen_ms",
            sa.BigInteger(),
            nullable=False,
            comment="when the present or last session began or ended",
        ),
        sa.Column(
            "seen_seq",
            sa.BigInteger(),
            nullable=False,
            comment="the last spool seq that its sessions may have seen",
        ),
        sa.Column("software", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("facility"),
    )
    op.create_table(
        "spool",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("facility", sa.String(), nullable=False, comment="the recipient's"),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "due_ms", sa.BigInteger(), nullable=False, comment="of the warning; once told, of the expiry"
        ),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False, comment="the sealed message as it came"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("spool_due", "spool", ["due_ms"], unique=False)
    op.create_index(
        "spool_files",
        "spool",
        ["id"],
        unique=False,
        sqlite_where=sa.text("files > 0"),
        postgresql_where=sa.text("files > 0"),
    )
    op.create_index("spool_queue", "spool", ["facility", "priority", "seq"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("link_key", sa.LargeBinary(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the authority"),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["facility"], ["facilities.facility"]),
        sa.PrimaryKeyConstraint("facility", "serial"),
        sa.UniqueConstraint("link_key"),
    )
    op.create_table(
        "invitations",
        sa.Column("invitation", sa.LargeBinary(), nullable=False),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("psk", sa.LargeBinary(), nullable=False, comment="all that is kept of the secret"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_by", sa.LargeBinary(), nullable=True, comment="the link key that used it"),
        sa.ForeignKeyConstraint(["facility"], ["facilities.facility"]),
        sa.PrimaryKeyConstraint("invitation"),
    )
    op.create_table(
        "mailboxes",
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("specialty", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["facility"], ["facilities.facility"]),
        sa.PrimaryKeyConstraint("facility", "name"),
    )
