"""The log for other systems' audit repositories: DICOM/IHE ATNA audit messages, FHIR R4 AuditEvents.

DICOM PS3.15 section A.5 (the message that IHE ITI-20 sends): one XML element ``AuditMessage`` for each
entry, all in one document under ``AuditMessages``. FHIR R4: one AuditEvent resource a line (NDJSON).

The event is "Security Alert" (DCM 110113) with the log's own action as its type: what is recorded here is
administration and transport, no access to a patient's data, for which the other codes are. Number and hash
of the entry go along, so that what was exported can be found in the log again.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec
from sqlalchemy import Connection, select

from hub.audit.tables import audit
from protocols.audit.entry import Entry

PAGE: Final = 1_000
SYSTEM: Final = "urn:wasl:audit"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
PERSONS: Final = ("user:", "cli:", "token:")
"""Actors that ask; others are the system itself."""
_CREATED: Final = "C"
_UPDATED: Final = "U"
_DELETED: Final = "D"
_EXECUTED: Final = "E"
_VERBS: Final = {
    "added": _CREATED,
    "invited": _CREATED,
    "joined": _CREATED,
    "created": _CREATED,
    "recorded": _CREATED,
    "removed": _DELETED,
    "revoked": _DELETED,
    "deleted": _DELETED,
    "defined": _UPDATED,
    "changed": _UPDATED,
    "described": _UPDATED,
    "suspended": _UPDATED,
    "resumed": _UPDATED,
    "approved": _UPDATED,
}
"""The last word of an action as the standards' letter; all others are ``E``, executed."""


def entries(connection: Connection, from_ms: int, until_ms: int) -> Iterator[tuple[Entry, bytes]]:
    """Yield entries (and their hashes) whose time is in the range, in order."""
    after = 0
    while True:
        query = select(audit).where(
            audit.c.number > after, audit.c.at_ms >= from_ms, audit.c.at_ms < until_ms
        )
        page = connection.execute(query.order_by(audit.c.number).limit(PAGE)).all()
        for r in page:
            entry = Entry(r.number, r.at_ms, r.actor, r.action, r.subject, r.details, bytes(r.previous))
            yield entry, bytes(r.hash)
        if len(page) < PAGE:
            return
        after = page[-1].number


def atna(found: Iterator[tuple[Entry, bytes]], source: str) -> Iterator[str]:
    """Yield the lines of one XML document."""
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield "<AuditMessages>"
    for entry, kept in found:
        yield _atna(entry, kept, source)
    yield "</AuditMessages>"


def _atna(entry: Entry, kept: bytes, source: str) -> str:
    is_person = entry.actor.startswith(PERSONS)
    details = {"entry": str(entry.number), "hash": kept.hex(), **_details(entry)}
    detail = "".join(
        f"<ParticipantObjectDetail type={_attribute(name)} value={_attribute(_base64(value))}/>"
        for name, value in details.items()
    )
    return (
        "<AuditMessage>"
        f'<EventIdentification EventActionCode="{_letter(entry)}" EventDateTime="{_time(entry)}" '
        'EventOutcomeIndicator="0">'
        '<EventID csd-code="110113" codeSystemName="DCM" originalText="Security Alert"/>'
        f"<EventTypeCode csd-code={_attribute(entry.action)} codeSystemName={_attribute(SYSTEM)} "
        f"originalText={_attribute(entry.action)}/>"
        "</EventIdentification>"
        f"<ActiveParticipant UserID={_attribute(entry.actor)} "
        f'UserIsRequestor="{"true" if is_person else "false"}"/>'
        f"<AuditSourceIdentification AuditSourceID={_attribute(source)}>"
        '<AuditSourceTypeCode csd-code="4" codeSystemName="DCM" originalText="Application server"/>'
        "</AuditSourceIdentification>"
        f"<ParticipantObjectIdentification ParticipantObjectID={_attribute(entry.subject)} "
        'ParticipantObjectTypeCode="2">'
        f'<ParticipantObjectIDTypeCode csd-code="12" codeSystemName="RFC-3881" originalText="URI"/>'
        f"<ParticipantObjectName>{_text(entry.subject)}</ParticipantObjectName>"
        f"{detail}"
        "</ParticipantObjectIdentification>"
        "</AuditMessage>"
    )


def fhir(found: Iterator[tuple[Entry, bytes]], source: str) -> Iterator[str]:
    """Yield AuditEvent resources, one a line."""
    for entry, kept in found:
        yield msgspec.json.encode(_fhir(entry, kept, source)).decode("utf-8")


def _fhir(entry: Entry, kept: bytes, source: str) -> dict[str, Any]:
    details = {"entry": str(entry.number), "hash": kept.hex(), **_details(entry)}
    return {
        "resourceType": "AuditEvent",
        "id": f"entry-{entry.number}",
        "type": {"system": DCM, "code": "110113", "display": "Security Alert"},
        "subtype": [{"system": SYSTEM, "code": entry.action}],
        "action": _letter(entry),
        "recorded": _time(entry),
        "outcome": "0",
        "agent": [
            {
                "who": {"identifier": {"system": SYSTEM, "value": entry.actor}},
                "requestor": entry.actor.startswith(PERSONS),
            }
        ],
        "source": {"observer": {"identifier": {"system": SYSTEM, "value": source}}},
        "entity": [
            {
                "what": {"identifier": {"system": SYSTEM, "value": entry.subject}},
                "detail": [{"type": name, "valueString": value} for name, value in details.items() if value],
            }
        ],
    }


def _details(entry: Entry) -> dict[str, str]:
    try:
        return msgspec.json.decode(entry.details, type=dict[str, str])
    except msgspec.MsgspecError:
        return {"details": entry.details}  # a damaged entry is exported as it is; ``verify`` says so


def _letter(entry: Entry) -> str:
    return _VERBS.get(entry.action.rpartition(".")[2], _EXECUTED)


def _time(entry: Entry) -> str:
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base64(value: str) -> str:
    return b64encode(value.encode("utf-8")).decode("ascii")


def _text(value: str) -> str:
    return escape("".join(c for c in value if c >= " " or c in "\t\n\r"))


def _attribute(value: str) -> str:
    return quoteattr("".join(c for c in value if c >= " "))
