"""What a facility has had by the afternoon: messages of every fate and kind, drafts, patients, people.

Everybody and everything in it is invented; names are long and in two scripts, as real ones are. The pages
that tests look at are filled with it, and so are the pictures in the documents.
"""

from __future__ import annotations

import io
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from demo.dicom import chest_image, new_uid
from demo.people import PATIENTS
from nodes.care.patients import service as patients
from nodes.care.patients.service import NewPatient
from nodes.desk import catching, departments, totp
from nodes.desk.compose import store
from nodes.desk.compose.content import Content, Row
from nodes.desk.mail import service
from nodes.desk.mail.service import Reader
from nodes.desk.roles import Role
from nodes.link import addressbook, files, outbox
from nodes.link.ids import id_text, new_id
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.envelope import Priority, State
from tests.nodes.desk.desks import oru
from tests.nodes.desk.viewing import laid, messages
from tests.nodes.fixtures import FACILITIES, HERE, Network, Station
from tests.protocols.cda import documents
from tests.protocols.cda.test_render import HOSTILE

ORAN: Final = "cardio@chu-oran"
TITLES: Final = {
    "chu-alger": "CHU Mustapha Pacha, Alger",
    "chu-oran": "CHU d’Oran",
    "clinique-sud": "المؤسسة العمومية الاستشفائية تمنراست",
}
SPECIALTIES: Final = {"cardio": "Cardiologie", "labo": "Laboratoire central", "urgences": "Urgences"}
PERSON: Final = NewPatient("Bensample", "Amina", "F", "1978-04-12", "999900001111222233", "D-10017", HERE)
_OTHER: Final = NewPatient("تستاوي", "ياسين", "M", "1991-09-23", "999900004444555566", "D-10018", HERE)
EARLIER: Final = 44
"""Messages of the days before: more than one page of a list."""
EVIL: Final = documents.text("".join(HOSTILE.values()))
TRAPS: Final = (
    ("x.svg", "image/png", laid.HOSTILE_SVG),
    ("page.pdf", "application/pdf", laid.HOSTILE_HTML),
    ("form.pdf", "application/pdf", laid.HOSTILE_PDF),
    ("evil.xml", "text/html", EVIL),
    ("scan\u202emcd.exe", "image/png", laid.scan()),
    ("photo.html", "text/html", laid.image("JPEG", (800, 600))),
    ("archive.zip", "text/html", laid.archive(**{".._.._x.html": laid.HOSTILE_HTML})),
    ("note.html", "text/html", b"Tension 12/8"),
)
"""Files of one message that are not what they say, or hold what must never run."""
_MINUTE_S: Final = 60.0
_SUBJECTS: Final = (
    ("Hémogramme", "labo@chu-oran", "D-10017"),
    ("نتائج التحاليل البيولوجية", "accueil@clinique-sud", "D-10018"),
    ("Ionogramme sanguin et fonction rénale", "labo@chu-oran", "D-10019"),
    ("رسالة خروج من المستشفى", "accueil@clinique-sud", "D-10020"),
)


@dataclass(frozen=True, slots=True)
class Day:
    """What a test asks a day about: numbers of messages, ids of what was sent, drafts."""

    results: int
    document: int
    referral: int
    order: int
    broken: int
    held: int
    trap: int
    evil: int
    sent: str
    back: str
    opened: str
    whole: str
    empty: str
    gone: str
    patient: str


def name_facilities(connection: Connection, network: Network) -> None:
    """Give the facilities of the address book the names that people call them by."""
    for number, (name, mailboxes) in enumerate(FACILITIES.items()):
        boxes = tuple(Mailbox(box, SPECIALTIES.get(box, ""), SPECIALTIES.get(box, "")) for box in mailboxes)
        entry: DirectoryEntry = msgspec.structs.replace(
            network.entry(name, mailboxes, version=2), title=TITLES[name], mailboxes=boxes,
            wilaya=(16, 31, 11)[number],
        )  # fmt: skip
        addressbook.merge(connection, entry, network.authority.public)


def spend(station: Station) -> Day:
    """Let the days until now pass."""
    station.time.advance(time.time() - 2 * 86_400 - station.clock.now_ms() / 1_000)
    for number in range(EARLIER):
        station.time.advance(45 * _MINUTE_S)
        subject, sender, patient = _SUBJECTS[number % len(_SUBJECTS)]
        body = oru(("BENSAMPLE", "TESTAOUI", "DEMOUCHE", "EXEMPLI")[number % len(_SUBJECTS)])
        laid.lay(station, body, subject=subject, sender=sender, patient=patient)
    station.time.advance(time.time() - 4 * 3_600 - station.clock.now_ms() / 1_000)
    sent = _send(station)
    arrived = _arrive(station)
    drafts = _write(station, sent[0])
    now_ms = station.clock.now_ms()
    person = station.do(lambda c: patients.create(c, PERSON, by="clinician", now_ms=now_ms))
    station.do(lambda c: patients.create(c, _OTHER, by="clinician", now_ms=now_ms))
    station.do(
        lambda c: departments.go_on_duty(
            c, "cardio", "clinician", now_ms + 8 * 3_600_000, actor="user:clinician", now_ms=now_ms
        )
    )
    station.do(lambda c: _ask_for_codes(c, now_ms))
    station.time.advance(time.time() - station.clock.now_ms() / 1_000)
    catching.catch_up(station.engine, station.home)
    late, back, opened = (id_text(one) for one in sent)
    whole, empty, gone = drafts
    return Day(
        **arrived, sent=late, back=back, opened=opened, whole=whole, empty=empty, gone=gone,
        patient=id_text(person.id),
    )  # fmt: skip


def _ask_for_codes(connection: Connection, now_ms: int) -> None:
    """Let the pharmacist sign in with a code as well."""
    kept = totp.begin(connection, "pharmacy")
    code = totp.code(kept.secret, now_ms // totp.STEP_MS)
    totp.confirm(connection, "pharmacy", code, actor="user:pharmacy", now_ms=now_ms)


def _arrive(station: Station) -> dict[str, int]:
    """Let a message of each kind arrive; returns their numbers by what :class:`Day` calls them."""
    for month, value in ((9, "0.92"), (10, "1.05"), (11, "1.31")):
        body = messages.results(messages.obx(1, value, at=f"2025{month:02}100900"))
        _open(station, laid.lay(station, body, subject="Glycémie à jeun"))
        station.time.advance(20 * _MINUTE_S)
    seen = chest_image(PATIENTS[0], new_uid(), number="A-1", date="20260131")
    attached = (
        ("Radiographie du thorax.dcm", "application/dicom", seen),
        ("ordonnance.jpg", "image/jpeg", laid.image("JPEG", (800, 600))),
        (
            "dossier complet.zip",
            "application/zip",
            laid.archive(**{"lettre.pdf": laid.PDF, "scan.dcm": seen}),
        ),
        ("lettre.pdf", "application/pdf", laid.PDF),
        ("mot.txt", "text/plain", "Tension 12/8 — ضغط الدم".encode()),
        ("x.svg", "image/png", laid.HOSTILE_SVG),
    )
    found = {}
    found["results"] = laid.lay(
        station, messages.results(messages.obx(1, "1.42", flag="HH"), messages.obx(2, "0.98")), *attached,
        subject="Bilan biologique et radiographie de contrôle",
    )  # fmt: skip
    station.time.advance(25 * _MINUTE_S)
    held = documents.file("application/pdf", b64encode(laid.PDF).decode())
    for name, body, kind, subject, sender in (
        ("document", messages.document(), "MDM^T02", "Dossier du patient : syndrome coronarien", ORAN),
        ("referral", messages.referral(), "REF^I12", "طلب استشارة في أمراض القلب", "accueil@clinique-sud"),
        ("order", messages.order(), "OML^O21", "Glycémie et hémoglobine", "labo@chu-oran"),
        ("broken", b"MSH|^~\\&|nonsense", "ORU^R01", "", "labo@chu-oran"),
        ("held", messages.document(held), "MDM^T02", "Lettre de sortie", ORAN),
        ("trap", messages.order(), "OML^O21", "Demande avec pièces jointes", "labo@chu-oran"),
        ("evil", messages.document(EVIL), "MDM^T02", "Compte rendu d’hospitalisation", ORAN),
    ):
        files_of = TRAPS if name == "trap" else ()
        found[name] = laid.lay(
            station, body, *files_of, kind=kind, subject=subject, sender=sender, urgent=name == "referral"
        )
        station.time.advance(11 * _MINUTE_S)
    return found


def _open(station: Station, number: int) -> None:
    """Let the clinician open a message: only then its values stand in curves."""
    catching.catch_up(station.engine, station.home)
    reader = Reader("clinician", ("cardio",), str(Role.CLINICIAN))
    station.do(lambda c: service.opened(c, reader, number, station.clock.now_ms()))


def _send(station: Station) -> tuple[bytes, bytes, bytes]:
    """Send what is late, what came back, and what was opened."""
    opened, back, late = (
        _put(station, subject)
        for subject in ("رأي طبي عاجل: ألم في الصدر", "Lettre de sortie", "Avis cardiologique demandé")
    )
    for state in (State.ACCEPTED, State.DELIVERED, State.PROCESSED):
        station.time.advance(2 * _MINUTE_S)
        station.mark(opened, ORAN, state)
    station.mark(late, ORAN, State.ACCEPTED)
    station.mark(late, ORAN, State.DELAYED, code="recipient-offline")
    station.mark(back, ORAN, State.RETURNED, code="unknown-mailbox")
    return late, back, opened


def _put(station: Station, subject: str) -> bytes:
    source: Any = io.BytesIO(b"x" * 2_000)
    scan = files.Source("scanner thoracique.dcm", "application/dicom", source, 2_000)
    prepared = files.prepare(station.home, oru("BENSAMPLE"), [scan], floor_bytes=0)
    draft = outbox.Draft(
        f"cardio@{HERE}", (ORAN,), "MDM^T02", prepared, subject=subject, patient="D-10017",
        priority=Priority.STAT,
    )  # fmt: skip

    def put(connection: Connection) -> bytes:
        return outbox.put(connection, draft, station.clock.now_ms()).id

    return station.do(put)


def _write(station: Station, sent: bytes) -> tuple[str, str, str]:
    """Leave drafts: one that can be sent, one that lacks everything, one that became ``sent``."""
    now_ms = station.clock.now_ms()
    whole = Content(
        kind="result", department="cardio", recipient=ORAN, number="2026-00417", national=PERSON.nin,
        family="بن يوسف", given="أمينة", sex="F", born="1988-02-29", patient_class="E", urgent=True,
        subject="Troponine et ionogramme", text="Prélèvement de 8 h.\n\nيرجى إبداء الرأي قبل الظهر.",
        rows=(
            Row("Troponine T", "0.42", "ng/mL", "0-0.04", "H"), Row("Potassium", "4.1", "mmol/L", "3.5-5.1"),
        ),
    )  # fmt: skip
    made = [whole, Content(), msgspec.structs.replace(whole, kind="file")]
    kept = [
        store.Draft(id_text(new_id(now_ms + at)), "clinician", now_ms, now_ms, content, None)
        for at, content in enumerate(made)
    ]

    def enter(connection: Connection) -> None:
        for draft in kept:
            store.add(connection, draft)
        for name, size, received in (
            ("ECG de 9 h.pdf", 214_700, 214_700),
            ("IRM.dcm", 209_715_200, 52_428_800),
        ):
            identifier = id_text(new_id(now_ms))
            whole_one = identifier if size == received else ""
            upload = store.Upload(
                identifier, kept[0].id if whole_one else kept[1].id, name, size, "", received, "", whole_one
            )
            store.add_upload(connection, upload)
        store.mark_sent(connection, kept[2].id, sent, now_ms)

    station.do(enter)
    first, second, third = kept
    return first.id, second.id, third.id
