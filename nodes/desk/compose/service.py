"""Whose draft it is, what may be done with it, and what is still missing.

A draft of somebody else does not exist for who asks (NotThere). One that was sent is not changed any more
(DeskRefused, ``sent``).
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from nodes.care.patients import service as patients
from nodes.care.patients.store import Patient
from nodes.desk import audit
from nodes.desk.compose import bounds, picking, store
from nodes.desk.compose.content import Content, Fault, Kind, patient_faults, recipient_faults, text_faults
from nodes.desk.compose.store import Draft, Upload
from nodes.desk.context import Visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.roles import sends
from nodes.desk.tables import ACCOUNTS
from nodes.link.ids import id_text, new_id
from runtime.web import signin
from runtime.web.signin import Try

STEPS: Final = ("recipient", "patient", "content", "check")
_OLD_AT_ONCE: Final = 100


def begin(connection: Connection, who: Visitor, content: Content, now_ms: int) -> Draft:
    """Begin a draft. Raises DeskRefused (too-many-drafts)."""
    if len(store.of_owner(connection, who.name)) >= bounds.DRAFTS:
        raise DeskRefused("too-many-drafts", f"there are {bounds.DRAFTS} drafts: send or discard one first")
    if not content.department and len(who.departments) == 1:
        content = msgspec.structs.replace(content, department=who.departments[0])
    draft = Draft(id_text(new_id(now_ms)), who.name, now_ms, now_ms, content, None)
    store.add(connection, draft)
    return draft


def own(connection: Connection, owner: str, identifier: str) -> Draft:
    """Return one's own draft, sent or not. Raises NotThere, for those of others as well."""
    found = store.find(connection, identifier[:64])
    if found is None or found.owner != owner:
        raise NotThere("no-such-draft", f"there is no draft {identifier[:64]!r}")
    return found


def writable(connection: Connection, owner: str, identifier: str) -> Draft:
    """Return one's own draft that was not sent yet. Raises NotThere, DeskRefused (sent)."""
    found = own(connection, owner, identifier)
    if found.sent_id is not None:
        raise DeskRefused("sent", "this message was sent; it is not changed any more")
    return found


def change(
    connection: Connection,
    owner: str,
    identifier: str,
    fields: dict[str, Any],
    now_ms: int,
    *,
    searched: str = "",
) -> Content:
    """Take over the fields of one page, whatever they hold, and what was searched among patients.

    Raises NotThere, DeskRefused (sent).
    """
    draft = writable(connection, owner, identifier)
    before = draft.content.searched
    if searched and searched not in before:
        fields = {**fields, "searched": (*before, searched)[-bounds.SEARCHES :]}
    if fields.get("number", draft.content.number) != draft.content.number and "authority" not in fields:
        fields = {**fields, "authority": ""}
    content = msgspec.structs.replace(draft.content, **fields)
    if content != draft.content:
        store.save(connection, identifier, content, now_ms)
    return content


def take_over(
    connection: Connection, who: Visitor, draft: Draft, patient: Patient, said: str, now_ms: int
) -> int | None:
    """Take over a patient who is known here, if ``said`` is an identifier that no search of the draft held.

    Returns None if so; else after how many seconds another may be tried, 0: at once. Wrong ones are written
    down, and after a few of them each has to wait: nobody guesses through a calendar. Raises NotThere,
    DeskRefused (sent).
    """
    asks = f"{who.name} patient"  # no name has a space
    tries = Try(asks, asks, "", now_ms)
    early_s = signin.wait_s(connection, ACCOUNTS, tries)
    if early_s:
        return early_s
    subject, note = id_text(patient.id), {"draft": draft.id}
    searched = draft.content.searched or ("",)
    if not all(patients.confirms(patient, said, searched=one) for one in searched):
        audit.record(connection, who.actor, "patient.unconfirmed", subject, note, now_ms)
        return 0
    signin.forget(connection, ACCOUNTS, tries)
    change(connection, who.name, draft.id, _fields(patient), now_ms)
    audit.record(connection, who.actor, "patient.picked", subject, note, now_ms)
    return None


def _fields(patient: Patient) -> dict[str, str]:
    number = patient.numbers[0] if patient.numbers else None
    return {
        "family": patient.family, "given": patient.given, "sex": patient.sex, "born": patient.born,
        "national": patient.nin or "", "number": number.value if number else "",
        "authority": number.authority if number else "",
    }  # fmt: skip


def discard(connection: Connection, owner: str, identifier: str, now_ms: int) -> list[Upload]:
    """Forget one's own draft; returns its files, for the disk. Raises NotThere, DeskRefused (sent)."""
    draft = writable(connection, owner, identifier)
    uploads = store.uploads_of(connection, draft.id)
    store.remove(connection, draft.id)
    audit.record(connection, f"user:{owner}", "draft.discarded", draft.id, {}, now_ms)
    return uploads


def forget_old(connection: Connection, now_ms: int) -> list[Upload]:
    """Forget drafts that nobody has touched for long, and those long sent; returns their files."""
    gone: list[Upload] = []
    for draft in store.old(
        connection,
        changed_before_ms=now_ms - bounds.DRAFT_KEPT_MS,
        sent_before_ms=now_ms - bounds.SENT_KEPT_MS,
        limit=_OLD_AT_ONCE,
    ):
        gone += store.uploads_of(connection, draft.id)
        store.remove(connection, draft.id)
        if draft.sent_id is None:
            audit.record(connection, "desk", "draft.expired", draft.id, {"owner": draft.owner}, now_ms)
    return gone


def faults(connection: Connection, draft: Draft, who: Visitor, today: date) -> dict[str, tuple[Fault, ...]]:
    """Return what has to be put right, by page; nothing if it can be sent."""
    content, uploads = draft.content, store.uploads_of(connection, draft.id)
    recipient = [*recipient_faults(content, who.departments)]
    if content.kind in set(Kind) - sends(who.role):
        recipient.insert(0, Fault("kind", "not-your-kind"))
    if not recipient and picking.place_of(connection, content.recipient) is None:
        recipient = [Fault("recipient", "gone-recipient")]
    text = [*text_faults(content, files=bool(uploads))]
    if any(not upload.whole for upload in uploads):
        text.append(Fault("files", "unfinished"))
    found = {
        "recipient": tuple(recipient),
        "patient": tuple(patient_faults(content, today)),
        "content": tuple(text),
    }
    return {page: wrong for page, wrong in found.items() if wrong}
