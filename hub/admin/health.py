"""What the hub's daemon says of itself, asked over its own http port; no answer is an answer too."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final

from config.fields import HostPort

TIMEOUT_S: Final = 2.0
ANSWER_BYTES: Final = 16 * 1_024
_READY: Final = 200


@dataclass(frozen=True, slots=True)
class Health:
    """``answers``: a daemon is there. ``ready``: it takes messages. ``checks`` is what it says of each."""

    answers: bool
    ready: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the daemon looked at."""

    name: str
    ok: bool
    text: str


def ask(listen: HostPort) -> Health:
    """Return what the daemon that listens there says; never raises."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared with
    connection = http.client.HTTPConnection(host, listen.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz?verbose")
        answer = connection.getresponse()
        text = answer.read(ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return Health(answers=False, ready=False, checks=())
    finally:
        connection.close()
    return Health(answers=True, ready=answer.status == _READY, checks=tuple(_checks(text)))


def _checks(text: str) -> list[Check]:
    found = []
    for line in text.splitlines():
        word, _, rest = line.partition("] ")
        if word in {"[ok", "[failed"}:
            name, _, said = rest.partition(": ")
            found.append(Check(name, word == "[ok", said))
    return found
