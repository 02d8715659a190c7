"""``wasl-hub readmit``: nodes that a restored hub has forgotten."""

from __future__ import annotations

import time
from pathlib import Path

from hub.admin import readmission
from hub.cli.opened import cli_actor, opened_hub
from hub.directory import knocks
from runtime.cli import done, facts, moment, table
from runtime.transactions import read, transact


def readmit(facility: str | None, home: Path, mailboxes: tuple[str, ...], as_json: bool) -> None:
    """Do ``wasl-hub readmit``."""
    with opened_hub(home) as hub:
        if facility is not None:
            issuer, now_ms = hub.issuer, time.time_ns() // 1_000_000
            found = transact(
                hub.engine,
                lambda c: readmission.readmit(
                    c, issuer, facility, mailboxes=mailboxes, actor=cli_actor(), now_ms=now_ms
                ),
            )
            hub.poke()
            serial = found.credential.serial
            text = f"{facility} is let in again by credential {serial}, within seconds."
            done({"facility": facility, "serial": serial}, text, as_json=as_json)
            return
        waiting = read(hub.engine, knocks.waiting)
    value = [
        {
            "facility": one.credential.facility,
            "serial": one.credential.serial,
            "fingerprint": readmission.words_of(one),
            "expires": moment(one.credential.not_after_ms),
            "knocked": moment(one.seen_ms),
        }
        for one in waiting
    ]
    header = ("facility", "serial", "fingerprint", "expires", "knocked")
    facts(value, as_json=as_json, text=lambda: table([tuple(one.values()) for one in value], header))
