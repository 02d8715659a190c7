"""Every stored file of a stopped hub and of stopped nodes, spoiled: found and told, or harmless.

More of it: ``python -m tests.torture bitflips --each 50``. What is *not* found, known and listed in
:data:`tests.bitflips.campaign.GAPS`: a flipped number or name in a database that SQLite can still read (a
state, a time, a cursor, who may do what), since SQLite has no checksums; and a setting that is another valid
setting now.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random

import pytest

from nodes.link import inbox
from tests.bitflips import homes
from tests.bitflips.campaign import KINDS, Damage, Verdict, damages, judge, kind_of, unexcused
from tests.bitflips.homes import Rested

_MEMORY = Path("/dev/shm")
_EACH = {
    "keys": 6, "identity": 8, "settings": 3, "database": 10, "outgoing": 1, "incoming": 2, "attachments": 3,
}  # fmt: skip
"""Damages of one file."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="wasl-bitflips-", dir=_MEMORY if _MEMORY.is_dir() else None))
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def rested(place: Path) -> Rested:
    (place / "rested").mkdir()
    return homes.make(place / "rested")


@pytest.fixture(scope="module")
def judged(rested: Rested, place: Path) -> Callable[[str], list[Verdict]]:
    """Return what judges all damages of a kind, once."""

    @cache
    def of_kind(kind: str) -> list[Verdict]:
        return [
            judge(rested, damage, place / "damaged")
            for file in rested.files()
            if kind_of(file) == kind
            for damage in damages(rested, file, _EACH[kind], Random(f"{kind} {file.parent}"))
        ]

    return of_kind


def test_without_damage_everything_arrives_and_nobody_complains(rested: Rested, place: Path) -> None:
    verdict = judge(rested, None, place / "damaged")
    assert (verdict.whole, verdict.said) == (len(rested.letters), [])
    assert (verdict.altered, verdict.silent, verdict.tracebacks) == ([], [], [])


def test_every_stored_file_is_of_some_kind(rested: Rested) -> None:
    assert {kind_of(file) for file in rested.files()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_never_passed_on(rested: Rested, judged: Callable[[str], list[Verdict]], kind: str) -> None:
    verdicts = judged(kind)
    assert [str(verdict) for verdict in verdicts if unexcused(verdict)] == []
    if kind != "settings":
        assert any(verdict.whole < len(rested.letters) for verdict in verdicts), "none of them hit anything"


@pytest.mark.parametrize("kind", ["keys", "identity"])
def test_who_a_home_is_names_its_damaged_file_or_is_unharmed(
    rested: Rested, place: Path, judged: Callable[[str], list[Verdict]], kind: str
) -> None:
    for verdict in judged(kind):
        assert verdict.damage is not None
        named = any(
            f"did not start: {place / 'damaged' / verdict.damage.file}" in word for word in verdict.said
        )
        assert named != (verdict.whole == len(rested.letters)), verdict


# ── payloads in databases ──────────────────────────────────────────────────────────────────


def payload(rested: Rested, file: str, sql: str, at: int) -> Damage:
    """Return the damage of one bit in a stored value, ``at`` bytes from its beginning."""
    with closing(sqlite3.connect(rested.root / file)) as connection:
        ((value,),) = connection.execute(sql).fetchall()
    data = value.encode() if isinstance(value, str) else value
    start = (rested.root / file).read_bytes().find(data[:200])
    assert start > 0
    return Damage(Path(file), start + at, 3)


@pytest.mark.parametrize("at", [0, 100, 199])
@pytest.mark.parametrize(
    ("file", "sql", "said"),
    [
        ("chu-oran/node.db", "SELECT body FROM inbox WHERE key = 'inbox-0'", "as it arrived any more"),
        ("hub/hub.db", "SELECT message FROM spool ORDER BY seq LIMIT 1", "message-damaged"),
        ("chu-alger/node.db", "SELECT sealed FROM outbox WHERE key = 'outbox-0'", "alarm: damaged"),
        ("chu-alger/node.db", "SELECT envelope FROM outbox WHERE key = 'outbox-0'", ""),
    ],
)
def test_a_damaged_payload_is_found(
    rested: Rested, place: Path, file: str, sql: str, said: str, at: int
) -> None:
    verdict = judge(rested, payload(rested, file, sql, at), place / "damaged")
    assert not unexcused(verdict), verdict
    assert verdict.whole < len(rested.letters)
    assert any(said in word for word in verdict.said), verdict


def test_a_door_that_does_not_look_is_caught(
    rested: Rested, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof that altered bodies are noticed here: without the digest they go on."""

    def unchecked(received: inbox.Received, home: Path) -> Iterator[bytes]:
        stored = received.body_path
        yield received.body if stored is None else (home / stored).read_bytes()

    monkeypatch.setattr(inbox, "body_pieces", unchecked)
    damage = payload(rested, "chu-oran/node.db", "SELECT body FROM inbox WHERE key = 'inbox-0'", 50)
    assert judge(rested, damage, place / "damaged").altered == ["inbox-0: other bytes were handed on"]
