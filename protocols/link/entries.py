"""What the directory says of a facility or a group, as it travels in DIRECTORY and JOINED."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from protocols.link import limits
from protocols.link.envelope import Facility, Sequence


class Mailbox(Struct, array_like=True, frozen=True):
    """An address inside a facility."""

    name: Facility
    title: Annotated[str, Meta(max_length=limits.TITLE_CHARS)] = ""
    specialty: Annotated[str, Meta(max_length=limits.TITLE_CHARS)] = ""


class DirectoryEntry(Struct, array_like=True, frozen=True):
    """One facility or group. ``statements`` are signed by the authority; the rest is only for people."""

    version: Sequence
    name: Facility
    title: Annotated[str, Meta(max_length=limits.TITLE_CHARS)]
    active: bool
    statements: Annotated[
        tuple[Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)], ...], Meta(max_length=4)
    ]
    mailboxes: Annotated[tuple[Mailbox, ...], Meta(max_length=limits.MAILBOXES)] = ()
    kind: Annotated[str, Meta(max_length=limits.FACILITY_KIND_CHARS)] = ""
    wilaya: Annotated[int, Meta(ge=0, le=limits.WILAYA_MAX)] = 0
