"""MLLP in: a local hospital system hands over its messages, and gets an answer that is true.

Each message is read as far as its header, addressed (:mod:`nodes.gateways.addressing`), and put into the
outbox; nothing is said before that is committed. What is said, and how long it may take, is in
:mod:`nodes.gateways.mllp_answers`. The bytes go on as they came.

A message is known by MSH-3, MSH-4 and MSH-10. The same bytes under the same name are the same message: the
same answer, and nothing else happens, also when settings or the directory have changed since. Other bytes
under that name are refused (AE) and raise the alarm ``control-id-reused``: one of the two messages would
otherwise be lost without anybody noticing.

A batch (FHS/BHS, or several MSH in one frame) is taken apart, and each message stands for itself: some may be
taken and some refused. HL7 answers a batch with a batch of acknowledgements (v2.5.1 section 2.10.3.4);
systems that send batches over MLLP wait for MSA after MSA instead, so that is what they get, one frame each,
in the order of the messages. Trailers whose count is wrong are logged; the messages are whole.

Order: one message of a connection is worked on at a time, so what a system sends is put in that order, and
nothing overtakes a message that could not be taken.

Not promised: application acknowledgements later than that. In enhanced mode one that comes within a second
of the accept acknowledgement (within ``answer_within``, if ``acknowledge`` is ``processed``) follows it; a
later one waits in the store, and a sender that repeats its message gets it. Longer would be wrong: senders
wait for the accept acknowledgement before their next message.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_from_bytes

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import Connection

from config.fields import size_text
from config.node import Mllp
from crypto.errors import CryptoError
from crypto.primitives import blake2b
from nodes.gateways import mllp_answers
from nodes.gateways.addressing import (
    ADDRESSING_FIELDS,
    RECEIVING_APPLICATION,
    RECEIVING_FACILITY,
    Addresses,
    Misaddressed,
    addresses_of,
    name_of,
)
from nodes.gateways.drafting import self_addressed
from nodes.gateways.mllp_answers import Answer
from nodes.link import addressbook, outbox, tracking
from nodes.link.errors import KeyConflict, NodeError, NoRoom, UnknownRecipient
from nodes.link.ids import id_text, new_id
from nodes.link.post import Post
from protocols.hl7 import batch
from protocols.hl7.acks import ACK_CODES, ErrorCode, ErrorLocation, Outcome
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header, bare_header, read_header
from protocols.link import limits
from protocols.link.envelope import State
from protocols.mllp import FrameTooLarge, GarbageSkipped
from runtime.clock import Clock
from runtime.listening import listen
from runtime.logs import RepeatLimit, event
from runtime.mllp import MllpLimits, MllpServerFactory, Peer
from runtime.storage_errors import StorageError, StorageFailed

OWN_MAILBOXES_S: Final = 60.0
"""How long this facility's mailboxes are remembered; an unknown one is looked up at once."""
RESOLVED_KEPT: Final = 1_024
"""Headers whose addresses are remembered for as long, some KiB each at most."""
APPLICATION_GRACE_S: Final = 1.0
"""How long an accept acknowledgement that is due waits, so that the application's answer can follow it."""
MALFORMED: Final = "malformed"
STOP_GRACE_S: Final = 5.0
_SEPARATOR: Final = "/"
_TRY_LATER: Final = "nothing was stored: this node cannot take messages now; send it again later"

_log = logging.getLogger(__name__)


class _Metrics:
    def __init__(self, registry: CollectorRegistry | None) -> None:
        answers = Counter(
            "wasl_mllp_in_answers", "Acknowledgements to local systems", ["code"], registry=registry
        )
        self.answers = {code: answers.labels(code) for code in sorted(ACK_CODES)}
        self.repeats = Counter(
            "wasl_mllp_in_repeats", "Messages that had been taken before", registry=registry
        )
        self.garbage_bytes = Counter(
            "wasl_mllp_in_garbage_bytes", "Bytes from local systems outside MLLP frames", registry=registry
        )


@dataclass(frozen=True, slots=True)
class _Taken:
    """One message after it was offered to the outbox: its id there, or the answer that refuses it."""

    header: Header
    id: bytes
    refused: list[Answer] | None = None


class MllpInbound:
    """The listener for local systems; reactor thread only.

    ``facility`` is this node's id; ``valid_for`` gives the time limit of a kind in milliseconds; ``alarm`` is
    told (code, text) of what a person must look at.
    """

    def __init__(
        self,
        post: Post,
        settings: Mllp,
        facility: str,
        valid_for: Callable[[str], int],
        alarm: Callable[[str, str], None],
        clock: Clock,
        registry: CollectorRegistry | None,
    ) -> None:
        self._post = post
        self._settings = settings
        self._facility = facility
        self._valid_for = valid_for
        self._alarm = alarm
        self._clock = clock
        self._metrics = _Metrics(registry)
        self._repeat_log = RepeatLimit(clock)
        self._own: frozenset[str] | None = None
        self._own_read_s: float | None = None
        self._resolved: dict[tuple[object, ...], Addresses] = {}
        self._port: Any = None
        self.factory = MllpServerFactory(
            self.handle,
            clock=clock,
            on_fault=self.on_fault,
            limits=MllpLimits(
                max_frame_bytes=settings.max_message_bytes,
                max_connections=settings.max_connections,
                max_in_flight=1,
                idle_timeout_s=settings.idle_timeout_s,
            ),
        )

    def start(self, reactor: Any) -> None:
        """Listen where the settings say; does nothing without ``listen``. Raises StartError."""
        address = self._settings.listen
        if address is not None:
            self._port = listen(reactor, address, self.factory, "mllp.listen in node.toml")
            event(_log, logging.INFO, "mllp-listening", host=address.host, port=self._port.getHost().port)

    async def stop(self) -> None:
        """Take no more connections, answer what was received, close; may be called twice."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        await self.factory.close(STOP_GRACE_S)

    async def handle(self, payload: bytes, peer: Peer) -> list[bytes]:
        """Take the message or batch in one frame; return the payloads of the answers, in order.

        Raises StorageFailed when the disk failed (the process is ending): nothing is acknowledged then.
        """
        deadline_s = self._clock.monotonic_s() + self._settings.answer_within_s
        try:
            found = batch.read_batch(payload) if batch.is_batch(payload) else batch.Batch((payload,))
        except MalformedMessage as fault:
            return self._said(self._malformed(fault, peer).refused or [])
        for note in found.notes:
            event(_log, logging.WARNING, "mllp-batch-odd", peer=peer, note=note)
        taken = [await self._take(message, peer) for message in found.messages]
        said: list[Answer] = []
        for one in taken:
            said += await self._answers(one, deadline_s) if one.refused is None else one.refused
        return self._said(said)

    def on_fault(self, fault: GarbageSkipped | FrameTooLarge, peer: Peer) -> bytes | None:
        """Log bytes that belong to no message; answer a frame that is too large."""
        if isinstance(fault, GarbageSkipped):
            self._metrics.garbage_bytes.inc(fault.size_bytes)
            self._repeat_log.event(
                ("garbage", peer.host),
                _log,
                logging.WARNING,
                "mllp-garbage",
                peer=peer,
                size=fault.size_bytes,
            )
            return None
        text = f"MSH: the message is larger than the {size_text(fault.limit_bytes)} that are accepted here"
        refused = self._refused(bare_header(), Outcome.ERROR, text, ErrorLocation("MSH"), peer, "too-large")
        return self._said(refused.refused or [])[0]

    # ── taking ─────────────────────────────────────────────────────────────────────────

    async def _take(self, message: bytes, peer: Peer) -> _Taken:
        try:
            header = read_header(message)
        except MalformedMessage as fault:
            return self._malformed(fault, peer)
        try:
            return await self._offer(header, message, peer)
        except StorageFailed:
            raise
        except (StorageError, OSError) as fault:
            self._repeat_log.event(
                "storage", _log, logging.ERROR, "mllp-cannot-store", cause=fault, peer=peer
            )
            return self._refused(header, Outcome.REJECTED, _TRY_LATER, None, peer, "storage")

    async def _offer(self, header: Header, message: bytes, peer: Peer) -> _Taken:
        key = key_of(header)
        addresses: Addresses | None = None
        try:
            addresses = await self._addresses(header)
            put = await self._put(header, message, key, addresses)
        except NodeError as fault:
            earlier = await self._post.read(lambda c: self._same_before(c, key, message))
            if earlier is None:
                return self._not_taken(header, fault, addresses, peer)
            self._metrics.repeats.inc()
            return _Taken(header, earlier)
        if not put.fresh:
            self._metrics.repeats.inc()
        return _Taken(header, put.id)

    async def _addresses(self, header: Header) -> Addresses:
        now_s = self._clock.monotonic_s()
        known = self._own_read_s is not None and now_s - self._own_read_s < OWN_MAILBOXES_S
        if known:
            try:
                return self._addressed(header)
            except Misaddressed as fault:
                if not fault.foreign:
                    raise
        self._own = await self._post.read(lambda c: addressbook.mailboxes_of(c, self._facility))
        self._own_read_s = now_s
        self._resolved.clear()
        return self._addressed(header)

    def _addressed(self, header: Header) -> Addresses:
        """Return what ``addresses_of`` says; what was asked in the last ``OWN_MAILBOXES_S`` is looked up."""
        asked = header.delimiters, *map(header.raw, ADDRESSING_FIELDS)
        found = self._resolved.get(asked)
        if found is None:
            found = addresses_of(header, self._settings, self._facility, self._own)
            if len(self._resolved) < RESOLVED_KEPT:
                self._resolved[asked] = found
        return found

    async def _put(self, header: Header, message: bytes, key: str, addresses: Addresses) -> outbox.Put:
        prepared = await self._post.prepare(message)
        draft = self_addressed(header, message, addresses, prepared, key=key, valid_for=self._valid_for)
        return await self._post.put(draft)

    def _same_before(self, connection: Connection, key: str, message: bytes) -> bytes | None:
        """Return the id under which these very bytes were taken before, however they were addressed then."""
        sent = tracking.find_by_key(connection, key)
        if sent is None:
            return None
        try:
            _, body = tracking.open_content(connection, sent.id, self._post.home)
        except (OSError, CryptoError):
            return None  # a large body whose file has gone: it cannot be compared any more
        return sent.id if body == message else None

    # ── refusing ───────────────────────────────────────────────────────────────────────

    def _malformed(self, fault: MalformedMessage, peer: Peer) -> _Taken:
        header = bare_header() if fault.partial is None else fault.partial
        return self._refused(header, Outcome.ERROR, str(fault), ErrorLocation.of(fault), peer, MALFORMED)

    def _not_taken(self, header: Header, fault: NodeError, addresses: Addresses | None, peer: Peer) -> _Taken:
        outcome, place, text = Outcome.ERROR, None, fault.text
        if isinstance(fault, Misaddressed):
            place = _place(header, fault.field)
            outcome = Outcome.REJECTED if fault.foreign else Outcome.ERROR
        elif isinstance(fault, KeyConflict):
            place = ErrorLocation("MSH", field=10, code=ErrorCode.DUPLICATE_KEY)
            text = "MSH-10: another message came under this control id before; each needs one of its own"
            self._alarm(
                "control-id-reused",
                f"{name_of(header.sending_application)!r} at {peer} sent two different messages as "
                f"{header.control_id!r}; the second was refused: its control ids must be unique",
            )
        elif isinstance(fault, UnknownRecipient) and addresses is not None and not addresses.routed:
            facility = fault.code in ("unknown-facility", "facility-inactive")
            place = _place(header, RECEIVING_FACILITY if facility else RECEIVING_APPLICATION)
            text = f"MSH-{place.field}: {fault.text}"
        elif isinstance(fault, NoRoom):
            outcome, text = Outcome.REJECTED, _TRY_LATER
        return self._refused(header, outcome, text, place, peer, fault.code)

    def _refused(
        self,
        header: Header,
        outcome: Outcome,
        text: str,
        place: ErrorLocation | None,
        peer: Peer,
        reason: str,
    ) -> _Taken:
        self._repeat_log.event(
            (reason, peer.host), _log, logging.WARNING, "mllp-refused", peer=peer, reason=reason, text=text
        )
        identifier = new_id(self._clock.now_ms())
        refused = mllp_answers.refusal(
            header, outcome, identifier, text, place or ErrorLocation(), always=reason == MALFORMED
        )
        if not refused:
            self._alarm(
                "mllp-refused-unheard",
                f"a message of {name_of(header.sending_application)!r} at {peer} was refused ({reason}), and "
                "its MSH-15 and MSH-16 want no answer: it is lost unless it is repaired and sent again",
            )
        return _Taken(header, identifier, refused)

    # ── answering ──────────────────────────────────────────────────────────────────────

    async def _answers(self, taken: _Taken, deadline_s: float) -> list[Answer]:
        acknowledge = self._settings.acknowledge
        level = mllp_answers.awaited(taken.header, acknowledge)
        sent = None
        if level is not State.QUEUED:
            sent = await self._reach(taken.id, level, deadline_s)
        if mllp_answers.wants_both(taken.header) and mllp_answers.reached(sent, level):
            soon_s = self._clock.monotonic_s() + APPLICATION_GRACE_S
            sent = await self._reach(taken.id, State.PROCESSED, min(soon_s, deadline_s))
        said = mllp_answers.answers(taken.header, taken.id, sent, acknowledge)
        event(_log, logging.DEBUG, "mllp-taken", id=id_text(taken.id), answers=",".join(a.code for a in said))
        return said

    async def _reach(self, identifier: bytes, level: State, deadline_s: float) -> tracking.Sent:
        left_s = max(0.0, deadline_s - self._clock.monotonic_s())
        return await self._post.wait_for(identifier, mllp_answers.waiting_ends(level), left_s)

    def _said(self, answers: list[Answer]) -> list[bytes]:
        for answer in answers:
            self._metrics.answers[answer.code].inc()
        return [answer.payload for answer in answers]


def key_of(header: Header) -> str:
    """Return what a message is known by: ``mllp:MSH-3/MSH-4/MSH-10``, a hash of it if that is too long."""
    parts = [quote_from_bytes(header.raw(number), safe=" ^&~") for number in (3, 4, 10)]
    key = "mllp:" + _SEPARATOR.join(parts)
    return key if len(key) <= limits.KEY_CHARS else "mllp:#" + blake2b(key.encode("ascii")).hex()


def _place(header: Header, field: int) -> ErrorLocation:
    code = ErrorCode.UNKNOWN_KEY if header.raw(field) else ErrorCode.REQUIRED_FIELD_MISSING
    return ErrorLocation("MSH", field=field, code=code)
