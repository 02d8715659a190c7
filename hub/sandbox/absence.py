"""Faults of the network: the recipient's node goes away, and what is sent to it is late, or comes back.

While it is away the next messages to it wait at the hub, as in life. A *delay* lets the hub warn the sender
at once (its warning is due) and brings the node back after some seconds. A *nondelivery* cuts the messages'
validity: the hub's next round finds them expired, and returns them by the very report that would come after
five days. Then the node comes back.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from sqlalchemy import Connection, select, update

from hub import home as hub_home
from hub.sandbox.faults import Fault, Wanted
from hub.sandbox.network import Network
from hub.spool.tables import spool
from runtime.transactions import transact

POLL_S: Final = 0.3
PATIENCE_S: Final = 600.0
"""How long the node stays away for messages that nobody sends."""


def play(network: Network, wanted: Wanted, *, said: list[str]) -> None:
    """Play a delay or a nondelivery; returns when the node is back. ``said``: what happened, for people."""
    facility = wanted.recipient.partition("@")[2]
    network.stop(facility)
    engine = hub_home.open_database(network.hub_home, hub_home.load_settings(network.hub_home))
    met: set[int] = set()
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while len(met) < wanted.count and time.monotonic() < deadline_s:
            met |= transact(engine, partial(_meet, wanted=wanted, before=frozenset(met)))
            time.sleep(POLL_S)
        said.append(f"{len(met)} of {wanted.count} messages to {wanted.recipient} met a {wanted.fault}")
        if wanted.fault is Fault.DELAY:
            time.sleep(wanted.seconds)
        else:
            while transact(engine, lambda c: _waiting(c, wanted.recipient)) & met:
                time.sleep(POLL_S)
    finally:
        engine.dispose()
        network.start_node(facility)
    network.await_node(facility)


def _waiting(connection: Connection, recipient: str) -> set[int]:
    return set(connection.execute(select(spool.c.seq).where(spool.c.recipient == recipient)).scalars())


def _meet(connection: Connection, *, wanted: Wanted, before: frozenset[int]) -> set[int]:
    """Let messages that have come meet the fault, up to the number that was asked for."""
    now_ms = time.time_ns() // 1_000_000
    fresh = sorted(_waiting(connection, wanted.recipient) - before)[: wanted.count - len(before)]
    # The warning, which has an hour of its own, is due now; so is the end, if that is what was asked for.
    due = {"due_ms": now_ms} | ({"expires_ms": now_ms} if wanted.fault is Fault.NONDELIVERY else {})
    if fresh:
        connection.execute(update(spool).where(spool.c.seq.in_(fresh)).values(due))
    return set(fresh)
