"""``wasl-node witness``: the hub's audit log as this node has seen it."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Connection

from nodes.cli.opened import opened_node
from nodes.link import facts, witness
from protocols.audit import checkpoint
from runtime import cli
from runtime.transactions import read, transact


def show(home: Path, begin_anew: bool, evidence: bool, as_json: bool) -> None:
    """Do ``wasl-node witness``."""
    with opened_node(home) as node:
        if evidence:
            _show_evidence(read(node.engine, witness.evidence), as_json)
            return
        statement = read(node.engine, witness.kept)
        if begin_anew and statement is not None:
            transact(node.engine, lambda connection: _begin_anew(connection, time.time_ns() // 1_000_000))
    value = None if statement is None else _value(statement)
    told = value
    cli.facts(
        value,
        as_json=as_json,
        text=lambda: (
            "This node has seen no checkpoint of the hub's audit log yet."
            if told is None
            else "\n".join(f"{name:<10} {text}" for name, text in told.items())
        ),
    )
    if begin_anew:
        cli.say("Forgotten. The next checkpoint is believed as it comes; keep the lines above.")


def _value(statement: bytes) -> dict[str, object]:
    said = checkpoint.verify(statement)
    return {
        "hub": said.origin,
        "entries": said.size,
        "root": said.root.hex(),
        "signed": cli.moment(said.at_ms),
        "audit_key": said.key.hex(),
    }


def _show_evidence(found: list[bytes], as_json: bool) -> None:
    value = [{**_value(statement), "checkpoint": statement.hex()} for statement in found]
    header = ("hub", "entries", "root", "signed", "audit_key", "checkpoint")
    cli.facts(value, as_json=as_json, text=lambda: cli.table([tuple(one.values()) for one in value], header))


def _begin_anew(connection: Connection, now_ms: int) -> None:
    witness.forget(connection)
    text = "the last checkpoint of the hub's audit log was forgotten by command: the next one is believed"
    facts.raise_alarm(connection, "audit-begun-anew", text, now_ms)
