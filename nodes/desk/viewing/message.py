"""A message for people: whom it is about, and its blocks.

One message may be about several patients (a laboratory's batch): each gets a part of its own, and the page
says so first, since a value read under the wrong name is worse than none. The kind of message (MSH-9) chooses
the view; a kind without one is shown by its segments.

:func:`view` takes bytes from strangers and raises nothing but :class:`~protocols.errors.RemoteProtocolError`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from flask_babel import lazy_gettext as _

from nodes.desk.viewing import embedded, orders, results
from nodes.desk.viewing.blocks import Block, Notice, SegmentRows
from nodes.desk.viewing.people import Identity, from_pid
from nodes.desk.viewing.segments import segment_rows
from nodes.desk.viewing.written import Line
from protocols.hl7.catalogue import kind_of
from protocols.hl7.composing.parts import ATTACHMENT
from protocols.hl7.er7 import Message
from protocols.hl7.moments import Moment

PARTS: Final = 200
"""Patients of one message that are shown; of more the page says that they are left out."""
_POINTER: Final = [ATTACHMENT.code, ATTACHMENT.text, ATTACHMENT.system]
"""OBX-3 of what the desk writes for each file that it sends beside a message."""
_Show = Callable[[Sequence[Line]], list[Block]]


def _result_blocks(lines: Sequence[Line]) -> list[Block]:
    found: list[Block] = list(results.panels(lines))
    return found


_BY_CODE: Final[dict[str, _Show]] = {
    "ORU": _result_blocks, "OUL": _result_blocks,
    "OML": orders.order_blocks, "ORL": orders.order_blocks, "OMG": orders.order_blocks,
    "ORG": orders.order_blocks, "ORM": orders.order_blocks, "ORR": orders.order_blocks,
    "OMI": orders.order_blocks, "ORI": orders.order_blocks,
    "REF": orders.referral_blocks, "RRI": orders.referral_blocks,
    "MDM": orders.document_blocks, "ADT": orders.movement_blocks,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What a message says about one patient; ``identity`` is None where it names nobody."""

    identity: Identity | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A message as it is shown: its kind, when it was written, what to know first, its parts, its files."""

    kind: str
    sent: Moment | str
    notices: tuple[Notice, ...]
    parts: tuple[Part, ...]
    files: tuple[embedded.EmbeddedFile, ...]


def view(raw: bytes, attached: Collection[str] = ()) -> View:
    """Return the view of an HL7 message; ``attached`` are the names of the files beside it.

    Where a desk's message points to one of them, nothing is shown: the page lists the file itself.
    """
    message = Message(raw)
    kind = kind_of(message.header)
    held = embedded.held(message)
    numbers: dict[int, list[int]] = {}
    for number, (segment, _value) in enumerate(held[: embedded.FILES]):
        numbers.setdefault(id(segment), []).append(number)
    lines = [Line(message, segment, tuple(numbers.get(id(segment), ()))) for segment in message.segments]
    names = frozenset(" ".join(name.split()) for name in attached)
    lines = [
        one
        for one, following in zip(lines, (*lines[1:], None), strict=True)
        if not _points(one, names) or (following is not None and following.name == "NTE")
    ]
    show = _BY_CODE.get(kind.partition("^")[0])
    people = _by_patient(lines)
    parts = tuple(_part(each, show) for each in people[:PARTS])
    return View(
        kind=kind,
        sent=lines[0].moment(7),
        notices=(*_left_out(len(people), len(held)), *_notices(message, parts, show is not None)),
        parts=parts,
        files=tuple(embedded.file_of(message, *one) for one in held[: embedded.FILES]),
    )


def every_field(raw: bytes) -> tuple[list[SegmentRows], int]:
    """Return an HL7 message as it stands, and how many segments it has; raises as :func:`view` does."""
    message = Message(raw)
    rows = segment_rows(Line(message, segment) for segment in message.segments)
    return rows, len(message.segments)


def _points(one: Line, names: Collection[str]) -> bool:
    """Whether an OBX is a desk's pointer to one of these files, and says nothing else."""
    return (
        one.name == "OBX"
        and one.code(2) == "RP"
        and one.parts(one.first(3)) == _POINTER
        and len(one.raw(5)) == 1
        and one.text(5) in names
    )


def _by_patient(lines: list[Line]) -> list[list[Line]]:
    """Cut a message at each PID; what stands before the first one belongs to it."""
    found: list[list[Line]] = [[]]
    for one in lines:
        if one.name == "PID" and any(each.name == "PID" for each in found[-1]):
            found.append([])
        found[-1].append(one)
    return found


def _part(lines: list[Line], show: _Show | None) -> Part:
    pid = next((one for one in lines if one.name == "PID"), None)
    identity = None if pid is None else from_pid(pid)
    return Part(identity, () if show is None else tuple(show(lines)))


def _left_out(people: int, files: int) -> list[Notice]:
    """Return what is said of a message with more patients or files than are shown."""
    title = _("Not all of it is shown")
    found = []
    if people > PARTS:
        text = _("Of its %(count)s patients, the first %(shown)s are here.", count=people, shown=PARTS)
        found.append(Notice("warn", title, text))
    if files > embedded.FILES:
        text = _("Of its %(count)s files, the first %(shown)s are here.", count=files, shown=embedded.FILES)
        found.append(Notice("warn", title, text))
    return found


def _notices(message: Message, parts: Sequence[Part], has_view: bool) -> list[Notice]:
    found = []
    people = {part.identity for part in parts if part.identity is not None}
    if len(people) > 1:
        found.append(
            Notice(
                "warn",
                _("Several patients"),
                _("This message is about more than one patient: see each name."),
            )
        )
    decoded = message.charset
    if not decoded.certain and decoded.note:
        found.append(
            Notice(
                "info",
                _("Letters may be wrong"),
                _("The sender did not say, or said wrongly, how its letters are written; they were guessed."),
            )
        )
    if not has_view:
        found.append(
            Notice("info", _("Shown as it was sent"), _("This kind of message has no page of its own."))
        )
    return found
