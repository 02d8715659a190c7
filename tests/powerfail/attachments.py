"""Power failures under the attachment files: the hub's store, and the node's sealed and arrived files.

A recording (:mod:`tests.powerfail.syscalls`) runs the real code on a tree and notes what it answered for:
chunks synced, attachments stored, files sealed, files fetched. Each crash is then looked at by the same code
in a fresh process's state, which goes on where the crash left it. What must hold:

* hub: an upload goes on at or behind the last chunk that was acknowledged, and ends in the bytes that were
  announced; what was STORED is read back byte for byte; nothing is ever read that is not what was sent;
* node, outgoing: a file that ``prepare`` returned is whole, sealed as it was;
* node, incoming: a file that ``finish`` returned is whole; one that was not is taken up or found damaged and
  fetched anew, and ends whole;
* keys and identity (``write_private``): the old file or the new one.

Not covered: who calls what in which order (``tests/simulation``), decay at rest (``tests/bitflips``).
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from crypto import filestream
from crypto.errors import CryptoError
from hub.files.core import AttachmentFiles
from hub.files.errors import AttachmentError, AttachmentMissing, Conflict, Damaged
from nodes.link import files
from nodes.link.fetching import LeftoverDamaged, PlainFile
from nodes.link.reading import plain_chunks
from protocols.link.envelope import AttachmentRef
from runtime.home import write_private
from runtime.storage_errors import StorageError

OWNER: Final = "chu-alger"
_SIZES: Final = (0, 700, filestream.CHUNK_BYTES, filestream.CHUNK_BYTES + 1, 3 * filestream.CHUNK_BYTES - 9)
_EPOCH_MS: Final = 1_790_000_000_000


class Work(ABC):
    """Something that keeps files, at work and after a crash."""

    @abstractmethod
    def record(self, root: Path, random: Random, note: Any) -> None:
        """Work below ``root``; call ``note`` with what is answered for from then on."""

    @abstractmethod
    def faults(self, root: Path, notes: Sequence[Any]) -> list[str]:
        """Go on after a crash; return what is wrong."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An attachment as it travels."""

    ref: AttachmentRef
    chunks: tuple[bytes, ...] = field(repr=False)
    plain: bytes = field(repr=False)
    key: bytes = field(repr=False)


def sealed(random: Random, identifier: bytes | None = None) -> Sealed:
    """Make one up."""
    plain, key = random.randbytes(random.choice(_SIZES)), random.randbytes(32)
    sealer, root = filestream.ChunkSealer(key), filestream.RootHash()
    count, step = filestream.chunk_count(len(plain)), filestream.CHUNK_BYTES
    chunks = tuple(
        sealer.seal(index, index == count - 1, plain[index * step : (index + 1) * step])
        for index in range(count)
    )
    for index, chunk in enumerate(chunks):
        root.add(filestream.leaf_hash(index, chunk))
    ref = AttachmentRef(identifier or random.randbytes(16), len(plain), root.digest())
    return Sealed(ref, chunks, plain, key)


# ── the hub ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answered:
    """The hub's word about an attachment: so many chunks durable; stored; given up (anything may follow)."""

    attachment: Sealed
    chunks: int = 0
    stored: bool = False
    given_up: bool = False


class HubFiles(Work):
    """Uploads that come interleaved, with syncs at any place, and attachments that are deleted."""

    def record(self, root: Path, random: Random, note: Any) -> None:
        store = _store(root, max_open=random.choice((1, 2, 128)))
        attachments = [sealed(random) for _ in range(3)]
        going = {attachment.ref.id: attachment for attachment in attachments}
        for _ in range(random.randint(8, 30)):
            if not going:
                break
            self._step(store, random.choice(list(going.values())), going, random, note)
            if random.random() < 0.1:
                store.close()
                store = _store(root)
        store.close()

    def _step(
        self, store: AttachmentFiles, one: Sealed, going: dict[bytes, Sealed], random: Random, note: Any
    ) -> None:
        identifier = one.ref.id
        have = store.open_upload(OWNER, identifier, one.ref.size, one.ref.root)
        note(Answered(one, have))
        if have < len(one.chunks):
            until = min(len(one.chunks), have + random.randint(1, 2))
            store.append(OWNER, identifier, have, one.chunks[have:until])
            if random.random() < 0.7:
                note(Answered(one, store.sync(OWNER, identifier)))
        elif random.random() < 0.85:
            store.finish(OWNER, identifier)
            note(Answered(one, len(one.chunks), stored=True))
            if random.random() < 0.4:
                del going[identifier]
        if random.random() < 0.1:
            note(Answered(one, given_up=True))
            store.delete(OWNER, identifier)
            going[identifier] = sealed(random, identifier)

    def faults(self, root: Path, notes: Sequence[Any]) -> list[str]:
        said: dict[bytes, Answered] = {}
        seen: dict[bytes, list[Sealed]] = {}
        for answered in notes:
            identifier = answered.attachment.ref.id
            said[identifier] = answered
            if answered.attachment not in seen.setdefault(identifier, []):
                seen[identifier].append(answered.attachment)
        try:
            store = _store(root)
            found = [
                fault
                for identifier, answered in said.items()
                for fault in _hub_faults(store, answered, seen[identifier])
            ]
            store.close()
        except StorageError as error:
            return [f"the store: {error}"]
        return found


def _store(root: Path, max_open: int = 128) -> AttachmentFiles:
    return AttachmentFiles(root / "attachments", now_ms=lambda: _EPOCH_MS, floor_bytes=0, max_open=max_open)


def _hub_faults(store: AttachmentFiles, answered: Answered, seen: list[Sealed]) -> list[str]:
    one, name = answered.attachment, answered.attachment.ref.id.hex()[:8]
    if answered.stored and not answered.given_up and not _has(store, one):
        return [f"{name} was stored and is not here"]
    here = [other for other in seen if _has(store, other)]
    if not here:
        fault = _upload_fault(store, answered)
        return [f"{name}: {fault}"] if fault else _unlike(store, one, name)
    if answered.stored and not answered.given_up and here != [one]:
        return [f"{name}: another one is here than was stored"]
    return _unlike(store, here[0], name)


def _upload_fault(store: AttachmentFiles, answered: Answered) -> str:
    """Go on with an upload to its end; return what is wrong with it, or nothing."""
    one, chunks = answered.attachment, 0 if answered.given_up else answered.chunks
    try:
        have = _taken_up(store, one)
    except (Conflict, Damaged) as error:
        if chunks:
            return f"{chunks} chunks were acknowledged: {error}"
        store.delete(OWNER, one.ref.id)
        have = _taken_up(store, one)
    if have < chunks:
        return f"{chunks} chunks were acknowledged, {have} are here"
    try:
        for index in range(have, len(one.chunks)):
            store.append(OWNER, one.ref.id, index, one.chunks[index : index + 1])
        store.finish(OWNER, one.ref.id)
    except AttachmentError as error:
        return f"the upload cannot be ended: {error}"
    return ""


def _has(store: AttachmentFiles, one: Sealed) -> bool:
    """Return whether it is stored; what is damaged is in quarantine from now on, and missing."""
    try:
        return store.has(OWNER, one.ref.id, one.ref.size, one.ref.root)
    except Damaged:
        return False


def _taken_up(store: AttachmentFiles, one: Sealed) -> int:
    return store.open_upload(OWNER, one.ref.id, one.ref.size, one.ref.root)


def _unlike(store: AttachmentFiles, one: Sealed, name: str) -> list[str]:
    try:
        read = store.read(OWNER, one.ref.id, 0, len(one.chunks))
    except (Damaged, AttachmentMissing) as error:
        return [f"{name}: {error}"]
    return [] if tuple(read) == one.chunks else [f"{name} reads as something else"]


# ── the node ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Prepared:
    """A put's files, durable before the put is committed."""

    prepared: files.Prepared
    plain: tuple[bytes, ...]


class NodeOutgoing(Work):
    """Bodies and attachments sealed for sending."""

    def record(self, root: Path, random: Random, note: Any) -> None:
        for _ in range(random.randint(1, 4)):
            data = [random.randbytes(random.choice(_SIZES)) for _ in range(random.randint(0, 2))]
            body = random.randbytes(random.choice((10, 70_000)))
            sources = [files.Source("scan.bin", "image/png", io.BytesIO(one), len(one)) for one in data]
            prepared = files.prepare(root, body, sources, floor_bytes=0)
            outside = (body,) if prepared.body_outside else ()
            note(Prepared(prepared, outside + tuple(data)))

    def faults(self, root: Path, notes: Sequence[Any]) -> list[str]:
        found = []
        for one in notes:
            for file, plain in zip(one.prepared.files, one.plain, strict=True):
                try:
                    read = b"".join(plain_chunks(root / file.path, one.prepared.content_key, file.ref))
                except (OSError, CryptoError) as error:
                    found.append(f"{file.path} was sealed durably: {error}")
                else:
                    found += [] if read == plain else [f"{file.path} holds something else"]
        return found


@dataclass(frozen=True, slots=True)
class Fetched:
    """An attachment that is being fetched, or (``done``) is here for good."""

    attachment: Sealed
    path: str
    done: bool


class NodeIncoming(Work):
    """Attachments fetched chunk by chunk, given up and taken up again."""

    def record(self, root: Path, random: Random, note: Any) -> None:
        for number in range(random.randint(1, 3)):
            one = sealed(random)
            path = f"incoming/{number:02}-0"
            note(Fetched(one, path, done=False))
            while not self._fetch(root / path, one, random):
                pass
            note(Fetched(one, path, done=True))

    def _fetch(self, path: Path, one: Sealed, random: Random) -> bool:
        """Fetch, or be cut off; returns whether it is done."""
        file = PlainFile(path, one.ref, one.key)
        try:
            have = file.recover()
            while have < len(one.chunks):
                if random.random() < 0.2:
                    return False
                until = min(len(one.chunks), have + random.randint(1, 2))
                have = file.write(list(one.chunks[have:until]))
            file.finish()
        finally:
            file.close()
        return True

    def faults(self, root: Path, notes: Sequence[Any]) -> list[str]:
        last = {fetched.path: fetched for fetched in notes}
        found = []
        for fetched in last.values():
            path = root / fetched.path
            if fetched.done and not path.exists():
                found.append(f"{fetched.path} was fetched and is not here")
                continue
            if not fetched.done:
                self._again(path, fetched.attachment)
            if path.read_bytes() != fetched.attachment.plain:
                found.append(f"{fetched.path} holds something else")
        return found

    def _again(self, path: Path, one: Sealed) -> None:
        """Do what the next session does; a leftover that was spoiled is thrown away once."""
        always = Random(0)
        always.random = lambda: 1.0  # type: ignore[method-assign]  # nothing cuts it off any more
        try:
            self._fetch(path, one, always)
        except LeftoverDamaged:
            path.unlink()
            self._fetch(path, one, always)


class PrivateFiles(Work):
    """Keys, identity and settings, written again and again."""

    def record(self, root: Path, random: Random, note: Any) -> None:
        for _ in range(random.randint(2, 4)):
            content = random.randbytes(random.choice((0, 300, 5_000)))
            note((content, False))
            write_private(root / "keys", content)
            note((content, True))

    def faults(self, root: Path, notes: Sequence[Any]) -> list[str]:
        durable = [content for content, done in notes if done]
        begun = [content for content, _ in notes]
        if not durable:
            return []
        if not (root / "keys").exists():
            return ["keys were written durably and are not here"]
        allowed = durable[-1:] + begun[-1:]
        return [] if (root / "keys").read_bytes() in allowed else ["keys are neither the old nor the new"]


WORKS: Final[dict[str, type[Work]]] = {
    "hub": HubFiles,
    "outgoing": NodeOutgoing,
    "incoming": NodeIncoming,
    "private": PrivateFiles,
}
