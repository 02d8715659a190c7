"""Waiting for a message that was just sent, and saying what became of it.

The message is safe from the moment that its id is said on stderr; whatever ends the waiting (its end, the
time limit, Ctrl-C) changes nothing about the message. One that came back from any of its recipients is a
failure, whatever the others did: stderr names each, with the reason.
"""

from __future__ import annotations

from typing import Any, Final

from nodes.cli.opened import OpenedNode
from nodes.cli.reasons import sentence
from nodes.cli.watching import watch
from nodes.link import facts, tracking
from nodes.link.ids import id_text
from protocols.link.envelope import State
from runtime import cli
from runtime.transactions import read

STATES: Final = {
    "accepted": frozenset({State.ACCEPTED, State.DELIVERED, State.PROCESSED, State.REFUSED, State.RETURNED}),
    "delivered": frozenset({State.DELIVERED, State.PROCESSED, State.REFUSED, State.RETURNED}),
    "processed": frozenset({State.PROCESSED, State.REFUSED, State.RETURNED}),
}
"""What each word of ``--wait`` waits for; what came back is not waited for any longer."""
_BACK: Final = frozenset({State.REFUSED, State.RETURNED})


def wait(node: OpenedNode, identifier: bytes, wanted: str, timeout_s: float, *, as_json: bool) -> None:
    """Wait until the message is ``wanted``, print what it is, and end with the exit code that says so."""
    try:
        cli.say(f"Queued as {id_text(identifier)}.")
        refusal = read(node.engine, facts.refusal)
        if refusal:
            cli.say(f"The hub does not let this node in ({refusal}): the message waits until it does.")
        sent = watch(node.engine, identifier, STATES[wanted], timeout_s)
    except KeyboardInterrupt:
        cli.fail(
            f"Stopped waiting; the message goes on by itself: wasl-node track {id_text(identifier)}",
            cli.EXIT_INTERRUPTED,
        )
    cli.facts(_value(sent), as_json=as_json, text=lambda: f"{id_text(sent.id)} {sent.state.word}")
    back = [one for one in sent.recipients if one.state in _BACK]
    for one in back:
        cli.say(f"Came back from {one.recipient} ({sentence(one.code)})")
    if sent.state not in STATES[wanted]:
        refusal = read(node.engine, facts.refusal)
        why = f", and the hub does not let this node in ({refusal})" if refusal else ""
        cli.fail(f"Not {wanted} yet ({sent.state.word}){why}; it goes on by itself.", cli.EXIT_TIMED_OUT)
    if back:
        cli.fail(f"{len(back)} of {len(sent.recipients)} recipients did not get it.")


def _value(sent: tracking.Sent) -> dict[str, Any]:
    value: dict[str, Any] = {"id": id_text(sent.id), "state": sent.state.word}
    if sent.reason:
        value["reason"] = sent.reason
    value["recipients"] = [
        {"recipient": one.recipient, "state": one.state.word, "reason": one.code or None}
        for one in sent.recipients
    ]
    return value
