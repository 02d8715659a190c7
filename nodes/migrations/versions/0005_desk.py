"""The desk: who may sign in, departments, what people did with messages, and the audit log of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    (
        "CREATE TRIGGER desk_audit_never_changed BEFORE UPDATE ON desk_audit"
        " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
    (
        "CREATE TRIGGER desk_audit_never_removed BEFORE DELETE ON desk_audit"
        " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
)
POSTGRESQL_GUARDS = (
    (
        "CREATE FUNCTION desk_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER desk_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON desk_audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION desk_audit_append_only()"
    ),
)


def upgrade() -> None:
    """Make the tables, and have the database refuse changes of the log."""
    op.create_table(
        "desk_audit",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False, comment="user:NAME, cli:NAME or desk"),
        sa.Column("action", sa.String(), nullable=False, comment="dotted, message.opened"),
        sa.Column(
            "subject",
            sa.String(),
            nullable=False,
            comment="a message id, an account, a department, a patient",
        ),
        sa.Column("details", sa.String(), nullable=False, comment="JSON, hashed as it stands"),
        sa.Column("previous", sa.LargeBinary(), nullable=False, comment="hash of the entry before"),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("desk_audit_actor", "desk_audit", ["actor", "number"], unique=False)
    op.create_index("desk_audit_subject", "desk_audit", ["subject", "number"], unique=False)
    op.create_table(
        "desk_departments",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "version", sa.BigInteger(), nullable=False, comment="goes up with each change that lists show"
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "desk_members",
        sa.Column("department", sa.String(), nullable=False, comment="a mailbox of this facility"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("duty_until_ms", sa.BigInteger(), nullable=True, comment="on duty until then; none: not"),
        sa.PrimaryKeyConstraint("department", "name"),
    )
    op.create_index("desk_members_name", "desk_members", ["name"], unique=False)
    op.create_table(
        "desk_people",
        sa.Column("name", sa.String(), nullable=False, comment="of the account"),
        sa.Column(
            "title",
            sa.String(),
            nullable=False,
            comment="how colleagues and recipients see it: Dr Amina Benali",
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column(
            "who", sa.String(), nullable=False, comment="hash of a name and an address, or of an address"
        ),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("who"),
    )
    op.create_index("sign_in_tries_last", "sign_in_tries", ["last_ms"], unique=False)
    op.create_table(
        "users",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False, comment="argon2id"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("signed_in_ms", sa.BigInteger(), nullable=True, comment="the last time; none: never"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "web_sessions",
        sa.Column("token", sa.String(), nullable=False, comment="SHA-256 of what the browser holds"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.create_index("web_sessions_name", "web_sessions", ["name"], unique=False)
    op.create_table(
        "desk_mail",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column(
            "rank",
            sa.Integer(),
            nullable=False,
            comment="see nodes.desk.mail.store.Rank: lists go down from it",
        ),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("words", sa.String(), nullable=False, comment="what a search finds, folded"),
        sa.Column("thread", sa.LargeBinary(), nullable=False, comment="id of the message that it began with"),
        sa.Column("opened_ms", sa.BigInteger(), nullable=True),
        sa.Column("opened_by", sa.String(), nullable=True),
        sa.Column("assigned", sa.String(), nullable=True, comment="name of an account"),
        sa.ForeignKeyConstraint(["seq"], ["inbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("desk_mail_id", "desk_mail", ["id"], unique=False)
    op.create_index("desk_mail_order", "desk_mail", ["department", "rank", "seq"], unique=False)
    op.create_index("desk_mail_patient", "desk_mail", ["department", "patient", "seq"], unique=False)
    op.create_index("desk_mail_sender", "desk_mail", ["department", "sender", "seq"], unique=False)
    op.create_index("desk_mail_thread", "desk_mail", ["thread"], unique=False)
    op.create_table(
        "desk_sent",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False, comment="name of an account; empty: another door"),
        sa.Column("words", sa.String(), nullable=False, comment="what a search finds, folded"),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True, comment="when the first answer came"),
        sa.Column("answer_seq", sa.BigInteger(), nullable=True, comment="that answer in the inbox"),
        sa.ForeignKeyConstraint(["seq"], ["outbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("desk_sent_order", "desk_sent", ["department", "seq"], unique=False)
    op.create_index("desk_sent_thread", "desk_sent", ["thread"], unique=False)
    op.create_table(
        "openings",
        sa.Column("inbox_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_seq"], ["inbox.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("inbox_seq"),
        comment="what somebody opened at the desk: the daemon signs that, and takes the row away",
    )
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)
