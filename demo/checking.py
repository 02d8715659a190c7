"""What ``--once`` checks after all scenes: every promise that can be seen from outside.

For each message that was sent: it is processed; it arrived byte for byte, once; the answer that its sender
was given is byte for byte the one that the other hospital system wrote; its DICOM file came out of the other
node with the same hash. For the urgent order: it was served before routine ones that were there earlier. For
the hub: no file in its home holds a segment, a name, a number or a piece of an image that was sent; the same
search does find what the hub may know, so it can find.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from demo import localapi
from demo.people import PATIENTS
from demo.scenes import ADMISSIONS, LABORATORY, Country, Sending, sha256
from demo.watching import Row
from protocols.hl7.er7 import Message
from protocols.link.envelope import State, facility_of

_TELLING_BYTES: Final = 24
"""A segment or value of at least this many bytes is not found somewhere by chance."""
_IMAGE_PIECES: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, and what is wrong (empty: nothing)."""

    what: str
    faults: tuple[str, ...] = ()


def findings(country: Country, rows: dict[str, Row]) -> list[Finding]:
    """Check everything; blocks."""
    by_key = {row.key.rpartition("/")[2]: row for row in rows.values()}
    sent = list(country.sendings)
    messages = [(sending, by_key.get(sending.control_id)) for sending in sent]
    return [
        Finding(
            f"{len(sent)} messages sent, each processed", _gather(_processed(*pair) for pair in messages)
        ),
        Finding("each arrived once, byte for byte", _gather(_arrived(country, one) for one in sent)),
        Finding(
            "each answer came back byte for byte", _gather(_answered(country, *pair) for pair in messages)
        ),
        _image(country, messages),
        _overtaking(country),
        _blindness(country),
    ]


def _gather(faults: Iterator[str]) -> tuple[str, ...]:
    return tuple(fault for fault in faults if fault)


def _name(sending: Sending) -> str:
    head = Message(sending.payload).header
    return f"{head.message_type} {head.control_id} from {sending.sender} to {sending.recipient}"


def _processed(sending: Sending, row: Row | None) -> str:
    if row is None:
        return f"{_name(sending)} is in no outbox"
    return "" if row.state is State.PROCESSED else f"{_name(sending)} is {row.state.word} {row.reason}"


def _arrived(country: Country, sending: Sending) -> str:
    taken = [one.payload for one in country.systems[facility_of(sending.recipient)].taken]
    times = taken.count(sending.payload)
    return "" if times == 1 else f"{_name(sending)} arrived {times} times"


def _answered(country: Country, sending: Sending, row: Row | None) -> str:
    system = country.systems[facility_of(sending.recipient)]
    given = next((one.answer for one in system.taken if one.payload == sending.payload), None)
    if row is not None and row.answer != given:
        return f"{_name(sending)}: the answer in its node is not the one that was given"
    waited = not sending.file
    return (
        f"{_name(sending)}: its sender was told something else" if waited and sending.answer != given else ""
    )


def _image(country: Country, messages: list[tuple[Sending, Row | None]]) -> Finding:
    faults, hashes = [], []
    for sending, row in messages:
        if sending.file and row is not None:
            node = country.network.nodes[facility_of(sending.recipient)]
            came = sha256(localapi.attachment(node, row.id, 1))
            hashes.append(came)
            if came != sha256(sending.file):
                faults.append(f"{_name(sending)}: the image came as {came}, sent was {sha256(sending.file)}")
    size = sum(len(sending.file) for sending, _ in messages)
    if not hashes:
        faults.append("no image was sent")
    return Finding(
        f"the DICOM image ({size:,} bytes) has the same SHA-256: {' '.join(hashes)}", tuple(faults)
    )


def _overtaking(country: Country) -> Finding:
    order = [sending.payload for sending in country.sendings]
    served = [taken.payload for taken in country.systems[facility_of(LABORATORY)].taken]
    faults, overtaken = [], 0
    for sending in country.sendings:
        if sending.urgent and sending.payload in served:
            earlier = set(order[: order.index(sending.payload)])
            overtaken += len(earlier.intersection(served[served.index(sending.payload) :]))
    if not overtaken:
        faults.append("the STAT order was served behind all routine orders that were there before it")
    return Finding(f"the STAT order overtook {overtaken} routine orders", tuple(faults))


def _blindness(country: Country) -> Finding:
    files = {
        path: path.read_bytes() for path in sorted(country.network.hub_home.rglob("*")) if path.is_file()
    }
    secrets = set(_secrets(list(country.sendings)))
    faults = [
        f"{path} holds {secret[:40]!r}"
        for path, data in files.items()
        for secret in secrets
        if secret in data
    ]
    known = (ADMISSIONS.encode(), b"ADT^A01")
    faults += [
        f"the search does not even find {one!r}"
        for one in known
        if all(one not in data for data in files.values())
    ]
    size = sum(len(data) for data in files.values())
    return Finding(
        f"the hub's home ({len(files)} files, {size:,} bytes) holds none of {len(secrets)} pieces of content",
        tuple(faults),
    )


def _secrets(sendings: list[Sending]) -> Iterator[bytes]:
    """Everything that the hub must not know, in the form in which it was sent."""
    for patient in PATIENTS:
        for text in (patient.nin, patient.record, patient.family, patient.family_ar):
            yield text.encode()
    for sending in sendings:
        yield sending.control_id.encode()
        for segment in Message(sending.payload).segments[1:]:
            if len(segment.raw) >= _TELLING_BYTES:
                yield segment.raw
                yield segment.raw[-_TELLING_BYTES:]
        step = max(1, len(sending.file) // (_IMAGE_PIECES + 1))
        pieces = (sending.file[at : at + 256] for at in range(step, len(sending.file), step))
        yield from (piece for piece in pieces if len(set(piece)) > 2)  # noqa: PLR2004 - not a plain grey area
