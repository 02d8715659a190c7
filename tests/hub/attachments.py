"""Attachments of chu-alger at a hub in memory, and messages that name them."""

from __future__ import annotations

import secrets

from crypto import filestream
from crypto.filestream import CHUNK_BYTES
from protocols.link.envelope import AttachmentRef, Envelope, Priority, SealedMessage, encode
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ORAN, Rest, message_id


def stored_file(rest: Rest, number: int, *, chunks: int = 1) -> AttachmentRef:
    """Store an attachment, as an upload does."""
    plain = [bytes(CHUNK_BYTES)] * (chunks - 1) + [b"scan"]
    sealed = [
        filestream.ChunkSealer(bytes(32)).seal(index, last=index == chunks - 1, plain=data)
        for index, data in enumerate(plain)
    ]
    root = filestream.RootHash()
    for index, chunk in enumerate(sealed):
        root.add(filestream.leaf_hash(index, chunk))
    ref = AttachmentRef(message_id(number), sum(map(len, plain)), root.digest())
    files = rest.core.files

    async def upload() -> None:
        await files.open_upload("chu-alger", ref.id, ref.size, ref.root)
        for index, chunk in enumerate(sealed):
            await files.append("chu-alger", ref.id, index, [chunk])
        await files.finish("chu-alger", ref.id)

    rest.run(upload())
    return ref


def message_with(*refs: AttachmentRef, number: int) -> bytes:
    """Return a sealed message that names these."""
    envelope = Envelope(
        version=1,
        id=message_id(number),
        sender=ALGER,
        recipients=(ORAN,),
        kind="file",
        priority=Priority.ROUTINE,
        created_ms=EPOCH_MS,
        valid_for_ms=DAY_MS,
        commitment=bytes(32),
        attachments=refs,
    )
    return encode(SealedMessage(encode(envelope), secrets.token_bytes(40), (), 1, bytes(64)))
