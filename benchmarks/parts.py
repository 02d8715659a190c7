"""``python -m benchmarks parts``: what each part of a message's way costs by itself, in one thread, warm.

The pure parts and the SQL, called in a loop on real messages; nothing waits and nothing is cold, so the sum
is what would be left if sockets, threads, turns of the reactor and the processor's caches cost nothing. What
``hub`` and ``path`` measure beyond it is those.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine

import hub.audit.tables
import hub.directory.tables
import hub.spool.tables  # noqa: F401 - declares its tables
from benchmarks.light import MESSAGE_BYTES, Letters, now_ms
from benchmarks.mllp import END, oru
from config.node import Acknowledge
from crypto import sealing
from crypto.keys import SealingPrivateKey, SigningPrivateKey
from crypto.primitives import Aead
from crypto.sealing import ContentKey
from hub.metadata import metadata
from hub.spool import store
from hub.spool.store import Entry, News
from nodes.gateways.drafting import patient_of
from nodes.gateways.mllp_answers import answers
from nodes.link.ids import new_id
from protocols.hl7.header import read_header
from protocols.hl7.priority import is_stat
from protocols.link import frames as f
from protocols.link.envelope import (
    Receipt,
    SignedReceipt,
    State,
    decode_envelope,
    decode_message,
    decode_receipt,
    encode,
)
from runtime.transactions import open_engine, transact

PER_FRAME = 24
"""Messages in one frame, and in one record: some 25 KiB."""
PER_COMMIT = 400
ROUNDS = 15
CALLS = 400
_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: whose work it is, how often a message needs it, and its cost."""

    where: str
    part: str
    us: float
    times: int

    @property
    def us_per_message(self) -> float:
        """What it adds up to for one message."""
        return round(self.us * self.times, 1)


def timed(call: Callable[[], object], *, share: int = 1, calls: int = CALLS) -> float:
    """Return the median microseconds of processor time of one call, divided by ``share``."""
    call()
    figures = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(calls // share or 1):
            call()
        figures.append((time.process_time() - began_s) / (calls // share or 1) / share * 1e6)
    return round(statistics.median(figures), 1)


def of_link() -> Iterator[Part]:
    """Yield reading and writing of what goes over the link at the hub."""
    letters = Letters("s0001", "r0001")
    blob = letters.make(1)[0]
    message = decode_message(blob)
    receipt = signed_receipt(blob)
    key = Aead(bytes(32))
    record = os.urandom(PER_FRAME * (MESSAGE_BYTES + 64))
    sealed = key.encrypt(_NONCE, record, b"")
    submit = f.encode_frame(f.Submit((f.Submission(blob, 0),) * PER_FRAME))
    deliver = f.Deliver((f.Delivery(5, "box@r0001", 1_000, blob),) * PER_FRAME)
    taken = f.encode_frame(f.Taken((f.Taking(5, State.DELIVERED, "", receipt),) * PER_FRAME))
    events = f.Events((f.Event(5, bytes(16), "box@r0001", State.DELIVERED, "", 5, receipt),) * PER_FRAME)
    group = partial(timed, share=PER_FRAME)
    yield Part("hub", "records opened and sealed", group(lambda: key.decrypt(_NONCE, sealed, b"")), 2)
    yield Part("hub", "SUBMIT read", group(lambda: list(f.decode_frames(submit))), 1)
    yield Part(
        "hub", "message and envelope read", timed(lambda: decode_envelope(decode_message(blob).envelope)), 1
    )
    yield Part("hub", "digest", timed(lambda: sealing.message_digest(message.envelope, message.sealed)), 1)
    yield Part("hub", "DELIVER written", group(lambda: f.encode_frame(deliver)), 1)
    yield Part("hub", "TAKEN read", group(lambda: list(f.decode_frames(taken))), 1)
    yield Part("hub", "receipt read", timed(lambda: decode_receipt(receipt)), 1)
    yield Part("hub", "EVENTS written", group(lambda: f.encode_frame(events)), 1)


def signed_receipt(blob: bytes) -> bytes:
    """Return a receipt of the usual size for a message."""
    envelope = decode_envelope(decode_message(blob).envelope)
    made = Receipt(
        1, envelope.id, os.urandom(32), envelope.sender, envelope.recipients[0], State.DELIVERED, "", 1, 1
    )
    return encode(SignedReceipt(encode(made), os.urandom(64)))


def of_store(folder: Path) -> Iterator[Part]:
    """Yield the SQL of a message at the hub, the syncs of its two commits left out (``folder`` in memory)."""
    engine = open_engine(f"sqlite:///{folder / 'parts.db'}")
    transact(engine, metadata.create_all)
    spent: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        _accept_and_conclude(engine, spent)
    engine.dispose()
    for name, figures in spent.items():
        yield Part("hub", name, round(statistics.median(figures), 1), 1)


def _accept_and_conclude(engine: Engine, spent: dict[str, list[float]]) -> None:
    @contextmanager
    def part(name: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        spent.setdefault(name, []).append((time.process_time() - began_s) / PER_COMMIT * 1e6)

    entries = [entry(number) for number in range(PER_COMMIT)]
    with part("accepting transaction"), engine.begin() as connection:
        done = store.accept(connection, entries, now_ms())
    with part("concluding transaction"), engine.begin() as connection:
        conclude(connection, done)


def entry(number: int) -> Entry:
    """Return what the intake hands to the store, for one of fifty pairs."""
    pair = number % 50
    return Entry(
        id=new_id(now_ms()), facility=f"s{pair:04}", digest=os.urandom(32), sender=f"box@s{pair:04}",
        recipients=f"box@r{pair:04}", kind="ORU^R01", priority=0, size=MESSAGE_BYTES, files=0,
        expires_ms=now_ms(), due_ms=now_ms(), message=os.urandom(MESSAGE_BYTES),
        deliveries=(f"box@r{pair:04}",), returns=(),
    )  # fmt: skip


def conclude(connection: Connection, done: store.Acceptance) -> None:
    """Note that all of it was delivered."""
    receipt = os.urandom(300)
    store.conclude(
        connection,
        [
            (row.seq, News(0, row.sender[4:], row.id, row.recipient, State.DELIVERED, "", 1, receipt))
            for row in done.queued
        ],
    )


def of_ends() -> Iterator[Part]:
    """Yield the cryptography of both nodes and the HL7 of the sender's gateway."""
    signing, private, content_key = SigningPrivateKey.generate(), SealingPrivateKey.generate(), _key()
    envelope, body, digest = os.urandom(160), os.urandom(MESSAGE_BYTES), os.urandom(32)
    wrapped = sealing.wrap_key(content_key, private.public)
    signature = sealing.sign_message(signing, digest)
    sealed = sealing.seal_body(content_key, envelope, body)
    answer = os.urandom(120)
    detail = sealing.seal_detail(private.public, answer)
    ours, theirs = "sender's node", "recipient's node"
    yield Part(ours, "content sealed", timed(lambda: sealing.seal_body(content_key, envelope, body)), 1)
    yield Part(ours, "key wrapped", timed(lambda: sealing.wrap_key(content_key, private.public)), 1)
    yield Part(ours, "signed", timed(lambda: sealing.sign_message(signing, digest)), 1)
    verify = partial(sealing.verify_message, signing.public, digest, signature)
    yield Part(ours, "receipts verified", timed(verify), 2)
    yield Part(ours, "answer opened", timed(lambda: sealing.open_detail(private, detail)), 1)
    yield Part(theirs, "signature verified", timed(verify), 1)
    yield Part(theirs, "key unwrapped", timed(lambda: sealing.unwrap_key(wrapped, private)), 1)
    yield Part(theirs, "content opened", timed(lambda: sealing.open_body(content_key, envelope, sealed)), 1)
    yield Part(theirs, "receipts signed", timed(lambda: sealing.sign_message(signing, digest)), 2)
    yield Part(theirs, "answer sealed", timed(lambda: sealing.seal_detail(private.public, answer)), 1)
    raw = oru("chu-a", "chu-b", 1).removeprefix(b"\x0b").removesuffix(END)
    header = read_header(raw)
    yield Part(ours, "MSH read", timed(lambda: read_header(raw)), 1)
    yield Part(ours, "patient and priority found", timed(lambda: _looked_into(raw)), 1)
    stored = partial(answers, header, new_id(now_ms()), None, Acknowledge.STORED)
    yield Part(ours, "acknowledgement made", timed(stored), 1)


def _looked_into(raw: bytes) -> object:
    header = read_header(raw)
    return patient_of(header, raw), is_stat(header, raw)


def _key() -> ContentKey:
    return ContentKey(os.urandom(32))


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks parts", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object")
    options = parser.parse_args(arguments)
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        parts = [*of_link(), *of_store(Path(folder)), *of_ends()]
    if options.json:
        print(json.dumps([asdict(part) | {"us_per_message": part.us_per_message} for part in parts]))
        return 0
    for where in dict.fromkeys(part.where for part in parts):
        print(where)
        mine = [part for part in parts if part.where == where]
        for part in mine:
            print(f"  {part.part:<28} {part.us:>7.1f} us x {part.times} = {part.us_per_message:>7.1f}")
        print(f"  {'together':<28} {sum(part.us_per_message for part in mine):>22.1f}")
    return 0
