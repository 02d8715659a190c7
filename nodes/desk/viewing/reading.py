"""What the page of a message is made from: the view of its body, its files, curves of earlier values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from nodes.desk.context import Desk
from nodes.desk.errors import NotThere
from nodes.desk.tables import mail
from nodes.desk.viewing import foreign
from nodes.desk.viewing.foreign import Foreign
from nodes.desk.viewing.history import MESSAGES, Curve, curves
from nodes.desk.viewing.message import View, view
from nodes.desk.viewing.people import Identity
from nodes.link import inbox
from nodes.link.inbox import Received
from protocols.errors import RemoteProtocolError
from protocols.hl7.header import find_header
from protocols.link.envelope import FILE_KIND

BODY_BYTES: Final = 24 * 1024 * 1024
"""A body larger than this is offered as a file."""
RESULTS: Final = ("ORU^", "OUL^")


@dataclass(frozen=True, slots=True)
class Reading:
    """A message that is read. ``view`` is None for a body that is no HL7, which then is among ``files``.

    ``fault`` says why an HL7 body cannot be shown, empty if it can. ``curves`` are by part and by result.
    """

    view: View | None
    fault: str
    files: tuple[Foreign, ...]
    curves: tuple[dict[str, Curve], ...]

    @property
    def everything(self) -> tuple[Foreign, ...]:
        """All files: those within the message, the body, attachments. Each time it looks what they are."""
        parts = self.view.files if self.view else ()
        return (*(foreign.part(parts, index) for index in range(len(parts))), *self.files)

    @property
    def identity(self) -> Identity | None:
        """Who the message is about, if it is about one person."""
        people = {part.identity for part in self.view.parts} if self.view else set()
        return next(iter(people)) if len(people) == 1 else None


def read(received: Received, home: Path, only: tuple[str, int] | None = None) -> Reading:
    """Read a message that arrived; raises Damaged, OSError. ``only``: of its files, none but this is read."""
    files = [
        foreign.attachment(received, index, home)
        for index in range(len(received.files))
        if only in (None, (foreign.FILE, index))
    ]
    size_bytes = size_of(received, home)
    if not size_bytes:
        return Reading(None, "", tuple(files), ())
    if size_bytes > BODY_BYTES:
        return Reading(None, f"{size_bytes} bytes", tuple(files), ())
    body = inbox.read_body(received, home)
    if received.kind != FILE_KIND or _is_hl7(body):
        try:
            shown = view(body, [file.name for file in received.files])
        except RemoteProtocolError as fault:
            text = str(fault)
        else:
            return Reading(shown, "", tuple(files), tuple({} for _ in shown.parts))
    else:
        text = ""
    if only in (None, (foreign.BODY, 0)):
        files.insert(0, foreign.body(body, received.subject))
    return Reading(None, text, tuple(files), ())


def size_of(received: Received, home: Path) -> int:
    """Return how long a message's body is; raises OSError."""
    return (home / received.body_path).stat().st_size if received.body_path else len(received.body)


def _is_hl7(body: bytes) -> bool:
    try:
        find_header(body)
    except RemoteProtocolError:
        return False
    return True


def with_curves(found: Reading, received: Received, earlier: list[Received], desk: Desk) -> Reading:
    """Return a reading with curves from earlier messages."""
    if found.view is None or not earlier:
        return found
    minutes = zone_minutes(desk.plan.zone, desk.clock.now_ms())
    drawn = curves(found.view.parts, received.sender, earlier, desk.home, minutes)
    return Reading(found.view, found.fault, found.files, drawn)


def zone_minutes(zone: str, now_ms: int) -> int:
    """Return how far a zone is from UTC now."""
    offset = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds() // 60) if offset else 0


def earlier_results(
    connection: Connection, departments: tuple[str, ...], received: Received
) -> list[Received]:
    """Return the latest other messages with results under the same patient number, in these departments.

    Only such as somebody has opened: showing a value of another is opening it, which its sender is told.
    """
    if not received.patient or not received.kind.startswith(RESULTS):
        return []
    query = (
        select(mail.c.seq)
        .where(
            mail.c.department.in_(departments),
            mail.c.patient == received.patient,
            mail.c.seq != received.seq,
            mail.c.opened_ms.is_not(None),
            mail.c.kind.like("ORU^%") | mail.c.kind.like("OUL^%"),
        )
        .order_by(mail.c.seq.desc())
        .limit(MESSAGES)
    )
    return [inbox.find_row(connection, seq) for seq in connection.execute(query).scalars()]


def find(received: Received, home: Path, source: str, index: int) -> tuple[Foreign, Identity | None]:
    """Return one file of a message and who the message is about; raises NotThere, Damaged, OSError."""
    outer = source.removeprefix(foreign.WITHIN)
    found = read(received, home, (outer, index))
    parts = found.view.files if found.view else ()
    one = foreign.part(parts, index) if outer == foreign.PART else next(iter(found.files), None)
    held = one if one is None or outer == source else foreign.within(one)
    if held is not None:
        return held, found.identity
    raise NotThere("no-such-file", f"the message has no {source} {index}")
