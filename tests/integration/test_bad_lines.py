"""Nodes behind a line that is cut, slow, or hands on one byte at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import message
from tests.integration.network import Network
from tests.integration.proxy import Proxy
from tests.integration.waiting import wait_until
from tests.torture.files import arrived_digests, random_file

LARGE_BYTES = 30 << 20


@pytest.fixture
def lines(network: Network) -> Iterator[list[Proxy]]:
    """Put a proxy before the hub for each node."""
    made = [Proxy(network.hub_port) for _ in network.nodes]
    for node, proxy in zip(network.nodes.values(), made, strict=True):
        node.configure(hub_port=proxy.port)
    yield made
    network.close()
    for proxy in made:
        proxy.close()


def crossed(lines: list[Proxy], part: int) -> bool:
    """Return whether the file has come so far: quarters of the way up (0 to 2), then of the way down."""
    seen = lines[0].up_bytes if part < 3 else lines[1].down_bytes
    return seen >= (part % 3 + 1) * LARGE_BYTES // 4


def test_lines_that_are_cut_again_and_again(network: Network, lines: list[Proxy], tmp_path: Path) -> None:
    """30 MiB and the messages around it arrive once, in order, over lines that are cut six times each."""
    path, digest = random_file(tmp_path / "large.bin", LARGE_BYTES)
    network.start()
    alger, oran = network.nodes.values()
    letters = []
    for n in range(6):
        letter = tmp_path / f"{n}.hl7"
        letter.write_bytes(message(FROM, TO, f"cut-{n}"))
        letters.append(letter)
    filed = alger.send(TO, "--from", "labo", "--file", path)["id"]
    sent = []
    for n, letter in enumerate(letters):
        wait_until(f"part {n} has crossed", partial(crossed, lines, n), 60, 0.005)
        lines[n // 3].cut()
        sent.append(alger.send(TO, "--from", "labo", "--hl7", letter)["id"])
    for identifier in (filed, *sent):
        alger.wait_state(identifier, "delivered", 60)
    assert arrived_digests(oran, filed) == [digest]
    wanted = [filed, *sent]
    assert [raw for raw, _, _ in oran.arrived()] == [identifier.replace("-", "") for identifier in wanted]
    assert sum(line.connections for line in lines) >= len(letters)


def test_one_byte_at_a_time_and_late(network: Network, lines: list[Proxy], tmp_path: Path) -> None:
    """Handshake, directory, message and receipts survive one-byte segments and a slow line."""
    for line in lines:
        line.segment_bytes = 1
    network.start()
    for line in lines:
        line.segment_bytes, line.delay_s = 7, 0.001
    letter, blob = tmp_path / "m.hl7", tmp_path / "b.bin"
    letter.write_bytes(message(FROM, TO, "slow-1"))
    blob.write_bytes(os.urandom(5_000))
    sent = network.nodes["chu-alger"].send(
        TO, "--hl7", letter, "--file", blob, "--wait", "delivered", "--timeout", "60s"
    )
    assert sent["state"] == "delivered"
    assert [body for _, _, body in network.nodes["chu-oran"].arrived()] == [letter.read_bytes()]
