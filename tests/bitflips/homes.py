"""Homes at rest that hold real messages in every place, and what those messages are.

Made once: a hub and two nodes exchange messages until some lie in the recipient's inbox, then (the recipient
is away) some lie in the hub's spool, then (the hub is away) some lie in the sender's outbox. In each place
there is one with a short body, one with a body of its own file, and one with attachments.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from crypto.filestream import CHUNK_BYTES
from nodes.link import files, tracking
from nodes.link.outbox import Draft
from protocols.link.envelope import State
from runtime.tasks import spawn
from runtime.transactions import close_engine, read
from tests.bitflips.exchange import Exchange, RunningNode, exchange
from tests.integration.template import make_template

SENDER: Final = "labo@chu-alger"
RECIPIENT: Final = "cardio@chu-oran"
HOMES: Final = ("hub", "chu-alger", "chu-oran")
PLACES: Final = ("inbox", "spool", "outbox")
_WAIT_S: Final = 60.0


@dataclass(frozen=True)
class Letter:
    """What was put, and where it rests."""

    key: str
    place: str
    id: bytes
    body: bytes
    attachments: tuple[bytes, ...]


@dataclass(frozen=True)
class Rested:
    """The homes of a network that was stopped."""

    root: Path
    letters: tuple[Letter, ...]

    def copy_to(self, root: Path) -> None:
        """Copy the homes."""
        shutil.rmtree(root, ignore_errors=True)
        for name in HOMES:
            shutil.copytree(self.root / name, root / name, copy_function=shutil.copy2)

    def files(self) -> list[Path]:
        """Return every stored file, relative to the root."""
        return sorted(
            path.relative_to(self.root)
            for name in HOMES
            for path in (self.root / name).rglob("*")
            if path.is_file() and path.name != "run.lock"
        )


def make(root: Path) -> Rested:
    """Make them under ``root``, which is there and empty."""
    make_template(root)
    shutil.rmtree(root / "chu-setif")
    random = Random(7)
    letters: list[Letter] = []
    for number, place in enumerate(PLACES):
        with exchange() as network:
            node = network.node(root / "chu-alger")
            if place != "outbox":
                network.hub(root / "hub")
            if place == "inbox":
                network.node(root / "chu-oran")
            network.run(3)
            letters += [_put(network, node, f"{place}-{kind}", place, random) for kind in range(3)]
            wanted = (State.DELIVERED, State.ACCEPTED, State.QUEUED)[number]
            fresh = [letter for letter in letters if letter.place == place]
            arrived = partial(_all_in, node, fresh, wanted)
            network.run(_WAIT_S, arrived)
            assert arrived(), network.told()
            network.run(3)
            for running in network.running:
                assert running.engine is not None
                assert running.database is not None
                running.database._kept.close()
                close_engine(running.engine)
    return Rested(root, tuple(letters))


def _put(network: Exchange, node: RunningNode, key: str, place: str, random: Random) -> Letter:
    kind = key[-1]
    body = f"MSH|^~\\&|labo|chu-alger|cardio|chu-oran|||ORU^R01|{key}|P|2.5\r".encode()
    body += random.randbytes(70_000).hex().encode() if kind == "1" else random.randbytes(400).hex().encode()
    attachments = (random.randbytes(CHUNK_BYTES + 300), b"short") if kind == "2" else ()
    sources = [
        files.Source(f"{n}.bin", "image/png", io.BytesIO(a), len(a)) for n, a in enumerate(attachments)
    ]
    prepared = files.prepare(node.home, body, sources, floor_bytes=0)
    draft = Draft(SENDER, (RECIPIENT,), "ORU^R01", prepared, key, "a subject", "a patient")
    done = node.core.post.put(draft)
    found: list[bytes] = []

    async def put() -> None:
        found.append((await done).id)

    spawn(put(), node.fault)
    network.run(5, lambda: bool(found))
    return Letter(key, place, found[0], body, attachments)


def _all_in(node: RunningNode, letters: list[Letter], state: State) -> bool:
    return all(_state(node, letter) is state for letter in letters)


def _state(node: RunningNode, letter: Letter) -> State:

    assert node.engine is not None
    return read(node.engine, lambda connection: tracking.find(connection, letter.id)).state
