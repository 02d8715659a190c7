"""Sealed messages as another facility's node makes them, each part open to a test that spoils it."""

from __future__ import annotations

from dataclasses import dataclass, field

from crypto import filestream, sealing
from crypto.keys import SealingPublicKey
from crypto.primitives import blake2b
from nodes.link.ids import new_id
from nodes.link.opening import Opened, open_delivery
from nodes.link.trust import Trust
from protocols.link import frames as f
from protocols.link.envelope import (
    AttachmentRef,
    Content,
    Envelope,
    NamedFile,
    Priority,
    SealedMessage,
    Wrap,
    encode,
)
from tests.nodes.fixtures import EPOCH_MS, HERE, Network, Station

THERE = "chu-oran"


@dataclass
class Attached:
    """An attachment as its sender has it: plain bytes, reference, sealed chunks."""

    ref: AttachmentRef
    named: NamedFile
    plain: bytes
    chunks: list[bytes]


def attach(content_key: sealing.ContentKey, plain: bytes, name: str = "scan.bin") -> Attached:
    """Seal ``plain`` as an attachment under ``content_key``."""
    identifier = new_id(EPOCH_MS)
    sealer = filestream.ChunkSealer(sealing.attachment_key(content_key, identifier))
    count = filestream.chunk_count(len(plain))
    step = filestream.CHUNK_BYTES
    chunks = [sealer.seal(i, i == count - 1, plain[i * step : (i + 1) * step]) for i in range(count)]
    root = filestream.RootHash()
    for index, chunk in enumerate(chunks):
        root.add(filestream.leaf_hash(index, chunk))
    ref = AttachmentRef(identifier, len(plain), root.digest())
    return Attached(ref, NamedFile(name, "application/octet-stream", blake2b(plain)), plain, chunks)


@dataclass
class Letter:
    """A message to this node. Change a field, then take ``delivery``."""

    network: Network
    sender: str = f"labo@{THERE}"
    recipient: str = f"labo@{HERE}"
    recipients: tuple[str, ...] = ()
    body: bytes = b"MSH|^~\\&|"
    subject: str = "a subject"
    kind: str = "ORU^R01"
    priority: Priority = Priority.ROUTINE
    id: bytes = field(default_factory=lambda: new_id(EPOCH_MS))
    content_key: sealing.ContentKey = field(default_factory=sealing.ContentKey.generate)
    attached: tuple[Attached, ...] = ()
    body_outside: bool = False
    signer_serial: int = 1
    commitment: bytes = b""
    sealing_key: SealingPublicKey | None = None
    remaining_ms: int = 60_000
    named: tuple[NamedFile, ...] | None = None

    @property
    def facility(self) -> str:
        """The sender's facility."""
        return self.sender.partition("@")[2]

    def envelope(self) -> bytes:
        """Return the encoded envelope."""
        return encode(
            Envelope(
                version=1,
                id=self.id,
                sender=self.sender,
                recipients=self.recipients or (self.recipient,),
                kind=self.kind,
                priority=self.priority,
                created_ms=EPOCH_MS,
                valid_for_ms=86_400_000,
                commitment=self.commitment or sealing.key_commitment(self.content_key),
                body_outside=self.body_outside,
                attachments=tuple(one.ref for one in self.attached),
            )
        )

    def message(self) -> SealedMessage:
        """Return the whole, signed by the sender."""
        envelope = self.envelope()
        named = self.named
        if named is None:
            named = tuple(one.named for one in self.attached[self.body_outside :])
        content = encode(Content(b"" if self.body_outside else self.body, self.subject, "", "", named))
        sealed = sealing.seal_body(self.content_key, envelope, content)
        key = self.sealing_key or self.network.keys_of(HERE).sealing.public
        signature = sealing.sign_message(
            self.network.keys_of(self.facility).signing, sealing.message_digest(envelope, sealed)
        )
        wrap = Wrap(HERE, 1, sealing.wrap_key(self.content_key, key))
        return SealedMessage(envelope, sealed, (wrap,), self.signer_serial, signature)

    def delivery(self, sequence: int = 1, message: SealedMessage | None = None) -> f.Delivery:
        """Return what the hub hands out."""
        blob = encode(message or self.message())
        return f.Delivery(sequence, self.recipient, self.remaining_ms, blob)

    def opened(self, station: Station, sequence: int = 1) -> Opened:
        """Return it opened by the station's node."""
        return open_delivery(self.delivery(sequence), station.identity, trust_of(station))


def trust_of(station: Station) -> Trust:
    """Return whom the station's node trusts now."""
    return station.do(lambda connection: Trust.load(connection, station.identity.authority_key))
