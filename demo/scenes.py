"""What happens in the demo's country: five scenes, each a piece of everyday work between facilities.

Every message is sent by one hospital system and answered by another; the laboratory sends its results a
moment after it has taken an order. :class:`Country` remembers each message it sent, so that what arrived can
be compared with it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from demo import cda, dicom, localapi, messages
from demo.hospital import REMEMBERED, HospitalSystem
from demo.messages import TESTS, TROPONIN, now
from demo.network import Network
from demo.people import PATIENTS, Patient
from protocols.hl7.er7 import Message
from protocols.link.envelope import facility_of

ADMISSIONS: Final = "admissions@chu-alger"
CARDIOLOGY: Final = "cardio@chu-alger"
IMAGING: Final = "imagerie@chu-alger"
LABORATORY: Final = "labo@chu-alger"
DOCTOR: Final = "medecin@epsp-bab-el-oued"
EMERGENCY: Final = "urgences@epsp-bab-el-oued"
WARD: Final = "medecine@eph-tizi"

QUEUE: Final = 6
"""Routine orders that line up before the laboratory when the urgent one comes."""
WORK_S: Final = 0.25
"""What the laboratory takes to register an order."""
RESULTS_AFTER_S: Final = 0.5
_LINE_UP_S: Final = 0.3


@dataclass(slots=True)
class Sending:
    """A message that a hospital system sent; ``answer`` is what it was told in the end, if it waited."""

    payload: bytes
    sender: str
    recipient: str
    urgent: bool = False
    answer: bytes = b""
    file: bytes = b""

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return Message(self.payload).header.control_id


@dataclass(frozen=True, slots=True)
class Scene:
    """What people are told, what is done, and how often compared with the others."""

    caption: str
    play: Callable[[], Awaitable[None]]
    weight: int


@dataclass(slots=True)
class Country:
    """The hospital systems of a running network, and all that they have sent."""

    network: Network
    systems: dict[str, HospitalSystem] = field(default_factory=dict)
    sendings: deque[Sending] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _patients: Iterator[Patient] = field(default_factory=lambda: cycle(PATIENTS))
    _tests: Iterator[messages.Test] = field(default_factory=lambda: cycle(TESTS))
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Start the hospital systems."""
        for name, node in self.network.nodes.items():
            self.systems[name] = HospitalSystem(node, self._answer)
            await self.systems[name].start()

    async def stop(self) -> None:
        """Stop the hospital systems."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        for system in self.systems.values():
            await system.stop()

    async def all_answered(self) -> None:
        """Wait until what was begun (results still to come) is done; raises what went wrong there."""
        while self._later:
            await asyncio.gather(*self._later)

    # ── scenes ─────────────────────────────────────────────────────────────────────────

    async def admission(self) -> None:
        """Send an ADT^A01."""
        await self._send(messages.admission(ADMISSIONS, DOCTOR, self._patient()), ADMISSIONS, DOCTOR)

    async def laboratory(self) -> None:
        """Send an OML^O21, answered by an ORL^O22; the ORU^R01 follows."""
        order = messages.order(DOCTOR, LABORATORY, self._patient(), next(self._tests))
        await self._send(order, DOCTOR, LABORATORY)

    async def report(self) -> None:
        """Send an MDM^T02 with a CDA document and a DICOM file, by the JSON API."""
        patient, moment = self._patient(), now()
        document_id, document = cda.radiology_report(patient, facility_of(IMAGING), moment)
        message = messages.document(IMAGING, WARD, patient, document_id, cda.TITLE, document)
        number = messages.new_id("I")
        image = await asyncio.to_thread(
            dicom.chest_image, patient, dicom.new_uid(), number=number, date=moment[:8]
        )
        sending = Sending(message, IMAGING, WARD, file=image)
        self.sendings.append(sending)
        await asyncio.to_thread(self._hand_over, sending, f"{number}.dcm", patient)

    def _hand_over(self, sending: Sending, name: str, patient: Patient) -> None:
        node = self.network.nodes[facility_of(sending.sender)]
        image = localapi.upload(node, name, sending.file)
        localapi.send(
            node,
            {
                "from": sending.sender, "to": [sending.recipient], "body": sending.payload.decode(),
                "id": sending.control_id, "subject": cda.TITLE, "patient": patient.nin,
                "attachments": [image],
            },
        )  # fmt: skip

    async def referral(self) -> None:
        """Send a REF^I12, answered by an RRI^I12."""
        await self._send(messages.referral(WARD, CARDIOLOGY, self._patient()), WARD, CARDIOLOGY)

    async def overtaking(self) -> None:
        """Send orders faster than they are served, then one that says in TQ1-9 that it is urgent."""
        routine = [messages.order(WARD, LABORATORY, self._patient(), next(self._tests)) for _ in range(QUEUE)]
        lined_up = [asyncio.create_task(self._send(order, WARD, LABORATORY)) for order in routine]
        await asyncio.sleep(_LINE_UP_S)
        urgent = messages.order(EMERGENCY, LABORATORY, self._patient(), TROPONIN, urgent=True)
        await self._send(urgent, EMERGENCY, LABORATORY, urgent=True)
        await asyncio.gather(*lined_up)

    def scenes(self) -> list[Scene]:
        """All scenes, in the order in which ``--once`` plays them."""
        return [
            Scene("the hospital tells a patient's own doctor of an admission", self.admission, 4),
            Scene("a doctor orders an analysis; the laboratory responds, results follow", self.laboratory, 4),
            Scene("a radiologist sends her report in Arabic, with the image", self.report, 2),
            Scene("a small hospital refers a patient to the cardiologists of a large one", self.referral, 3),
            Scene("orders line up before the laboratory; an urgent one overtakes them", self.overtaking, 1),
        ]

    # ── inside ─────────────────────────────────────────────────────────────────────────

    def _patient(self) -> Patient:
        return next(self._patients)

    async def _send(self, payload: bytes, sender: str, recipient: str, *, urgent: bool = False) -> None:
        sending = Sending(payload, sender, recipient, urgent)
        self.sendings.append(sending)
        sending.answer = await self.systems[facility_of(sender)].send(payload)

    async def _answer(self, system: HospitalSystem, request: Message) -> bytes:
        kind = request.header.message_type
        if kind == "REF^I12":
            return messages.referral_answer(request)
        if kind != "OML^O21":
            return messages.acknowledgement(request)
        await asyncio.sleep(WORK_S)
        if all(taken.payload != bytes(request) for taken in system.taken):
            later = asyncio.create_task(self._measure(request))
            self._later.add(later)
            later.add_done_callback(self._later.discard)
        return messages.order_response(request)

    async def _measure(self, request: Message) -> None:
        await asyncio.sleep(RESULTS_AFTER_S)
        head = request.header
        sender = f"{head.receiving_application.namespace_id}@{head.receiving_facility.namespace_id}"
        recipient = f"{head.sending_application.namespace_id}@{head.sending_facility.namespace_id}"
        await self._send(messages.results(sender, recipient, request), sender, recipient)


def sha256(data: bytes) -> str:
    """Return the hash that is shown to people, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
