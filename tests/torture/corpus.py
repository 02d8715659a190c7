"""Real messages of others through two real nodes and a hub, over MLLP at both ends.

Two passes. First every message of every file alone, as batch files taken apart give them; then every file as
it is, in one frame, or as the bytes it has where it is framed already. :class:`Ledger` says beforehand what
must happen to each message, from what was sent before:

- unusable header: AE or CE (always answered), naming MSH and the field that really is wrong; not delivered;
- first of its name (MSH-3, MSH-4, MSH-10): taken, delivered once, byte for byte;
- the same bytes again: the same answer again, and no second delivery;
- other bytes under a known name, of which the corpus has hundreds: AE or CE on MSH-10, code 205. In the first
  pass the earlier one is then forgotten by its node, as retention does, and the message must be taken.

After each payload follows a mark, a message without MSH-9, which is answered always and stored never: what
came before its answer is all that was said. Answers are read by a parser of this file, not the project's.
"""

from __future__ import annotations

import argparse
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zlib import crc32

from protocols import mllp
from protocols.hl7 import batch
from protocols.hl7.errors import MalformedMessage
from tests.integration.daemons import PROJECT
from tests.integration.localsystems import END, START, Receiver
from tests.integration.network import Network, Node
from tests.integration.template import FACILITIES, make_template
from tests.integration.waiting import wait_until
from tests.torture.er7lines import answer_of, place_of_error, split_header, wants

CORPUS = PROJECT / ".." / "shared" / "corpus"
ROUTES = 'from = "labo"\n[[mllp.route]]\nto = ["cardio@chu-oran"]\n'
CONNECTIONS = 8
EVERY = 16
SMALL_MESSAGES = 40
PATIENCE_S = 60.0
"""For an answer; longer is a hang."""
ARRIVAL_TIMEOUT_S = 300.0
MARK = b"MSH|^~\\&||||||||%b|P|2.5\r"
SHOWN_BYTES = 500
NOT_IN_LOGS = (b"Traceback", b"Unhandled", b"courier-fault", b"handler failed")


@dataclass(frozen=True, slots=True)
class File:
    """One file: what a sender puts on the wire for it, payload by payload, and the messages in those."""

    name: str
    payloads: tuple[bytes, ...]
    messages: tuple[tuple[bytes, ...], ...]


def read_files(folder: Path = CORPUS) -> list[File]:
    """Return all ER7 files of the corpus; where one holds MLLP frames, these are its payloads."""
    paths = [p for p in sorted(folder.glob("er7*/**/*")) if p.is_file() and p.suffix not in {".tsv", ".md"}]
    return [_read(path, str(path.relative_to(folder))) for path in paths]


def sample(files: Sequence[File]) -> list[File]:
    """Return a representative part: all in Arabic, all framed, every ``EVERY``-th other; no huge one."""
    small = [file for file in files if sum(map(len, file.messages)) <= SMALL_MESSAGES]
    special = [file for file in small if "arabic" in file.name or len(file.payloads) > 1]
    return list(dict.fromkeys((*special, *small[::EVERY])))


def _read(path: Path, name: str) -> File:
    raw = path.read_bytes()
    reader = mllp.FrameReader(1 << 24)
    events = [*reader.feed(raw), *reader.flush()]
    payloads = tuple(e.payload for e in events if isinstance(e, mllp.MessageReceived)) or (raw,)
    return File(name, payloads, tuple(_messages(payload) for payload in payloads))


def _messages(payload: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(batch.split(payload))
    except MalformedMessage:
        return (payload,)


@dataclass(slots=True)
class Ledger:
    """What was sent under which name, and all that is wrong with what happened."""

    owner: dict[tuple[bytes, ...], bytes] = field(default_factory=dict)
    said: dict[bytes, bytes] = field(default_factory=dict)
    taken: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, message: bytes, answers: list[bytes]) -> str:
        """Compare what was said about one message with what had to be; returns the outcome by name."""
        with self.lock:
            outcome = self._outcome(message)
            self.counts[outcome] += 1
            fault = self._fault(message, outcome, answers)
            if fault:
                self.faults.append(f"{outcome}: {fault}: {message[:160]!r} was answered {answers[:3]!r}")
            return outcome

    def _outcome(self, message: bytes) -> str:
        head = split_header(message)
        if head.wrong_field is not None:
            return "malformed"
        before = self.owner.setdefault(head.name, message)
        if before == message and message not in self.said:
            return "taken"
        return "repeated" if before == message else "name reused"

    def _fault(self, message: bytes, outcome: str, answers: list[bytes]) -> str:
        head, read = split_header(message), [answer_of(answer) for answer in answers]
        good = outcome in {"taken", "repeated"}
        if outcome == "taken":
            self.taken.append(message)
            self.said[message] = answers[0] if answers else b""
        elif outcome == "repeated" and (answers[0] if answers else b"") != self.said[message]:
            return f"the first answer was {self.said[message]!r}"
        due = wants(head, good=good) or outcome == "malformed"
        if bool(read) != due:
            return "an answer is due" if due else "no answer is due"
        if any(one.positive is not good or one.control_id != head.mirrored_id for one in read):
            return f"every answer must be {'A' if good else 'E'} and repeat the control id"
        if good or not read:
            return ""
        place = place_of_error(answers[0])
        self.refused[f"{outcome}: {place}"] += 1
        wanted = "MSH-10" if outcome == "name reused" else head.wrong_field
        return "" if place == wanted and place in read[0].text else f"{place} is named, {wanted} is wrong"

    def forget(self, message: bytes) -> None:
        """Note that the message which owned this name is forgotten: it would be a new one now."""
        with self.lock:
            del self.said[self.owner.pop(split_header(message).name)]


class Campaign:
    """Sends everything, and looks at what arrives; ``root`` is empty."""

    def __init__(self, root: Path, template: Path) -> None:
        self.ledger = Ledger()
        self.receiver = Receiver(acknowledge)
        self.network = Network(root, template, FACILITIES[:2])
        self._sender, self._recipient = self.network.nodes.values()
        self._sender.configure(ROUTES, acknowledge="stored")
        self._recipient.configure(deliver={"*": self.receiver.port})

    def close(self) -> None:
        """End everything."""
        self.network.close()
        self.receiver.close()

    def run(self, files: Sequence[File]) -> Ledger:
        """Send both passes and wait until all has arrived; the ledger holds the faults."""
        self.network.start()
        singles = [m for file in files for inside in file.messages for m in inside if framable(m)]
        lanes: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
        for message in singles:
            lanes[crc32(b"|".join(split_header(message).name)) % CONNECTIONS].append(message)
        with ThreadPoolExecutor(CONNECTIONS) as several:
            list(several.map(self._send_alone, lanes))
        self._arrive()
        with Line(self._sender.mllp_port) as line:
            for file in files:
                for payload, inside in zip(file.payloads, file.messages, strict=True):
                    if framable(payload):
                        self._judge_all(inside, line.ask(payload))
        self._arrive()
        self._look_for_harm()
        return self.ledger

    def _send_alone(self, messages: list[bytes]) -> None:
        with Line(self._sender.mllp_port) as line:
            for message in messages:
                if self.ledger.judge(message, line.ask(message)) == "name reused":
                    forget(self._sender, message)
                    self.ledger.forget(message)
                    self.ledger.judge(message, line.ask(message))

    def _judge_all(self, messages: tuple[bytes, ...], answers: list[bytes]) -> None:
        """Give each message of a batch its answers: they come in order, at most two for each."""
        left = list(answers)
        for message in messages:
            name = split_header(message).mirrored_id
            own = [left.pop(0)] if left and answer_of(left[0]).control_id == name else []
            if own and left and answer_of(own[0]).accept and not answer_of(left[0]).accept:
                own += [left.pop(0)] if answer_of(left[0]).control_id == name else []
            self.ledger.judge(message, own)
        if left:
            self.ledger.faults.append(f"answers to nothing: {left[:3]!r}")

    def _arrive(self) -> None:
        """Wait until everything that was taken has been delivered, and compare."""
        open_ones = "SELECT count(*) FROM outbox WHERE NOT settled"
        wait_until(
            "all is processed", lambda: self._sender.rows(open_ones) == [(0,)], ARRIVAL_TIMEOUT_S, every_s=0.2
        )
        missing = Counter(self.ledger.taken) - Counter(self.receiver.received)
        extra = Counter(self.receiver.received) - Counter(self.ledger.taken)
        self.ledger.faults += [f"did not arrive as sent: {message[:160]!r}" for message in missing]
        self.ledger.faults += [
            f"arrived and was not sent so, or twice: {message[:160]!r}" for message in extra
        ]

    def _look_for_harm(self) -> None:
        states = "SELECT state, count(*) FROM outbox_recipients GROUP BY state"
        if self._sender.rows(states) not in ([(4, len(self.ledger.taken))], []):
            self.ledger.faults.append(f"not all are processed: {self._sender.rows(states)}")
        for daemon in self.network.daemons():
            if not daemon.running:
                self.ledger.faults.append(f"{daemon.home.name} ended with {daemon.exit_code}")
            said = daemon.said()
            for bad in NOT_IN_LOGS:
                if bad in said:
                    shown = said[max(0, said.find(bad) - SHOWN_BYTES) :][: 4 * SHOWN_BYTES]
                    self.ledger.faults.append(f"{daemon.home.name} logged {shown!r}")


def forget(node: Node, message: bytes) -> None:
    """Let the node forget the message that has this one's name, as if its retention had ended."""
    with closing(sqlite3.connect(node.home / "node.db", timeout=30)) as database, database:
        done = database.execute("UPDATE outbox SET key = NULL WHERE key = ?", (own_key(message),)).rowcount
    assert done == 1, own_key(message)


def own_key(message: bytes) -> str:
    """Return the key under which the gateway knows a message."""
    from nodes.gateways.mllp_in import key_of  # noqa: PLC0415 - the one thing asked of the project's inside
    from protocols.hl7.header import read_header  # noqa: PLC0415 - likewise

    return key_of(read_header(message))


def framable(payload: bytes) -> bool:
    """Whether MLLP can carry it: no sender could send what it cannot."""
    try:
        mllp.frame(payload)
    except mllp.UnframeablePayload:
        return False
    return True


def acknowledge(payload: bytes) -> bytes:
    """Answer AA as a simple system does, in the message's own delimiters."""
    head = split_header(payload)
    bar = head.separator
    return (
        b"MSH"
        + bar
        + bar.join((head.marks, b"HIS", b"", b"", b"", b"20260101", b"", b"ACK", b"1", b"P", b"2.5"))
        + (b"\rMSA" + bar + b"AA" + bar + head.control_id + b"\r")
    )


class Line:
    """One connection to a node; ``ask`` returns all answers to a payload."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._pending = b""
        self._marks = 0

    def __enter__(self) -> Self:
        """Return this line, to be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._socket.close()

    def ask(self, payload: bytes) -> list[bytes]:
        """Send the payload and a mark; return what is said before the mark is answered."""
        self._marks += 1
        mark = f"MARK-{id(self)}-{self._marks}".encode()
        wire = START + payload + END + START + MARK % mark + END
        # A large batch is answered while it is still being sent.
        asked = threading.Thread(target=self._socket.sendall, args=(wire,))
        asked.start()
        answers: list[bytes] = []
        for answer in self._frames():
            if answer_of(answer).control_id == mark:
                break
            answers.append(answer)
        asked.join()
        return answers

    def _frames(self) -> Iterator[bytes]:
        while True:
            while END not in self._pending:
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError("the node closed the connection")
                self._pending += data
            frame, _, self._pending = self._pending.partition(END)
            yield frame.removeprefix(START)


def main(arguments: list[str]) -> int:
    """Run the whole corpus, print the counts; 0 if there is no fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture corpus")
    parser.add_argument("--every", type=int, default=1, help="take each N-th file only")
    options = parser.parse_args(arguments)
    if not CORPUS.is_dir():
        print("the corpus is not here: ../shared/corpus", file=sys.stderr)
        return 0
    files = read_files()[:: options.every]
    with tempfile.TemporaryDirectory(prefix="wasl-corpus-") as directory:
        template = make_template(Path(directory) / "template")
        campaign = Campaign(Path(directory) / "network", template)
        began_s = time.monotonic()
        try:
            ledger = campaign.run(files)
        finally:
            campaign.close()
    print(f"{len(files)} files in {time.monotonic() - began_s:.0f} s: {report(ledger)}")
    for fault in ledger.faults[:40]:
        print("FAULT", fault)
    return 1 if ledger.faults else 0


def report(ledger: Ledger) -> str:
    """Return the counts for people."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(ledger.counts.items()))
    refused = ", ".join(f"{count} × {place}" for place, count in ledger.refused.most_common())
    return f"{outcomes}; refusals answered: {refused}; {len(ledger.faults)} faults"
