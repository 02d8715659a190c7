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
        "addressbook",
        sa.Column("name", sa.String(), nullable=False, comment="facility id, or group name"),
        sa.Column("is_group", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False, comment="never goes down"),
        sa.Column(
            "revoked", sa.BigInteger(), nullable=False, comment="up to this serial nothing is believed again"
        ),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the authority, verified"),
        sa.Column(
            "earlier",
            sa.LargeBinary(),
            nullable=False,
            comment="the credential before it, while both are in use",
        ),
        sa.Column(
            "mailboxes",
            sa.LargeBinary(),
            nullable=False,
            comment="MessagePack: Mailbox list, or a group's members",
        ),
        sa.PrimaryKeyConstraint("name", "is_group"),
    )
    op.create_table(
        "alarms",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="cursors and moments: one number each",
    )
    op.create_table(
        "inbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="empty if body_path is set"),
        sa.Column("body_path", sa.String(), nullable=True, comment="relative to the home"),
        sa.Column("body_digest", sa.LargeBinary(), nullable=True, comment="of what is at body_path"),
        sa.Column(
            "content_digest",
            sa.LargeBinary(),
            nullable=False,
            comment="over what is handed on, checked when it is",
        ),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Integer(),
            nullable=False,
            comment="DELIVERED until the application took or refused it",
        ),
        sa.Column(
            "handed_ms", sa.BigInteger(), nullable=True, comment="when it was laid into the drop folder"
        ),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False, comment="our signed statement of delivery"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", "sender", "recipient", name="inbox_once"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "inbox_waiting",
        "inbox",
        ["recipient", sa.literal_column("priority DESC"), "seq"],
        unique=False,
        sqlite_where=sa.text("state = 3"),
        postgresql_where=sa.text("state = 3"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="see facts.OUTBOX_SEQ",
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.String(), nullable=True, comment="the sender's own key, if it gave one"),
        sa.Column(
            "put_digest", sa.LargeBinary(), nullable=False, comment="over all that the sender asked for"
        ),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="encoded once, signed at each sending"
        ),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="the content, sealed under content_key"
        ),
        sa.Column(
            "content_key",
            sa.LargeBinary(),
            nullable=False,
            comment="wrapped for the recipients at each sending",
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="over envelope and sealed"),
        sa.Column("files_total", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Integer(),
            nullable=False,
            comment="QUEUED, ACCEPTED or RETURNED: where the message is",
        ),
        sa.Column("settled", sa.Boolean(), nullable=False, comment="every recipient's state is final"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "outbox_queued",
        "outbox",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_table(
        "receipts",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "inbox_files",
        sa.Column("inbox_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.String(), nullable=False, comment="the plain bytes, relative to the home"),
        sa.ForeignKeyConstraint(["inbox_seq"], ["inbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("inbox_seq", "position"),
    )
    op.create_table(
        "outbox_files",
        sa.Column("outbox_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.String(), nullable=False, comment="the sealed chunks, relative to the home"),
        sa.Column(
            "chunks_sent", sa.BigInteger(), nullable=False, comment="for people who watch; the hub decides"
        ),
        sa.ForeignKeyConstraint(["outbox_seq"], ["outbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("outbox_seq", "position"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "outbox_history",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("outbox_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False, comment="empty: of the message as a whole"),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["outbox_seq"], ["outbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_outbox_history_outbox_seq"), "outbox_history", ["outbox_seq"], unique=False)
    op.create_table(
        "outbox_recipients",
        sa.Column("outbox_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False, comment="the application's answer, opened"),
        sa.Column("receipt", sa.LargeBinary(), nullable=False, comment="the last signed receipt"),
        sa.ForeignKeyConstraint(["outbox_seq"], ["outbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("outbox_seq", "recipient"),
    )
