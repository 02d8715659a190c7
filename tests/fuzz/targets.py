"""Every parser of foreign bytes as one function: bytes in, nothing or one of our own errors out.

A target gives the bytes to the parser as the wire, the disk or a person would, uses the result as its callers
do, and says with ``True`` that they were taken and with ``False`` that they were refused. Whatever else comes
out (another exception, a broken promise, time without end) is a fault; the named inputs of
:mod:`tests.fuzz.bad` and the fuzzer (:mod:`tests.fuzz.fuzzer`) both look for it.

Where a check sum or a signature stands before a parser, a target of its own makes them right: whoever can
sign can also lie.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from config.errors import SettingsError
from config.hub import HubSettings
from config.load import parse_settings
from config.node import NodeSettings
from crypto import filestream, identity, keystore, sealing, trust
from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from crypto.noise import Handshake, Pattern
from hub.files import layout
from hub.files.errors import AttachmentError
from nodes.gateways.folder.control import parse_control
from nodes.gateways.folder.places import Unfit
from nodes.link.errors import NodeError
from protocols import mllp
from protocols.audit import checkpoint, succession
from protocols.audit import receipt as audit_receipts
from protocols.cda import document, render
from protocols.errors import RemoteProtocolError
from protocols.hl7 import batch, charsets, er7, xml
from protocols.hl7.acks import AcknowledgementMode, build_ack, read_ack
from protocols.hl7.header import read_header
from protocols.link import envelope, frames, joincode, opening, payloads, trustfile
from protocols.link import session as link

SETTINGS: Final = Path("/nowhere/settings.toml")
HUB: Final = LinkPrivateKey(bytes(range(32)))
NODE: Final = LinkPrivateKey(bytes(range(1, 33)))
SEALING: Final = SealingPrivateKey(bytes(range(2, 34)))
AUTHORITY: Final = SigningPrivateKey(bytes(range(3, 35)))
KEY: Final = bytes(range(4, 36))
ANCHORS: Final = trust.Anchors("hub", 0, HUB.public, AUTHORITY.public)
NOW_MS: Final = 1_790_000_000_000
PROLOGUE: Final = opening.prologue(Pattern.IK, "hub")
MLLP_MAX_BYTES: Final = 65_536
LEAVES: Final = 20_000
SINGLE_BYTES: Final = 2_000
LABELS: Final = render.Labels("empty", "notes", "note", "table", "picture", "no picture")
_OWN: Final = (RemoteProtocolError, CryptoError, SettingsError, NodeError, Unfit, AttachmentError)
"""What may come out of a parser of foreign bytes."""

Target = Callable[[bytes], object]


def taken(target: Target, data: bytes) -> bool:
    """Whether the target takes these bytes; raises whatever is none of our own errors."""
    try:
        return target(data) is not False
    except _OWN:
        return False


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield the bytes one by one, and what is behind ``SINGLE_BYTES`` of them in uneven pieces."""
    for at in range(min(len(data), SINGLE_BYTES)):
        yield data[at : at + 1]
    for at in range(SINGLE_BYTES, len(data), 61):
        yield data[at : at + 61]


# ── the link ───────────────────────────────────────────────────────────────────────────────


def first_packet(data: bytes) -> bool:
    """Take what a stranger sends first."""
    if len(data) < opening.PREAMBLE_BYTES:
        return False
    preamble = opening.read_preamble(data)
    key = opening.mac1_key(HUB.public)
    _, message = opening.read_first_packet(data[: preamble.packet_bytes], preamble, key)
    Handshake.responder(preamble.pattern, prologue=PROLOGUE, static=HUB).read_message(message)
    return True


def noise_message(data: bytes) -> None:
    """Take a Noise message behind a right mac1."""
    Handshake.responder(Pattern.IK, prologue=PROLOGUE, static=HUB).read_message(data)


def hello(data: bytes) -> None:
    """Take the payload of the first message, and of the second."""
    try:
        payloads.decode_hello(data)
    finally:
        payloads.decode_welcome(data)


@dataclass(frozen=True, slots=True)
class _Pair:
    hub: link.LinkSession
    node: link.LinkSession


def _pair() -> _Pair:
    """Two ends of an open session."""
    greeting = payloads.Hello("fuzz", NOW_MS, 8)
    hub = link.LinkSession.hub(static=HUB, hub_name="hub", now_ms=lambda: NOW_MS, submit_window=8)
    node = link.LinkSession.node(
        static=NODE, hub_key=HUB.public, hub_name="hub", hello=greeting, now_ms=lambda: NOW_MS
    )
    hub.receive(node.data_to_send())
    hub.welcome(payloads.Welcome("fuzz", NOW_MS, 8, 1 << 20))
    for _ in range(2):
        node.receive(hub.data_to_send())
        hub.receive(node.data_to_send())
    assert hub.open
    assert node.open
    return _Pair(hub, node)


def _refuses(session: link.LinkSession, data: bytes) -> bool:
    """Feed a session; whether it calls its peer broken. It raises nothing, whatever it is fed."""
    return not any(isinstance(event, link.Broken) for event in session.receive(data))


def wire_to_hub(data: bytes) -> bool:
    """Take bytes of a stranger, whole and one by one: both must be answered alike."""
    sessions = [
        link.LinkSession.hub(static=HUB, hub_name="hub", now_ms=lambda: NOW_MS, submit_window=8)
        for _ in range(2)
    ]
    whole = [type(event) for event in sessions[0].receive(data)]
    single = [type(event) for piece in _pieces(data) for event in sessions[1].receive(piece)]
    assert whole == single, (whole, single)
    return link.Broken not in whole


def said_to_hub(data: bytes) -> bool:
    """Take frames that an enrolled node says in an open session."""
    pair = _pair()
    pair.node._writer.put(data)
    return _refuses(pair.hub, pair.node.data_to_send(64))


def said_to_node(data: bytes) -> bool:
    """Take frames that a hub says in an open session."""
    pair = _pair()
    pair.hub._writer.put(data)
    return _refuses(pair.node, pair.hub.data_to_send(64))


def record(data: bytes) -> bool:
    """Take ciphertext in an open session."""
    return _refuses(_pair().hub, data)


def frame(data: bytes) -> None:
    """Take the plain text of a record."""
    for read in frames.decode_frames(data):
        assert b"".join([frames.encode_frame(read)])


def message(data: bytes) -> None:
    """Take a sealed message, its envelope, its signature and its seal."""
    sealed = envelope.decode_message(data)
    envelope.decode_envelope(sealed.envelope)
    digest = sealing.message_digest(sealed.envelope, sealed.sealed)
    for wrap in sealed.wraps[:1]:
        key = sealing.unwrap_key(wrap.key, SEALING)
        envelope.decode_content(sealing.open_body(key, sealed.envelope, sealed.sealed))
    sealing.verify_message(AUTHORITY.public, digest, sealed.signature)


def an_envelope(data: bytes) -> None:
    """Take an envelope alone."""
    read = envelope.decode_envelope(data)
    assert read.sender_facility
    assert read.recipient_facilities


def content(data: bytes) -> None:
    """Take what is inside a seal."""
    envelope.decode_content(data)


def receipt(data: bytes) -> None:
    """Take a signed receipt."""
    read, signed = envelope.decode_receipt(data)
    sealing.open_detail(SEALING, read.detail)
    sealing.verify_receipt(AUTHORITY.public, signed.receipt, signed.signature)


def statement(data: bytes) -> None:
    """Take a credential, revocation or group, as a hub passes it on."""
    identity.verify(data, AUTHORITY.public)


def signed_statement(data: bytes) -> None:
    """Take the same, where the authority has signed what is wrong: its type first, then its payload."""
    number = data[0] % 5 if data else 0
    payload = data[1:]
    signature = AUTHORITY.sign(identity.DOMAINS.get(number, b"") + payload)
    identity.verify(identity._ENCODER.encode(identity._Wire(number, payload, signature)), AUTHORITY.public)


def key_change(data: bytes) -> None:
    """Take a change of the network's own keys, as a hub passes it on, and follow it."""
    ANCHORS.follow(data)


def signed_key_change(data: bytes) -> None:
    """Take the same, where the authority has signed what is wrong."""
    signature = AUTHORITY.sign(trust._DOMAIN + data)
    ANCHORS.follow(trust._ENCODER.encode(trust._Wire(4, data, signature)))


def trust_file(data: bytes) -> None:
    """Take a file of such changes, as somebody carried it to a node."""
    for blob in trustfile.decode_trust_file(data).changes:
        ANCHORS.follow(blob)


def a_checkpoint(data: bytes) -> None:
    """Take a checkpoint of the audit log, as a hub or a node shows it."""
    checkpoint.verify(data)
    checkpoint.countersign(AUTHORITY, "chu-alger", data)


def signed_checkpoint(data: bytes) -> None:
    """Take the same, where the hub has signed what is wrong."""
    signed = checkpoint._Signed(data, AUTHORITY.sign(checkpoint.DOMAIN + data))
    checkpoint.verify(checkpoint._ENCODER.encode(signed), AUTHORITY.public)


def audit_key(data: bytes) -> None:
    """Take a change of the audit key, and follow it."""
    succession.follow(AUTHORITY.public, [data], "hub")


def signed_audit_key(data: bytes) -> None:
    """Take the same, where the key before has signed what is wrong."""
    signed = succession._Signed(data, AUTHORITY.sign(succession.DOMAIN + data))
    succession.follow(AUTHORITY.public, [succession._ENCODER.encode(signed)], "hub")


def audit_receipt(data: bytes) -> None:
    """Take a receipt of the audit log that somebody shows, and check it."""
    audit_receipts.check(audit_receipts.parse(data), AUTHORITY.public, AUTHORITY.public)


def join_code(data: bytes) -> None:
    """Take a line that somebody pasted."""
    joincode.decode_joincode(data.decode("utf-8", "surrogateescape"))


def join_code_content(data: bytes) -> None:
    """Take the same, with a right check sum around what is wrong."""
    payload = joincode._base64(data + joincode._check(data))
    joincode.decode_joincode(joincode.PREFIX + payload)


# ── files of our own, which others may have touched ─────────────────────────────────────────


def key_file(data: bytes) -> None:
    """Take a home's private keys."""
    keystore.parse(data)


def attachment_header(data: bytes) -> bool:
    """Take the head of a stored attachment, with a right check sum around it, and without."""
    padded = data[: layout.HEADER_BYTES - 16].ljust(layout.HEADER_BYTES - 16, b"\0")
    plain = layout.decode_header(data)
    header = layout.decode_header(padded + layout._checksum(padded))
    layout.decode_mark(bytes(32), data[:16])
    for read in (plain, header):
        if read is not None:
            layout.check_header(read)
            assert read.file_bytes >= read.data_offset >= layout.HEADER_BYTES
    return header is not None


def chunk(data: bytes) -> None:
    """Take a sealed chunk."""
    filestream.ChunkOpener(KEY).open(0, True, data)  # noqa: FBT003 - the last one


def hub_settings(data: bytes) -> None:
    """Take hub.toml."""
    parse_settings(data, SETTINGS, HubSettings)


def node_settings(data: bytes) -> None:
    """Take node.toml."""
    parse_settings(data, SETTINGS, NodeSettings)


# ── what local systems send ─────────────────────────────────────────────────────────────────


def er7_message(data: bytes) -> None:
    """Take an HL7 message, read through to its last value, and answered."""
    read = er7.Message(data)
    assert bytes(read) == data
    for count, leaf in enumerate(read.walk()):
        read.text(leaf.value)
        if count > LEAVES:
            break
    read.get("PID-3.1")
    header = read.header
    assert isinstance(AcknowledgementMode.from_header(header).anything_due(), bool)
    answer = build_ack(header, "AE", now="20260101", control_id="1", text="no")
    assert read_ack(answer).answers(header.control_id, header.control_id_bytes)


def hl7_header(data: bytes) -> None:
    """Take MSH alone."""
    header = read_header(data)
    assert isinstance(header.message_type, str)
    assert isinstance(header.sending_facility, object)


def hl7_answer(data: bytes) -> None:
    """Take what a local system says to a message that it was given."""
    assert isinstance(read_ack(data).positive, bool)


def hl7_batch(data: bytes) -> None:
    """Take a batch file: nothing of it is lost in the split."""
    if batch.is_batch(data):
        read = batch.split(data)
        assert all(part in data for part in read)


def charset(data: bytes) -> None:
    """Take text in what its first byte says is its character set."""
    labels = (
        "",
        "UNICODE UTF-8",
        "8859/6",
        "ISO IR87",
        "UNICODE UTF-16",
        "GB 18030-2000",
        "nonsense",
        "ASCII",
    )
    decoded = charsets.decode(data[1:], labels[data[0] % len(labels)] if data else None)
    assert isinstance(decoded.text, str)


def hl7_xml(data: bytes) -> None:
    """Take HL7 in XML, to ER7 and back."""
    er7_bytes = xml.from_xml(data)
    xml.to_xml(er7.Message(er7_bytes))


def cda_document(data: bytes) -> None:
    """Take a clinical document, and show it."""
    render.narrative(document.read(data), LABELS, {})


def mllp_stream(data: bytes) -> bool:
    """Take bytes on an MLLP connection: whole and one by one they are the same events."""
    whole, single = (mllp.FrameReader(MLLP_MAX_BYTES) for _ in range(2))
    first = [*whole.feed(data), *whole.flush()]
    second = [event for piece in _pieces(data) for event in single.feed(piece)] + single.flush()
    assert _messages(first) == _messages(second)
    assert whole.buffered_bytes <= MLLP_MAX_BYTES
    return bool(first) and all(isinstance(event, mllp.MessageReceived) for event in first)


def _messages(events: list[mllp.Event]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, mllp.MessageReceived)]


def sidecar(data: bytes) -> None:
    """Take a control file of the drop folder, in JSON and in TOML."""
    try:
        parse_control("a.json", data)
    except Unfit:
        parse_control("a.toml", data)


@cache
def _api() -> Any:
    """Return a node's API on real stores, for the life of this process."""
    from tests.nodes.fixtures import open_station  # noqa: PLC0415 - only this target needs a home
    from tests.nodes.gateways.api_ends import open_caller  # noqa: PLC0415 - likewise

    stack = ExitStack()
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wasl-fuzz-")))
    caller = stack.enter_context(open_caller(stack.enter_context(open_station(home))))
    _KEPT.append(stack)
    return caller


_KEPT: Final[list[ExitStack]] = []


def close() -> None:
    """Take down what targets keep between calls."""
    _api.cache_clear()
    while _KEPT:
        _KEPT.pop().close()


def api_json(data: bytes) -> bool:
    """Take a body of POST /v1/messages, with the token; then the same bytes as a path and a query."""
    caller = _api()
    answer = caller.post("/v1/messages", data=data, content_type="application/json")
    assert answer.status_code < 500, answer.get_data()
    return bool(answer.status_code < 300)


def api_request(data: bytes) -> bool:
    """Take path, query and headers: lines of the bytes, in this order."""
    path, query, media_type, span, body = (data.split(b"\n", 4) + [b""] * 5)[:5]
    words = [one.decode("latin-1").replace("\r", "") for one in (path, query, media_type, span)]
    answer = _api().ask(
        "POST" if body else "GET",
        "/v1/" + words[0].replace("?", ""),
        query_string=words[1],
        headers={"Range": words[3]},
        content_type=words[2] or None,
        data=body,
    )
    assert answer.status_code < 500, answer.get_data()
    return bool(answer.status_code < 400)


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (
        first_packet, noise_message, hello, wire_to_hub, said_to_hub, said_to_node, record, frame, message,
        an_envelope, content, receipt, statement, signed_statement, key_change, signed_key_change, trust_file,
        a_checkpoint, signed_checkpoint, audit_key, signed_audit_key, audit_receipt, join_code,
        join_code_content, key_file,
        attachment_header, chunk, hub_settings, node_settings, er7_message, hl7_header, hl7_answer, hl7_batch,
        charset, hl7_xml, cda_document, mllp_stream, sidecar, api_json, api_request,
    )
}  # fmt: skip
