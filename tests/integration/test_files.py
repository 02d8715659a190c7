"""Attachments of every awkward size, through real processes; the large form is ``tests.torture files``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.filestream import CHUNK_BYTES
from protocols.link.limits import CHUNK_WINDOW
from tests.torture.files import Transfer, arrived_digests, random_file

WINDOW = CHUNK_WINDOW * CHUNK_BYTES
SIZES = (
    0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES,
    WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + CHUNK_BYTES,
)  # fmt: skip
LARGE_BYTES = 200 << 20


@pytest.fixture
def transfer(template: Path, tmp_path: Path) -> Iterator[Transfer]:
    made = Transfer(tmp_path, template)
    yield made
    made.close()


def test_awkward_sizes_arrive_whole(transfer: Transfer, tmp_path: Path) -> None:
    """0 B, 1 B and both sides of every chunk and window boundary, in one message, in their order."""
    made = [random_file(tmp_path / f"{number}.bin", size) for number, size in enumerate(SIZES)]
    transfer.network.start()
    words = [word for path, _ in made for word in ("--file", path)]
    sent = transfer.sender.send(
        "labo@chu-oran", "--to", "cardio@chu-oran", *words, "--wait", "delivered", "--timeout", "60s"
    )
    assert arrived_digests(transfer.recipient, sent["id"]) == [digest for _, digest in made] * 2
    listed = transfer.recipient.ask("inbox", "--mailbox", "labo")[0]["attachments"]
    assert [file["size"] for file in listed] == list(SIZES)
    into = tmp_path / "fetched"
    transfer.recipient.ask("fetch", sent["id"], "--mailbox", "cardio", "--into", into)
    fetched = [(into / path.name).read_bytes() for path, _ in made]
    assert [hashlib.sha256(data).digest() for data in fetched] == [digest for _, digest in made]


@pytest.mark.slow
def test_a_large_file_survives_three_kills_of_the_hub_in_little_memory(transfer: Transfer) -> None:
    """200 MiB, the hub killed three times: same hash, at most a window sent again each time, bounded RSS."""
    outcome = transfer.run(LARGE_BYTES, (0.3, 0.7, 1.5), timeout_s=100)
    print(outcome)
    assert outcome.faults == []
