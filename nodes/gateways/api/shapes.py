"""What is said over the API, both ways: each struct is a JSON object and a schema of the document.

Times are RFC 3339 in UTC; digests are BLAKE2b-256 in hexadecimal; bytes are base64.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crypto.identity import ID_PATTERN, MAX_ID_CHARS
from nodes.gateways.api import bounds
from nodes.gateways.drafting import utc_text
from nodes.link import inbox, tracking
from nodes.link.addressbook import Entry
from nodes.link.ids import id_text
from protocols.link import limits
from protocols.link.envelope import Priority, State

Mailbox = Annotated[str, Meta(max_length=MAX_ID_CHARS, pattern=f"^{ID_PATTERN}$")]
Identifier = Annotated[str, Meta(description="a UUID", min_length=32, max_length=45)]
Limit = Annotated[int, Meta(ge=1, le=bounds.LISTED)]
Word = Literal["queued", "accepted", "delayed", "delivered", "processed", "returned"]
Urgency = Literal["stat", "routine"]


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """A message to send. ``body`` is sent as UTF-8, ``body_base64`` as the bytes it stands for."""

    to: Annotated[
        list[Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)]],
        Meta(min_length=1, max_length=limits.RECIPIENTS, description="mailbox@facility, or name@group"),
    ]
    sender: Annotated[str, Meta(max_length=limits.ADDRESS_CHARS)] | None = None
    kind: Annotated[str, Meta(max_length=limits.KIND_CHARS)] | None = None
    subject: Annotated[str, Meta(max_length=limits.SUBJECT_CHARS)] = ""
    patient: Annotated[str, Meta(max_length=limits.PATIENT_CHARS)] = ""
    priority: Urgency = "routine"
    valid_for: Annotated[str, Meta(max_length=40, description="as in 5d or 36h")] | None = None
    id: Annotated[str, Meta(min_length=1, max_length=limits.KEY_CHARS)] | None = None
    body: str | None = None
    body_base64: bytes | None = None
    attachments: Annotated[list[Identifier], Meta(max_length=limits.ATTACHMENTS)] = []


class Put(Struct, frozen=True):
    """A message that was taken; ``fresh`` is false if it had been taken before under the same ``id``."""

    id: str
    state: Word
    fresh: bool


class Uploaded(Struct, frozen=True):
    """A file that waits for a message to attach it to, for a day."""

    upload: str
    name: str
    media_type: str
    size: int
    digest: str


class Acknowledgement(Struct, frozen=True, forbid_unknown_fields=True):
    """What the application did with a message; ``text`` goes to the sender."""

    outcome: Literal["processed", "refused"]
    text: Annotated[str, Meta(max_length=bounds.TEXT_CHARS)] = ""


class Acknowledged(Struct, frozen=True):
    """Where the message is now."""

    id: str
    to: str
    state: Word


class Step(Struct, frozen=True):
    """One line of a message's history; ``recipient`` is empty where the whole message is meant."""

    state: Word
    at: str
    recipient: str
    code: str
    text: str


class RecipientState(Struct, frozen=True):
    """Where one recipient's copy is; ``answer`` is what the application there said."""

    recipient: str
    state: Word
    code: str
    at: str
    answer: bytes


class Sent(Struct, frozen=True, rename={"sender": "from"}):
    """A message that was sent from here, and what became of it. ``reason`` says why it came back."""

    id: str
    key: str | None
    sender: str
    kind: str
    priority: Urgency
    subject: str
    patient: str
    created: str
    expires: str
    state: Word
    reason: str
    recipients: list[RecipientState]
    history: list[Step]


class SentList(Struct, frozen=True):
    """The messages sent last, newest first."""

    messages: list[Sent]


class Attachment(Struct, frozen=True):
    """A file of a received message; ``number`` is its place in the path."""

    number: int
    name: str
    media_type: str
    size: int
    digest: str


class Arrived(Struct, frozen=True, rename={"sender": "from"}):
    """A message that arrived; ``delivered`` until an application processed or refused it."""

    id: str
    sender: str
    to: str
    kind: str
    priority: Urgency
    subject: str
    patient: str
    created: str
    received: str
    state: Word
    attachments: list[Attachment]


class ArrivedList(Struct, frozen=True):
    """Messages that arrived, oldest first."""

    messages: list[Arrived]


class DirectoryMailbox(Struct, frozen=True):
    """An address inside a facility."""

    name: str
    title: str
    specialty: str


class DirectoryEntry(Struct, frozen=True):
    """A facility with its mailboxes, or a group with its members."""

    name: str
    is_group: bool
    title: str
    active: bool
    mailboxes: list[DirectoryMailbox]
    members: list[str]


class Directory(Struct, frozen=True):
    """Everybody who can be written to; version 0 before the hub has told."""

    version: int
    entries: list[DirectoryEntry]


class Status(Struct, frozen=True):
    """How the node is."""

    facility: str
    hub: str
    connected: bool
    directory_version: int
    queued: int
    oldest_queued: str | None
    free_bytes: int
    floor_bytes: int


class SentQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the sent messages."""

    limit: Limit = 50
    unsettled: bool = False


class InboxQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the messages that arrived."""

    mailbox: Mailbox | None = None
    state: Literal["delivered", "processed", "returned"] | None = None
    limit: Limit = 50


class OneQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose copy, where a message came to several mailboxes here."""

    mailbox: Mailbox | None = None


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file is called; made harmless if need be."""

    name: Annotated[str, Meta(min_length=1, max_length=limits.FILE_NAME_CHARS)] = "file"


def sent(one: tracking.Sent) -> Sent:
    """Return a message of ours as the API shows it."""
    return Sent(
        id=id_text(one.id), key=one.key, sender=one.sender, kind=one.kind, priority=_urgency(one.priority),
        subject=one.subject, patient=one.patient, created=utc_text(one.created_ms),
        expires=utc_text(one.expires_ms), state=word(one.state), reason=one.reason,
        recipients=[
            RecipientState(r.recipient, word(r.state), r.code, utc_text(r.at_ms), r.answer)
            for r in one.recipients
        ],
        history=[Step(word(m.state), utc_text(m.at_ms), m.recipient, m.code, m.text) for m in one.history],
    )  # fmt: skip


def arrived(one: inbox.Received) -> Arrived:
    """Return a received message as the API shows it."""
    return Arrived(
        id=id_text(one.id), sender=one.sender, to=one.recipient, kind=one.kind,
        priority=_urgency(one.priority), subject=one.subject, patient=one.patient,
        created=utc_text(one.created_ms),
        received=utc_text(one.received_ms), state=word(one.state),
        attachments=[
            Attachment(number, file.name, file.media_type, file.size, file.digest.hex())
            for number, file in enumerate(one.files, 1)
        ],
    )  # fmt: skip


def directory(version: int, entries: list[Entry]) -> Directory:
    """Return the directory as the API shows it."""
    return Directory(
        version,
        [
            DirectoryEntry(
                entry.name, entry.is_group, entry.title, entry.active,
                [DirectoryMailbox(box.name, box.title, box.specialty) for box in entry.mailboxes],
                list(entry.members),
            )
            for entry in entries
        ],
    )  # fmt: skip


def word(state: State) -> Word:
    """Return a state as commands and the API call it."""
    return state.word  # type: ignore[return-value]  # the words of State are those of Word, by test


def _urgency(priority: Priority) -> Urgency:
    return "stat" if priority is Priority.STAT else "routine"
