"""Damage by number: one stored file is spoiled, everything is started and used, the outcome judged.

What must hold, whatever was damaged: nothing that reaches an application differs from what was put
(*altered*), and nothing ends in a traceback (*tracebacks*). If a letter was not handed over, somebody must
have said something (*silent* lists the letters of which nobody did): a daemon that does not start or gives
its store up, a door that refuses to hand it on, an alarm, a warning in the log, a message that came back.

Not judged: whether a warning is as clear as it could be, and what only people look at (history, times).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from nodes.cli.taking import write_message
from nodes.gateways.folder import arrivals as folder_arrivals
from nodes.gateways.folder.places import make_places, open_places
from nodes.link import facts, inbox, tracking
from nodes.link.errors import NodeError
from nodes.link.ids import id_text
from nodes.link.inbox import Received
from protocols.link.envelope import State
from runtime.storage_errors import StorageError
from runtime.tasks import spawn
from runtime.transactions import read
from tests.bitflips.exchange import Exchange, RunningNode, exchange
from tests.bitflips.homes import Letter, Rested

_EXCHANGE_S: Final = 12.0
_NEWS_S: Final = 4.0
_RETURNED: Final = (State.RETURNED, State.REFUSED)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to one file: a bit turned over, or everything from a byte on cut off."""

    file: Path
    at: int
    bit: int | None

    def __str__(self) -> str:
        return f"{self.file}: " + (
            f"cut at {self.at}" if self.bit is None else f"bit {self.bit} of {self.at}"
        )

    def do(self, root: Path) -> None:
        """Damage the copy."""
        path = root / self.file
        content = bytearray(path.read_bytes())
        if self.bit is None:
            del content[self.at :]
        else:
            content[self.at] ^= 1 << self.bit
        path.write_bytes(content)


@dataclass
class Verdict:
    """What came of one damage."""

    damage: Damage | None
    said: list[str] = field(default_factory=list)
    """Every word about it, by whom."""
    altered: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    whole: int = 0

    def __str__(self) -> str:
        return (
            f"{self.damage}: {self.whole} whole; altered {self.altered}; silent {self.silent};"
            f" tracebacks {self.tracebacks}; said {self.said}"
        )


KINDS: Final = ("keys", "identity", "settings", "database", "outgoing", "incoming", "attachments")
GAPS: Final = (
    "is not among the defined enum",
    "is not a valid",
)
"""What a damaged database may make a program say with a traceback: a number reads otherwise."""


def kind_of(file: Path) -> str:
    """Return which of ``KINDS`` a stored file is."""
    match file.suffix, file.name:
        case ".db", _:
            return "database"
        case ".toml", _:
            return "settings"
        case _, "keys":
            return "keys"
        case _, "identity.json":
            return "identity"
    return file.parts[1]


def unexcused(verdict: Verdict) -> list[str]:
    """Return what is wrong and is no known gap."""
    assert verdict.damage is not None
    if kind_of(verdict.damage.file) == "database":
        return verdict.altered + [text for text in verdict.tracebacks if not any(gap in text for gap in GAPS)]
    return verdict.altered + verdict.silent + verdict.tracebacks


def damages(rested: Rested, file: Path, count: int, random: Random) -> Iterator[Damage]:
    """Yield so many damages of one file, one in five a truncation."""
    size = (rested.root / file).stat().st_size
    for _ in range(count):
        cut = random.random() < 0.2
        yield Damage(file, random.randrange(size), None if cut else random.randrange(8))


def judge(rested: Rested, damage: Damage | None, root: Path) -> Verdict:
    """Copy the homes to ``root``, damage them, start everything, take what arrives."""
    rested.copy_to(root)
    if damage is not None:
        damage.do(root)
    verdict = Verdict(damage)
    with exchange() as network:
        hub = network.hub(root / "hub")
        sender, recipient = network.node(root / "chu-alger"), network.node(root / "chu-oran")
        network.run(_EXCHANGE_S, lambda: len(_waiting(recipient)) == len(rested.letters))
        handed = _take(network, recipient, verdict, rested.letters, root)
        network.run(_NEWS_S, lambda: _finished(sender, rested.letters))
        for running in (hub, sender, recipient):
            name = running.home.name
            verdict.said += [f"{name} did not start: {running.refused}"] if running.refused else []
            verdict.said += [f"{name} gave up: {running.failed}"] if running.failed else []
        verdict.said += [f"alarm: {text}" for text in _alarms(sender) + _alarms(recipient)]
        verdict.said += network.told()
        for letter in rested.letters:
            if letter.key in handed:
                continue
            state = _state(sender, letter)
            if state in _RETURNED:
                verdict.said.append(f"{letter.key} came back")
            elif not verdict.said:
                verdict.silent.append(f"{letter.key} ({state and state.word})")
        verdict.whole = len(handed)
        verdict.tracebacks = network.tracebacks()
    return verdict


def _take(
    network: Exchange, node: RunningNode, verdict: Verdict, letters: tuple[Letter, ...], root: Path
) -> set[str]:
    """Take what waits, by the folder's door and by MLLP's reading; returns the keys handed over whole."""
    handed: set[str] = set()
    by_id = {letter.id: letter for letter in letters}
    for received in _waiting(node):
        letter = by_id.get(received.id)
        name = letter.key if letter else received.id.hex()
        try:
            ways = [
                _by_folder(received, node.home, root / "folder"),
                _by_command(received, node.home, root / "fetched"),
            ]
            ways.append([inbox.read_body(received, node.home), *ways[0][1:]])
        except (NodeError, OSError) as error:  # what the doors answer with a word
            verdict.said.append(f"{name} is not handed on: {error}")
            continue
        if letter is None:
            verdict.altered.append(f"{name}: nobody put that")
        elif any(way != [letter.body, *letter.attachments] for way in ways):
            verdict.altered.append(f"{name}: other bytes were handed on")
        elif (received.subject, received.patient, received.key, received.recipient, received.sender) != (
            "a subject", "a patient", letter.key, "cardio@chu-oran", "labo@chu-alger",
        ):  # fmt: skip
            verdict.altered.append(f"{name}: another address, subject, patient or key was handed on")
        else:
            handed.add(name)
        conclude = node.core.post.conclude(received.seq, State.PROCESSED, code="AA")
        spawn(conclude, lambda error: verdict.said.append(f"not concluded: {error}"))
        network.run(0.1)
    return handed


def _by_folder(received: Received, home: Path, root: Path) -> list[bytes]:
    """Return body and attachments as the drop folder lays them out."""
    make_places(root)
    with open_places(root) as places:
        folder_arrivals.stage(places.arrivals, received, home, 0)
    start = folder_arrivals.stem(received.seq, received.id)
    laid = sorted(path for path in (root / "in").iterdir() if path.name.startswith(start))
    found = [path.read_bytes() for path in laid if path.suffix in (".hl7", ".dat")]
    return found + [path.read_bytes() for path in laid if path.suffix == ".bin"]


def _by_command(received: Received, home: Path, into: Path) -> list[bytes]:
    """Return body and attachments as ``wasl-node fetch`` writes them."""
    return [path.read_bytes() for path in write_message(received, home, into / id_text(received.id))]


def _waiting(node: RunningNode) -> list[Received]:
    return _asked(node, lambda c: inbox.waiting(c, limit=100)) or []


def _state(node: RunningNode, letter: Letter) -> State | None:
    found = _asked(node, lambda c: tracking.find(c, letter.id))
    return found.state if found else None


def _finished(node: RunningNode, letters: tuple[Letter, ...]) -> bool:
    return all(_state(node, letter) in (State.PROCESSED, *_RETURNED) for letter in letters)


def _alarms(node: RunningNode) -> list[str]:
    return [f"{code} {text}" for _, code, text in _asked(node, lambda c: facts.latest_alarms(c, 50)) or []]


def _asked(node: RunningNode, question: Callable[[Connection], _T]) -> _T | None:
    if node.engine is None or node.refused:
        return None
    with contextlib.suppress(StorageError, NodeError, SQLAlchemyError, ValueError):
        return read(node.engine, question)
    return None
