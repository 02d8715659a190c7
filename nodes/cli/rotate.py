"""``rotate``: new keys for this node."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from crypto.fingerprint import in_hex, in_words
from nodes.cli.opened import opened_node
from nodes.link.identity import load_identity
from nodes.link.keyfiles import NodeKeys, save_upcoming, upcoming_wait
from runtime.cli import EXIT_NO_DAEMON, EXIT_TIMED_OUT, facts, fail, moment

_EVERY_S = 0.25


def rotate(home: Path, timeout: float, as_json: bool) -> None:
    """Do ``wasl-node rotate``."""
    with opened_node(home) as node:
        serial = node.identity.credential.serial
        with suppress(FileExistsError):  # asked before: that one goes on
            save_upcoming(home, NodeKeys.generate())
        if not node.poke():
            fail(
                f"the daemon does not run; it asks for new keys when it does: wasl-node run --home {home}",
                EXIT_NO_DAEMON,
            )
        until_s = time.monotonic() + timeout
        while True:
            now = load_identity(home)
            if now.credential.serial > serial:
                break
            if not upcoming_wait(home) and load_identity(home).credential.serial == serial:
                fail(f"the hub gave no new keys; see the alarm: wasl-node status --home {home}")
            if time.monotonic() >= until_s:
                fail("the hub has not certified the new keys yet; the daemon goes on asking", EXIT_TIMED_OUT)
            time.sleep(_EVERY_S)
    value = {
        "serial": now.credential.serial,
        "fingerprint": {"words": in_words(now.keys.fingerprint), "hex": in_hex(now.keys.fingerprint)},
        "expires": moment(now.credential.not_after_ms),
    }
    words = in_words(now.keys.fingerprint)
    facts(value, as_json=as_json, text=lambda: f"New keys, serial {value['serial']}: {words}")
