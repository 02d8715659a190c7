"""Drafts and the files on their way into them. Times are UTC milliseconds."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from nodes.link.tables import metadata

drafts = Table(
    "desk_drafts",
    metadata,
    Column("id", String, primary_key=True, comment="UUID; the reference of the message that it becomes"),
    Column("owner", String, nullable=False, comment="name of an account"),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="JSON: nodes.desk.compose.content.Content"),
    Column("sent_id", LargeBinary, comment="the message's id once it was sent"),
)
Index("desk_drafts_owner", drafts.c.owner, drafts.c.changed_ms)

uploads = Table(
    "desk_uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("draft", ForeignKey("desk_drafts.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mark", String, nullable=False, comment="by which a browser knows the file again"),
    Column("received", BigInteger, nullable=False, comment="bytes that are durable"),
    Column(
        "part", String, nullable=False, comment="the file in drafts/ while it comes; empty once it is whole"
    ),
    Column("kept", String, nullable=False, comment="id in drafts/ once it is whole; empty before"),
    Column("position", Integer, nullable=False, comment="among the files of the draft"),
)
Index("desk_uploads_draft", uploads.c.draft, uploads.c.position)
