"""The integrators' sandbox, by real MLLP clients: each fault is what a hospital system would see in life."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.daemons import PROJECT, Ran, command, environment
from tests.integration.localsystems import Receiver, Sender, field, message
from tests.integration.ports import free_port
from tests.integration.waiting import wait_until

FROM, TO = "labo@chu-sable", "labo@clinique-dune"


class Sandbox:
    def __init__(self, root: Path) -> None:
        self.port = min(free_port(), 50_000)
        self.out = root / "out"
        self.words = root / "words"
        self._environment = environment() | {"XDG_RUNTIME_DIR": str(root)}
        with self.out.open("wb") as out, self.words.open("wb") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hub", "sandbox", "run", "--port", str(self.port)],
                stdout=out, stderr=words, env=self._environment, cwd=PROJECT,
            )  # fmt: skip
        wait_until("it is ready", lambda: "Ready." in self.said() or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return self.words.read_text()

    @property
    def directory(self) -> Path:
        return Path(self.out.read_text().split()[-1]).parent.parent

    def inject(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "hub", "sandbox", "inject", *words, "--port", str(self.port)],
            capture_output=True, env=self._environment, cwd=PROJECT, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done

    def history(self, key: str) -> list[tuple[str, str]]:
        """Return (state, reason) of the message of this control id, as its sender's node tells them."""
        home = self.directory / "chu-sable"
        with closing(sqlite3.connect(home / "node.db", timeout=10)) as tables:
            query = "SELECT hex(id) FROM outbox WHERE key LIKE '%' || ?"
            ((raw,),) = tables.execute(query, (key,)).fetchall()
        identifier = str(uuid.UUID(raw))
        lines = command("nodes", "track", identifier, "--home", home, "--json").json()["history"]
        return [(line["state"], line.get("reason", "")) for line in lines]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("sandbox"))
    directory = box.directory
    yield box
    box.process.send_signal(signal.SIGINT)
    assert box.process.wait(60) == 0
    assert not directory.exists(), "nothing of it stays"


def sable(sandbox: Sandbox) -> Sender:
    return Sender(sandbox.port + 10)


def test_a_message_goes_through_and_is_answered(sandbox: Sandbox) -> None:
    with sable(sandbox) as sender:
        assert sender.code(message(FROM, TO, "plain")) == "AA"


def test_a_refusal_is_the_other_systems_ae(sandbox: Sandbox) -> None:
    sandbox.inject("refusal", "--to", TO)
    with sable(sandbox) as sender:
        assert sender.code(message(FROM, TO, "refused")) == "AE"
        assert sender.code(message(FROM, TO, "then taken")) == "AA"


def test_a_duplicate_is_the_same_bytes_again(sandbox: Sandbox) -> None:
    receiver = Receiver(port=sandbox.port + 23)
    try:
        sandbox.inject("duplicate", "--to", TO, "--count", "2")
        with sable(sandbox) as sender:
            assert sender.code(message(FROM, TO, "twice")) == "AA"
        assert receiver.received == [receiver.received[0]] * 3
        assert field(receiver.received[0], b"MSH", 10) == "twice"
    finally:
        receiver.close()


def test_a_delay_is_warned_of_and_ends(sandbox: Sandbox) -> None:
    sandbox.inject("delay", "--to", TO, "--for", "3s")
    with sable(sandbox) as sender:
        assert sender.once(message(FROM, TO, "late")) != b""
    wait_until("it is back", lambda: "met a delay; clinique-dune is back" in sandbox.said(), 90)
    wait_until("it is there", lambda: ("processed", "AA") in sandbox.history("late"), 60, every_s=1)
    assert ("delayed", "recipient-offline") in sandbox.history("late")


def test_a_nondelivery_is_a_report_of_expiry(sandbox: Sandbox) -> None:
    """Nobody waited five days; the report came the way that it would then."""
    sandbox.inject("nondelivery", "--to", TO)
    with sable(sandbox) as sender:
        sender.once(message(FROM, TO, "never"))
        wait_until("it is back", lambda: "met a nondelivery; clinique-dune is back" in sandbox.said(), 90)
        wait_until("it came back", lambda: ("returned", "expired") in sandbox.history("never"), 60, every_s=1)
        assert sender.code(message(FROM, TO, "never")) == "AE"
        assert sender.code(message(FROM, TO, "afterwards")) == "AA"


def test_words_that_do_not_fit_are_explained() -> None:
    def said(*words: str) -> Ran:
        return command("hub", "sandbox", "inject", *words)

    assert said("duplicate", "--to", "labo@chu-oran").code == 2
    nobody = said("duplicate", "--port", "1999")
    assert (nobody.code, "start one" in nobody.err) == (1, True)
