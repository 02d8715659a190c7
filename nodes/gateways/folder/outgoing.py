"""What lies in ``out/``: which files are ready, and what they say. Blocking; nothing is sent or moved here.

A file is *settled* when two looks, at least a poll apart, found the same size, time and inode: whoever writes
in place is then done, and whoever renames into place loses one poll. Control files come before HL7 files that
stand alone, each oldest first, so that within one kind the order of writing is the order of sending.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from crypto.primitives import blake2b
from nodes.gateways import drafting
from nodes.gateways.folder import bounds
from nodes.gateways.folder.control import SUFFIXES, Control, parse_control
from nodes.gateways.folder.places import Look, Place, Unfit
from nodes.link.files import Prepared, Source
from protocols.hl7.batch import split
from protocols.hl7.header import MAX_LEADING_BYTES

HL7_SUFFIXES: Final = (".hl7", ".er7")
UNFINISHED_SUFFIXES: Final = (".tmp", ".part")
_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at ``out/``: settled control files and HL7 files, oldest first, and what was seen of such.

    ``unclaimed`` is what is neither, and no control file names.
    """

    controls: tuple[str, ...]
    messages: tuple[str, ...]
    seen: Mapping[str, Look]
    unclaimed: Mapping[str, Look]


@dataclass(frozen=True, slots=True)
class Pair:
    """A control file with what it names, opened: a body read, everything else as streams."""

    control: Control
    raw: bytes
    body: bytes
    sources: tuple[Source, ...]


def scan(out: Place, before: Mapping[str, Look]) -> Scan:
    """Look at ``out/``; ``before`` is what the look before this one saw."""
    names = [name for name in out.names() if not name.startswith(".")]
    seen: dict[str, Look] = {}
    others: dict[str, Look] = {}
    for name in names:
        if (look := out.look(name)) is not None and not name.lower().endswith(UNFINISHED_SUFFIXES):
            (seen if name.lower().endswith(SUFFIXES + HL7_SUFFIXES) else others)[name] = look
    ready = sorted(
        (name for name, look in seen.items() if before.get(name) == look),
        key=lambda name: (seen[name].changed_ns, name),
    )
    controls = tuple(name for name in ready if name.lower().endswith(SUFFIXES))
    waiting = [name for name in seen if name.lower().endswith(SUFFIXES)]
    messages: tuple[str, ...] = ()
    unclaimed: dict[str, Look] = {}
    if len(waiting) <= bounds.TAKEN_A_TURN:  # else it is the control files' turn alone
        owned = _owned(out, waiting)
        unclaimed = {name: look for name, look in others.items() if name not in owned}
        messages = tuple(
            name
            for name in ready
            if name.lower().endswith(HL7_SUFFIXES) and name not in owned and _stem(name) not in owned
        )
    return Scan(controls, messages, seen, unclaimed)


def _owned(out: Place, controls: list[str]) -> set[str]:
    """Return the stems of control files, and the names that they name: none of these stands alone."""
    found: set[str] = set()
    for name in controls:
        found.add(_stem(name))
        with contextlib.suppress(Unfit, OSError):  # said when the control file's own turn comes
            found.update(parse_control(name, out.read(name, name, bounds.CONTROL_BYTES)).files)
    return found


def _stem(name: str) -> str:
    return PurePath(name).stem


@contextlib.contextmanager
def open_pair(out: Place, name: str) -> Iterator[Pair]:
    """Open the control file ``name`` and all that it names. Raises :class:`Unfit`."""
    raw = out.read(name, name, bounds.CONTROL_BYTES)
    control = parse_control(name, raw)
    named = control.files
    body = b""
    if control.payload is not None and _is_body(out, control, name):
        body = out.read(control.payload, name, bounds.PAYLOAD_BYTES)
        named = tuple(control.attachments)
    with contextlib.ExitStack() as stack:
        sources = []
        for attachment in named:
            file = stack.enter_context(out.open(attachment, name))
            media_type = mimetypes.guess_type(attachment)[0] or _UNKNOWN_TYPE
            title = attachment.encode("utf-8", "replace").decode("utf-8")
            sources.append(Source(title, media_type, file, os.fstat(file.fileno()).st_size))
        yield Pair(control, raw, body, tuple(sources))


def _is_body(out: Place, control: Control, name: str) -> bool:
    """Return whether the payload is HL7: by what it is, or by the kind that the control file gives."""
    assert control.payload is not None
    with out.open(control.payload, name) as file:
        start = file.read(MAX_LEADING_BYTES)
    return "^" in (control.kind or "") or drafting.is_hl7(start)


def key_of(pair: Pair, prepared: Prepared) -> str:
    """Return the sender's key, or one that the same control file with the same content has again."""
    if pair.control.id is not None:
        return pair.control.id
    digests = [file.named.digest for file in prepared.files if file.named]
    return "folder:" + blake2b(b"".join([blake2b(pair.raw), prepared.body_digest, *digests])).hex()


def is_another(out: Place, name: str, settled: Look) -> bool:
    """Return whether another file than the one that had ``settled`` lies under ``name``: it has to settle."""
    return out.look(name) not in (None, settled)


def leaving(out: Place, name: str, settled: Look, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of ``names`` leave now that ``name`` was put.

    Another file that lies there by now stays, and so does what it names.
    """
    if not is_another(out, name, settled):
        return names
    newer = {name} | _owned(out, [name])
    return tuple(file for file in names if file not in newer)


def companions(out: Place, name: str) -> tuple[str, ...]:
    """Return what leaves together with ``name`` when it fails: what it names, or else what shares its stem.

    The control file comes last, as it does everywhere.
    """
    if not name.lower().endswith(SUFFIXES):
        return (name,)
    try:
        named = parse_control(name, out.read(name, name, bounds.CONTROL_BYTES)).files
        found = [file for file in named if out.look(file) is not None]
    except Unfit:
        others = (file for file in out.names() if _stem(file) == _stem(name) and file != name)
        found = [file for file in others if not file.startswith(".") and not file.lower().endswith(SUFFIXES)]
    return (*found, name)


def read_messages(out: Place, name: str) -> list[bytes]:
    """Return the messages of an HL7 file, a batch taken apart. Raises Unfit or MalformedMessage."""
    return split(out.read(name, name, bounds.PAYLOAD_BYTES))
