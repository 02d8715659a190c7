"""What is laid into ``in/``, in three steps that a crash may fall between. Blocking.

1. :func:`stage`: payload and attachments get their names, then the control file is written under a name
   that begins with a dot. Nobody takes it for a message yet; done again, it is the same files.
2. The inbox notes the message as handed out (a commit), unless another door concluded it meanwhile.
3. :func:`show`: the control file gets its real name. A crash or trouble before it is repaired by
   :func:`show_staged`.

So a message is *taken* if it was handed out and neither of the two names is there. That holds only while
``in/`` is the directory that we wrote into: :data:`MARKER` in it says so, and without the marker nothing is
laid out and nothing counts as taken.

Names are ``SEQUENCE-ID``: unique whatever a sender claims, and in their order the messages came.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from nodes.gateways.drafting import utc_text
from nodes.gateways.folder import bounds
from nodes.gateways.folder.places import Place
from nodes.gateways.naming import SNIFFED_BYTES, body_suffix
from nodes.link import inbox
from nodes.link.errors import Damaged, NoRoom
from nodes.link.files import safe_name
from nodes.link.ids import id_text
from nodes.link.inbox import Received

MARKER: Final = ".wasl"
_MARKER_TEXT: Final = b"Wasl lays messages into this directory. Do not remove this file.\n"
CONTROL_SUFFIX: Final = ".json"
_SEQUENCE_DIGITS: Final = 10
_NAME_BYTES: Final = 140


class ArrivedFile(Struct, frozen=True):
    """An attachment: ``name`` as its sender called it, ``file`` as it is called here. Digest: BLAKE2b-256."""

    name: str
    file: str
    media_type: str
    size: int
    digest: str


class Arrived(Struct, frozen=True, rename={"sender": "from"}):
    """The control file of an arrival. ``payload`` is None if the message has no body."""

    id: str
    sequence: int
    sender: str
    to: str
    kind: str
    subject: str
    patient: str
    priority: str
    created: str
    received: str
    payload: str | None
    attachments: tuple[ArrivedFile, ...]


def stem(seq: int, identifier: bytes) -> str:
    """Return what the names of a message's files begin with."""
    return f"{seq:0{_SEQUENCE_DIGITS}d}-{id_text(identifier)}"


def is_ours(place: Place) -> bool:
    """Whether ``in/`` carries our marker."""
    return place.look(MARKER) is not None


def mark(place: Place) -> None:
    """Make ``in/`` ours; from now on what is handed out and does not lie in it counts as taken."""
    place.write(MARKER, [_MARKER_TEXT])
    place.sync()


def stage(place: Place, received: Received, home: Path, floor_bytes: int) -> None:
    """Write everything but the control file's real name; durable. Raises NoRoom, Damaged, OSError."""
    needed = len(received.body) + sum(file.size for file in received.files)
    if received.body_path is not None:
        with _stored(home / received.body_path) as body:
            needed += os.fstat(body.fileno()).st_size
    if place.free_bytes() - needed < floor_bytes:
        raise NoRoom("no-room", f"in/ needs {needed} bytes more and {floor_bytes} must stay free: make room")
    start = stem(received.seq, received.id)
    payload = None
    if received.body or received.body_path is not None:
        payload = start + _payload_suffix(received, home)
        place.write(payload, inbox.body_pieces(received, home))
    else:
        inbox.read_body(received, home)  # there is none, but what goes with it is checked
    files = []
    for number, file in enumerate(received.files, 1):
        name = f"{start}-{number}-{_short(file.name)}"
        place.write(name, inbox.file_pieces(file, home))
        files.append(ArrivedFile(file.name, name, file.media_type, file.size, file.digest.hex()))
    place.sync()
    control = _control(received, payload, tuple(files))
    place.write(_staged(start), [msgspec.json.format(msgspec.json.encode(control), indent=2) + b"\n"])
    place.sync()


def unstage(place: Place, seq: int, identifier: bytes) -> None:
    """Remove the control file of what is not handed out after all; its other files become leftovers."""
    place.remove(_staged(stem(seq, identifier)))


def show(place: Place, seq: int, identifier: bytes) -> None:
    """Give the staged control file its real name; durable."""
    start = stem(seq, identifier)
    place.rename(_staged(start), start + CONTROL_SUFFIX)
    place.sync()


def show_staged(place: Place, handed: list[tuple[int, bytes]]) -> None:
    """Show what was handed out and not shown, because of a crash or trouble in between."""
    names = set(place.names())
    for seq, identifier in handed:
        if _staged(stem(seq, identifier)) in names:
            show(place, seq, identifier)


def hide(place: Place, handed: list[tuple[int, bytes]]) -> None:
    """Remove the control files of what will be laid out anew; durable."""
    for seq, identifier in handed:
        place.remove(stem(seq, identifier) + CONTROL_SUFFIX)
    place.sync()


def still_there(place: Place, starts: dict[int, str]) -> set[int]:
    """Return which of ``starts`` (seq and stem) have a control file, shown or staged."""
    names = set(place.names())
    if len(names) < bounds.ENTRIES:
        return {seq for seq, start in starts.items() if {start + CONTROL_SUFFIX, _staged(start)} & names}
    return {  # too many names to have seen all
        seq
        for seq, start in starts.items()
        if place.look(start + CONTROL_SUFFIX) is not None or place.look(_staged(start)) is not None
    }


def _staged(start: str) -> str:
    return f".{start}{CONTROL_SUFFIX}.staged"


def _short(name: str) -> str:
    safe = safe_name(name)
    while len(safe.encode("utf-8")) > _NAME_BYTES:
        safe = safe[1:]  # the end says what kind of file it is
    return safe.lstrip(".") or "file"


def _control(received: Received, payload: str | None, files: tuple[ArrivedFile, ...]) -> Arrived:
    return Arrived(
        id_text(received.id), received.seq, received.sender, received.recipient, received.kind,
        received.subject, received.patient, received.priority.name.lower(), utc_text(received.created_ms),
        utc_text(received.received_ms), payload, files,
    )  # fmt: skip


def _payload_suffix(received: Received, home: Path) -> str:
    start = received.body[:SNIFFED_BYTES]
    if received.body_path is not None:
        with _stored(home / received.body_path) as file:
            start = file.read(SNIFFED_BYTES)
    return body_suffix(start)


def _stored(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Damaged("damaged", f"{path} is not there any more, though a message needs it") from None
