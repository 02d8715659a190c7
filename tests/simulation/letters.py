"""What the applications put: the truth that the tables are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from protocols.link.envelope import Priority
from tests.simulation.machines import DENIED_KIND, GROUPS, boxes_of

DAY_MS: Final = 86_400_000
CHUNK: Final = 61_440
_FILE_SIZES: Final = (0, 1, 700, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK)
_BODY_SIZES: Final = (0, 20, 300, 2_000, 24 * 1_024, 24 * 1_024 + 1, 70_000)


@dataclass(slots=True)
class Letter:
    """One message as an application means it. ``token`` is in its subject, so that it is known everywhere."""

    token: str
    sender: str
    recipients: tuple[str, ...]
    kind: str
    priority: Priority
    valid_for_ms: int
    body: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    key: str | None
    id: bytes | None = None
    """Set when the put returned: from then on the node answers for it."""
    refused: bool = False
    """Its key belongs to another one."""


def write(random: Random, node: str, token: str, facilities: Sequence[str], *, with_files: float) -> Letter:
    """Make one up, for one or more of these facilities (a group may name others)."""
    sender = f"{random.choice(boxes_of(node))}@{node}"
    mailboxes = [f"{box}@{facility}" for facility in facilities for box in boxes_of(facility)]
    groups = [name for name, members in GROUPS.items() if set(members) <= set(mailboxes)]
    chance = random.random()
    if chance < 0.7:
        recipients = [random.choice(mailboxes)]
    elif chance < 0.88:
        recipients = random.sample(mailboxes, random.randint(2, 3))
    else:
        recipients = [f"{random.choice(groups)}@group"]
    if random.random() < 0.02:
        recipients.append("nobody@oran")
    files = {}
    if random.random() < with_files:
        for number in range(random.choice((1, 1, 2))):
            files[f"{token}-{number}.bin"] = random.randbytes(random.choice(_FILE_SIZES))
    return Letter(
        token=token,
        sender=sender,
        recipients=tuple(recipients),
        kind=DENIED_KIND if random.random() < 0.03 else "ORU^R01",
        priority=Priority.STAT if random.random() < 0.3 else Priority.ROUTINE,
        valid_for_ms=random.choice((5 * DAY_MS, 5 * DAY_MS, 5 * DAY_MS, random.randint(1, 40_000))),
        body=token.encode() + random.randbytes(_body_bytes(random)),
        files=files,
        key=f"key-{token}" if random.random() < 0.5 else None,
    )


def _body_bytes(random: Random) -> int:
    return random.choice(_BODY_SIZES) if random.random() < 0.1 else random.randint(0, 400)


def with_another_body(letter: Letter) -> Letter:
    """Return what an application puts that uses a key a second time by mistake."""
    return replace(letter, body=letter.body + b"!", token=letter.token + "-other", id=None, refused=False)
