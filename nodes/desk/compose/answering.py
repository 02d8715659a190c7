"""Drafts that begin with a message that arrived: an answer to it, or the message passed on.

Both name the message by its reference (:mod:`protocols.hl7.composing.references`), or by its id if it has
none, and take over the patient. An answer goes back to where the message came from, and stays in its
conversation. A message that is passed on takes its files along, and the message itself as a file: the next
reader sees the original, from whom it came, and a word of who passed it on.

Of a message about several patients none is taken over: whom the answer is about is entered by hand. What is
passed on is all of what arrived, compared with what arrived, or no draft is begun. Both are readings, and
entries of the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from flask_babel import gettext
from sqlalchemy import Connection

from nodes.desk import audit, heavy
from nodes.desk.compose import bounds, receiving, service
from nodes.desk.compose.content import Content, Kind, one_line
from nodes.desk.compose.store import Draft
from nodes.desk.context import Desk, Visitor
from nodes.desk.errors import DeskRefused
from nodes.desk.mail import service as mail
from nodes.desk.mail.store import Mail
from nodes.desk.roles import sends
from nodes.desk.viewing import reading
from nodes.desk.viewing.reading import BODY_BYTES
from nodes.link import inbox
from nodes.link.errors import Damaged
from nodes.link.ids import id_text
from nodes.link.inbox import Received
from protocols.hl7.composing.references import references_of
from protocols.hl7.er7 import Message, Segment
from protocols.hl7.errors import MalformedMessage
from protocols.link import limits
from protocols.link.envelope import facility_of
from protocols.parties import NATIONAL, NATIONAL_KIND, Sex
from runtime.web import languages

HEAD_BYTES: Final = 65_536
"""References are looked for in this much of a message that is too large to be shown, and no patient."""
ANSWERS: Final = {"OML": Kind.RESULT, "REF": Kind.ADVICE, "MDM": Kind.ADVICE}
ORIGINAL: Final = "original"
_DATE_DIGITS: Final = 8


def begin(desk: Desk, who: Visitor, seq: int, *, forward: bool) -> Draft:
    """Begin a draft from message ``seq``, which somebody of the department has opened.

    Raises NotThere; DeskRefused (too-many-drafts, too-many-files, busy); Damaged, OSError (one passed on is
    not what arrived any more); what ``receiving`` raises for its files. Then there is no draft.
    """
    now_ms = desk.clock.now_ms()
    one, received = desk.read(lambda c: mail.received(c, who.departments, seq))
    originals = _originals(received, desk.home) if forward else []
    if len(originals) > bounds.FILES:
        raise DeskRefused("too-many-files", f"it has {len(originals)} files with the original")
    content = _content(one, received, desk.home, forward=forward)
    if forward:
        content = msgspec.structs.replace(content, text=_provenance(one, received))
    content = msgspec.structs.replace(content, kind=_kind(content.kind, sends(who.role)))

    def enter(connection: Connection) -> Draft:
        draft = service.begin(connection, who, content, now_ms)
        details = {"as": "forward" if forward else "answer", "draft": draft.id}
        audit.record(connection, who.actor, "message.read", id_text(one.id), details, now_ms)
        return draft

    draft = desk.change(enter)
    try:
        with heavy.turn(sum(size for _name, size, _pieces in originals)):
            for name, size, pieces in originals:
                receiving.take_pieces(desk, who, draft.id, name, size, pieces)
    except BaseException:
        with suppress(DeskRefused):  # sent or discarded in the meantime, in another tab
            receiving.drop(desk, desk.change(lambda c: service.discard(c, who.name, draft.id, now_ms)))
        raise
    return draft


def _kind(fitting: str, own: frozenset[Kind]) -> str:
    """Return the kind that fits; the only one that somebody writes, or none, if it is not one of these."""
    return fitting if fitting in own else str(next(iter(own))) if len(own) == 1 else ""


def _content(one: Mail, received: Received, home: Path, *, forward: bool) -> Content:
    content = Content(
        department=one.department,
        subject=one_line(one.subject, limits.SUBJECT_CHARS),
        language=languages.language(),
        urgent=bool(one.priority),
        answers=id_text(one.id),
        answered=one.id.hex(),
        kind=str(Kind.FILE if forward else Kind.ADVICE),
    )
    if not forward:
        content = msgspec.structs.replace(content, recipient=one.sender, thread=one.thread.hex())
    whole = _size(received, home) <= BODY_BYTES
    body = inbox.read_body(received, home) if whole else _head(received, home)
    try:
        message = Message(body)
        named = references_of(message)
        content = msgspec.structs.replace(content, answers=named.own or content.answers, order=named.order)
        if not forward:
            kind = ANSWERS.get(message.header.message_code, Kind.ADVICE)
            content = msgspec.structs.replace(content, kind=str(kind))
        about = [
            _with_patient(content, message, pid, received.sender)
            for pid in (message.all("PID") if whole else ())
        ]
        if not about or any(each != about[0] for each in about):
            # The first of several patients is as likely the wrong one.
            return msgspec.structs.replace(content, several=bool(about))
        return about[0]
    except MalformedMessage:
        return content


def _provenance(one: Mail, received: Received) -> str:
    """Return the lines that say where a message that is passed on came from, and what is left out."""
    when = languages.moment(one.received_ms).striptags()
    lines = [str(gettext("Passed on: from %(sender)s, received %(when)s.", sender=one.sender, when=when))]
    lines += [
        str(gettext("Left out, since it is empty: %(name)s", name=file.name))
        for file in received.files
        if not file.size
    ]
    return "\n".join(lines) + "\n\n"


def _with_patient(content: Content, message: Message, pid: Segment, sender: str) -> Content:
    found = {"number": "", "national": "", "authority": ""}
    for index in range(1, len(pid.repetitions(3)) + 1):
        value, authority, kind = (
            message.text_at(pid, f"PID-3[{index}].{part}").strip() for part in (1, 4, 5)
        )
        if kind == NATIONAL_KIND or authority == NATIONAL:
            found["national"] = found["national"] or value
        elif not found["number"]:
            found["number"], found["authority"] = value, authority or facility_of(sender)
    born, sex = message.text_at(pid, "PID-7").strip()[:_DATE_DIGITS], message.text_at(pid, "PID-8").strip()
    return msgspec.structs.replace(
        content,
        **{name: one_line(value, 199) for name, value in found.items()},
        family=one_line(message.text_at(pid, "PID-5.1"), 80),
        given=one_line(message.text_at(pid, "PID-5.2"), 80),
        sex=sex if sex in {str(one) for one in Sex} else str(Sex.UNKNOWN),
        born=f"{born[:4]}-{born[4:6]}-{born[6:]}" if len(born) == _DATE_DIGITS and born.isdigit() else "",
    )


def _originals(received: Received, home: Path) -> list[tuple[str, int, Iterator[bytes]]]:
    """Return name, size and bytes of what is passed on, the message itself first; nothing of what is empty.

    The bytes are those that arrived: their readers raise Damaged at the end of others. Raises Damaged.
    """
    suffix = ".hl7" if received.kind != "file" else ""
    found = [(ORIGINAL + suffix, _size(received, home), inbox.body_pieces(received, home))]
    found += [(file.name, file.size, inbox.file_pieces(file, home)) for file in received.files]
    return [one for one in found if one[1]]


def _size(received: Received, home: Path) -> int:
    try:
        return reading.size_of(received, home)
    except FileNotFoundError as error:
        raise Damaged("damaged", f"{error.filename} is not there any more") from None


def _head(received: Received, home: Path) -> bytes:
    """Return the beginning of a body that is too large to be read whole."""
    assert received.body_path is not None
    with (home / received.body_path).open("rb") as file:
        return file.read(HEAD_BYTES)
