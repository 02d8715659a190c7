"""Keys of the network's own that take each other's place, who has followed, and who waits after a restore."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make ``trust``; let ``presence`` say how far a node has followed, and ``audit`` be read by action."""
    op.create_table(
        "trust",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Integer(), nullable=False, comment="1 link, 2 authority, 3 its end"),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="public"),
        sa.Column(
            "before", sa.LargeBinary(), nullable=False,
            comment="the key whose place it takes; of an end: the same",
        ),
        sa.Column(
            "statement", sa.LargeBinary(), nullable=False,
            comment="signed by the authority before; empty: waits",
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("announced_ms", sa.BigInteger(), nullable=True, comment="since when nodes are told"),
        sa.Column("finished", sa.Boolean(), nullable=False, comment="what came before counts no more"),
        sa.PrimaryKeyConstraint("serial"),
        comment="changes of the network's own keys, in order",
    )  # fmt: skip
    op.add_column(
        "presence",
        sa.Column(
            "trust",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="key changes that it follows",
        ),
    )
    op.add_column(
        "presence",
        sa.Column(
            "hub_key", sa.String(), nullable=False, server_default=sa.text("''"),
            comment="by which of the hub's link keys it called: fingerprint",
        ),
    )  # fmt: skip
    op.create_index("audit_action", "audit", ["action", "number"])
    op.add_column(
        "spool",
        sa.Column(
            "again_until_ms", sa.BigInteger(), nullable=False, server_default="0",
            comment="until then it may have been delivered before a restore; 0: no",
        ),
    )  # fmt: skip
    op.create_table(
        "knocks",
        sa.Column("link_key", sa.LargeBinary(), nullable=False),
        sa.Column("facility", sa.String(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False, comment="signed by the authority"),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link_key"),
        comment="nodes with a credential that a restored hub has forgotten: an administrator decides",
    )
