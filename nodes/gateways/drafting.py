"""What a local program leaves out or writes for people, made into what the outbox wants.

All doors share it, so that a sender, a kind or a duration means the same at each.
Wrong requests raise :class:`~nodes.link.errors.Refused` with a stable code and a text saying what is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from config.fields import UnfitError, parse_duration
from crypto.identity import is_id
from nodes.gateways.addressing import Addresses
from nodes.link import addressbook
from nodes.link.errors import Refused
from nodes.link.files import Prepared
from nodes.link.outbox import Draft
from protocols.hl7 import catalogue
from protocols.hl7.er7 import Message
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header, find_header, read_header
from protocols.hl7.priority import is_stat
from protocols.link import limits
from protocols.link.envelope import FILE_KIND, Priority, facility_of, mailbox_of
from runtime.moments import utc

ValidFor = Callable[[str], int]
"""Milliseconds that a message of a kind may take, by the settings."""

_KIND: Final = re.compile(rf"[A-Za-z0-9^_.\-]{{1,{limits.KIND_CHARS}}}")
PATIENT_WITHIN_BYTES: Final = 65_536
"""PID is looked for in this much of a message."""
_SHOWN: Final = 12


def sender_of(connection: Connection, facility: str, wanted: str | None) -> str:
    """Return the sender's address: ``wanted`` (a mailbox, or ``mailbox@facility``), or the first by name."""
    own = addressbook.mailboxes_of(connection, facility)
    known = ", ".join(sorted(own or ())[:_SHOWN]) or "unknown yet"
    if wanted is None:
        if not own:
            raise Refused("no-sender", f"`from` must name a mailbox of {facility}: none is known here yet")
        return f"{min(own)}@{facility}"
    mailbox = mailbox_of(wanted) if "@" in wanted else wanted
    if "@" in wanted and facility_of(wanted) != facility:
        raise Refused("foreign-sender", f"`from` is {wanted[:80]!r}, but this node sends for {facility} only")
    if not is_id(mailbox) or (own is not None and mailbox not in own):
        raise Refused(
            "unknown-sender", f"`from` is {wanted[:80]!r}, which is no mailbox of {facility}; it has: {known}"
        )
    return f"{mailbox}@{facility}"


def check_recipients(connection: Connection, recipients: tuple[str, ...]) -> None:
    """Raise :class:`Refused` as the outbox will, before anything large is read or sealed."""
    if len(addressbook.resolve(connection, recipients)) > limits.RECIPIENTS:
        raise Refused("too-many-recipients", f"`to`: at most {limits.RECIPIENTS} recipients are allowed")


def kind_of(wanted: str | None, body: bytes) -> str:
    """Return the kind: ``wanted``, or MSH-9 of an HL7 body, or ``file`` for any other body or none.

    Raises MalformedMessage if the body begins with MSH and that segment is unusable.
    """
    kind = (
        wanted
        if wanted is not None
        else (catalogue.kind_of(read_header(body)) if is_hl7(body) else FILE_KIND)
    )
    if not _KIND.fullmatch(kind):
        raise Refused(
            "bad-kind",
            f"the kind {kind[:40]!r} is not 1 to {limits.KIND_CHARS} of letters, digits and ^ _ . -, "
            "as in ORU^R01",
        )
    return kind


def self_addressed(
    header: Header,
    message: bytes,
    addresses: Addresses,
    prepared: Prepared,
    *,
    key: str,
    valid_for: ValidFor,
) -> Draft:
    """Return the draft of an HL7 message that says itself where it goes."""
    kind = catalogue.kind_of(header)
    patient, subject = patient_of(header, message)
    return Draft(
        sender=addresses.sender,
        recipients=addresses.recipients,
        kind=kind,
        prepared=prepared,
        key=key,
        subject=subject,
        patient=patient,
        priority=Priority.STAT if is_stat(header, message) else Priority.ROUTINE,
        valid_for_ms=valid_for(kind),
    )


def patient_of(header: Header, raw: bytes) -> tuple[str, str]:
    """Return (the patient's first identifier, his name) from the first PID, empty where there is none."""
    message = Message(raw[:PATIENT_WITHIN_BYTES], header)
    pid = message.first("PID")
    if pid is None:
        return "", ""
    # Its character set is judged by what stands before and in it: the rest may be long.
    message = Message(raw[: raw.index(pid.raw) + len(pid.raw)], header)
    try:
        identifier = message.text_at(pid, "PID-3")
        name = f"{message.text_at(pid, 'PID-5.1')} {message.text_at(pid, 'PID-5.2')}"
    except MalformedMessage:
        return "", ""
    return _bounded(identifier, limits.PATIENT_CHARS), _bounded(name, limits.SUBJECT_CHARS)


def _bounded(text: str, chars: int) -> str:
    printable = text if text.isprintable() else "".join(s if s.isprintable() else " " for s in text)
    return " ".join(printable.replace('""', "").split())[:chars]


def utc_text(moment_ms: int) -> str:
    """Return a moment as people and programs read it (RFC 3339, UTC); what is no date is cut."""
    return utc(moment_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_hl7(body: bytes) -> bool:
    """Return whether a body, or its first ``MAX_LEADING_BYTES``, begins as an HL7 message does."""
    try:
        find_header(body)
    except MalformedMessage:
        return False
    return True


def valid_for_ms(wanted: str | None, kind: str, by_settings: ValidFor) -> int:
    """Return milliseconds: of ``wanted`` (as in ``5d``), or what the settings say for the kind."""
    if wanted is None:
        return by_settings(kind)
    try:
        return round(parse_duration(wanted) * 1000)
    except UnfitError as unfit:
        raise Refused("valid-for", f"`valid_for` is {wanted[:40]!r}, but {unfit}") from None
