"""A whole network of real daemons in one directory: a hub, and nodes that have joined it.

Joining takes seconds, so it is done once for all tests (``template``); a :class:`Network` is a copy
of those homes on ports of its own. The ports stay over restarts. Everything that was started is ended by
:meth:`Network.close`, by process id.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.daemons import Daemon, Ran, command
from tests.integration.ports import free_port
from tests.integration.template import FACILITIES, make_template

__all__ = ["FACILITIES", "Network", "Node", "make_template"]
from tests.integration.waiting import wait_until

FLOOR = "10MiB"
HUB_LIMITS = "[limits]\nhandshakes_per_second = 1000\n"


class Node(Daemon):
    """A facility's daemon; its MLLP listener is there if :meth:`configure` opened it."""

    def __init__(self, facility: str, home: Path, hub_port: int) -> None:
        super().__init__("nodes", home, "node.db", free_port())
        self.facility = facility
        self.mllp_port = free_port()
        self._hub_port = hub_port
        self.configure()

    def configure(
        self,
        more: str = "",
        *,
        acknowledge: str | None = None,
        deliver: Mapping[str, int] | None = None,
        hub_port: int | None = None,
        floor: str = FLOOR,
    ) -> None:
        """Write node.toml: ``acknowledge`` opens MLLP in, ``deliver`` (mailbox to port) MLLP out."""
        text = f'[node]\nhub = "127.0.0.1:{hub_port or self._hub_port}"\n'
        text += f'[http]\nlisten = "127.0.0.1:{self.http_port}"\n[disk]\nfloor = "{floor}"\n'
        if acknowledge is not None or deliver is not None:
            text += "[mllp]\n"
        if acknowledge is not None:
            text += f'listen = "127.0.0.1:{self.mllp_port}"\nacknowledge = "{acknowledge}"\n'
        if deliver is not None:
            text += '[mllp.delivery]\nanswer_timeout = "3s"\nretry_first = "100ms"\nretry_cap = "1s"\n'
            text += "[mllp.deliver]\n" + "".join(
                f'"{box}" = "127.0.0.1:{port}"\n' for box, port in deliver.items()
            )
        (self.home / "node.toml").write_text(text + more, encoding="utf-8")

    def wait_connected(self, timeout_s: float = 60.0) -> None:
        """Wait until the session to the hub is open and the directory is up to date."""
        wait_until(f"{self.facility} is connected", lambda: self.get("/readyz")[0] == 200, timeout_s)

    def send(self, to: str, *arguments: str | Path) -> Any:
        """Send by command line; returns the JSON answer."""
        return self.ask("send", "--to", to, *arguments)

    def states(self, identifier: str) -> list[str]:
        """Return the states of a message's history, in order."""
        return [line["state"] for line in self.ask("track", identifier)["history"]]

    def wait_state(self, identifier: str, wanted: str, timeout_s: float = 60.0) -> None:
        """Wait until the tables of this node say that every copy of the message is ``wanted``."""
        raw = bytes.fromhex(identifier.replace("-", ""))
        number = {"accepted": 1, "delivered": 3, "processed": 4, "refused": 5, "returned": 6}[wanted]
        sql = "SELECT r.state FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq WHERE o.id = ?"
        wait_until(
            f"{identifier} is {wanted}",
            lambda: {row[0] for row in self.rows(sql, raw)} == {number},
            timeout_s,
        )

    def arrived(self) -> list[tuple[str, str, bytes]]:
        """Return (id, recipient, body) of everything in the inbox, in order of arrival."""
        sql = "SELECT id, recipient, body FROM inbox ORDER BY seq"
        return [(raw.hex(), recipient, body) for raw, recipient, body in self.rows(sql)]

    def alarms(self) -> list[tuple[str, str]]:
        """Return (code, text) of all alarms, by ``status --json``, newest first."""
        return [(one["code"], one["text"]) for one in self.ask("status")["alarms"]]


class Network:
    """A hub and its nodes, by facility id; nothing runs until it is started."""

    def __init__(self, root: Path, template: Path, facilities: tuple[str, ...] = FACILITIES[:2]) -> None:
        self.root = root
        self.hub_port = free_port()
        for name in ("hub", *facilities):
            shutil.copytree(template / name, root / name, copy_function=shutil.copy2, dirs_exist_ok=True)
        self.hub = Daemon("hub", root / "hub", "hub.db", free_port())
        self.configure_hub()
        self.nodes = {name: Node(name, root / name, self.hub_port) for name in facilities}

    def __enter__(self) -> Self:
        """Return this network, to be closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def configure_hub(self, more: str = HUB_LIMITS, *, floor: str = FLOOR) -> None:
        """Write hub.toml."""
        text = f'[hub]\nlisten = "127.0.0.1:{self.hub_port}"\n'
        text += f'[http]\nlisten = "127.0.0.1:{self.hub.http_port}"\n'
        (self.hub.home / "hub.toml").write_text(
            text + f'[disk]\nfloor = "{floor}"\n' + more, encoding="utf-8"
        )

    def daemons(self) -> list[Daemon]:
        """Return all, the hub first."""
        return [self.hub, *self.nodes.values()]

    def start(self) -> None:
        """Start everything and wait until every node is connected."""
        for daemon in self.daemons():
            daemon.start(wait=False)
        for daemon in self.daemons():
            daemon.wait_ready()
        for node in self.nodes.values():
            node.wait_connected()

    def close(self) -> None:
        """End every process that is left."""
        for daemon in self.daemons():
            daemon.kill()

    def invite(self, facility: str, *arguments: str) -> str:
        """Return a join code."""
        code = self.hub.ask("invite", facility, *arguments)["code"]
        assert isinstance(code, str)
        return code

    def join(self, code: str, home: str) -> Ran:
        """Run ``wasl-node join`` into a new home below the root."""
        return command("nodes", "join", code, "--home", self.root / home, "--http", "127.0.0.1:0")

    def logs(self, last_bytes: int = 6_000) -> str:
        """Return the end of every daemon's log."""
        found = [daemon.log for daemon in self.daemons() if daemon.log.exists()]
        return "\n".join(
            f"── {log}\n{log.read_bytes()[-last_bytes:].decode(errors='replace')}" for log in found
        )
