"""Drafts at the desk, and the files on their way into them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``desk_drafts`` and ``desk_uploads``."""
    op.create_table(
        "desk_drafts",
        sa.Column(
            "id", sa.String(), nullable=False, comment="UUID; the reference of the message that it becomes"
        ),
        sa.Column("owner", sa.String(), nullable=False, comment="name of an account"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="JSON: nodes.desk.compose.content.Content"
        ),
        sa.Column("sent_id", sa.LargeBinary(), nullable=True, comment="the message's id once it was sent"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("desk_drafts_owner", "desk_drafts", ["owner", "changed_ms"])
    op.create_table(
        "desk_uploads",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("draft", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False, comment="by which a browser knows the file again"),
        sa.Column("received", sa.BigInteger(), nullable=False, comment="bytes that are durable"),
        sa.Column(
            "part",
            sa.String(),
            nullable=False,
            comment="the file in drafts/ while it comes; empty once it is whole",
        ),
        sa.Column(
            "kept", sa.String(), nullable=False, comment="id in drafts/ once it is whole; empty before"
        ),
        sa.Column("position", sa.Integer(), nullable=False, comment="among the files of the draft"),
        sa.ForeignKeyConstraint(["draft"], ["desk_drafts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("desk_uploads_draft", "desk_uploads", ["draft", "position"])
