"""``wasl-hub policy show | history | check | apply | diff | revert | try``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from config.errors import SettingsError
from hub.admin import policy as service
from hub.cli.opened import cli_actor, opened_hub
from hub.directory.policies import PolicyVersion, parse
from hub.home import SETTINGS
from runtime.cli import EXIT_USAGE, done, facts, fail, moment, plain, table
from runtime.transactions import read, transact


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _text(file: Path, *, as_json: bool = False) -> str:
    """Return the text of a policy that can be read; says every fault and ends otherwise."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        parse(text, str(file))
    except SettingsError as error:
        if as_json:
            faults = [
                {"file": x.file, "key": x.key, "value": x.value, "right": x.right} for x in error.faults
            ]
            facts({"ok": False, "faults": faults}, as_json=True, text=str)
            sys.exit(EXIT_USAGE)
        fail(str(error), EXIT_USAGE)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}", EXIT_USAGE)
    return text


def _value(version: PolicyVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "author": version.author,
        "at": moment(version.at_ms),
        "note": version.note,
        "text": version.text,
    }


def show(number: int | None, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub policy show``."""
    with opened_hub(home) as hub:
        past = read(hub.engine, service.history)
        if number is not None:
            found = read(hub.engine, lambda connection: service.one(connection, number))
        elif past:
            found = past[0]
        else:
            text = f"No policy was applied: that of {home / SETTINGS} holds."
            facts(None, as_json=as_json, text=lambda: text)
            return
    head = f"# {found.number}, by {found.author} at {moment(found.at_ms)}: {found.note}".rstrip(": ")
    facts(_value(found), as_json=as_json, text=lambda: plain(f"{head}\n{found.text}", layout=True))


def history(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub policy history``."""
    with opened_hub(home) as hub:
        past = read(hub.engine, service.history)
    rows = [(one.number, moment(one.at_ms), one.author, one.note) for one in past]
    header = ("number", "at", "author", "note")
    facts([_value(one) for one in past], as_json=as_json, text=lambda: table(rows, header))


def check(file: Path, as_json: bool) -> None:
    """Do ``wasl-hub policy check``."""
    _text(file, as_json=as_json)
    done({"ok": True, "faults": []}, "The policy is right.", as_json=as_json)


def apply(file: Path, home: Path, note: str, as_json: bool) -> None:
    """Do ``wasl-hub policy apply``."""
    text = _text(file)
    with opened_hub(home) as hub:
        number = transact(
            hub.engine,
            lambda connection: service.apply(
                connection, text, note=note, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
    facts({"number": number}, as_json=as_json, text=lambda: f"Policy {number} holds.")


def diff(file: Path, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub policy diff``."""
    text = _text(file)
    with opened_hub(home) as hub:
        past = read(hub.engine, service.history)
    before, name = (past[0].text, f"policy {past[0].number}") if past else ("", "no policy")
    changes = service.diff(before, text, name, str(file))
    text = plain(changes, layout=True) or "No difference."
    facts({"diff": changes}, as_json=as_json, text=lambda: text)


def revert(number: int, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub policy revert``."""
    with opened_hub(home) as hub:
        made = transact(
            hub.engine,
            lambda connection: service.revert(connection, number, actor=cli_actor(), now_ms=_now_ms()),
        )
        hub.poke()
    text = f"Policy {made} holds: the text of {number}."
    facts({"number": made}, as_json=as_json, text=lambda: text)


def attempt(file: Path, home: Path, since: float, as_json: bool) -> None:
    """Do ``wasl-hub policy try``."""
    policy = parse(_text(file), str(file))
    since_ms = _now_ms() - int(since * 1000)
    with opened_hub(home) as hub:
        trial = read(hub.engine, lambda c: service.try_on_past(c, policy, since_ms=since_ms))
    refused = sum(one.messages for one in trial.refused)
    value = {
        "looked_at": trial.messages,
        "refused": refused,
        "by": [
            {"from": one.sender, "kind": one.kind, "to": one.recipient, "messages": one.messages}
            for one in trial.refused
        ],
    }
    rows = [(one.messages, one.sender, one.kind, one.recipient) for one in trial.refused]
    head = f"{refused} of {trial.messages} would have been refused."
    facts(
        value,
        as_json=as_json,
        text=lambda: "\n".join([head, table(rows, ("messages", "from", "kind", "to"))] if rows else [head]),
    )
