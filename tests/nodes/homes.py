"""A joined node's home and its command line; made once in a process, then copied for each test."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Connection, insert

from crypto.primitives import blake2b
from nodes.cli import main
from nodes.home import SETTINGS, open_database, prepare_home
from nodes.link import inbox, tables
from nodes.link.identity import save_identity
from nodes.link.ids import id_text, new_id
from nodes.link.keyfiles import save_keys
from protocols.link.envelope import State
from runtime import migrations
from runtime.database import transact
from runtime.home import write_private
from tests.nodes.fixtures import EPOCH_MS, HERE, Network, fill_directory

TO = "cardio@chu-oran"
HL7 = b"MSH|^~\\&|labo|chu-alger|cardio|chu-oran|20260101||ADT^A01|42|P|2.5\rPID|1||X\r"


class Node:
    """A joined node's home, and its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        made, self.network = _made()
        copytree(made, home)

    def run(self, *arguments: str, home: Path | None = None) -> Result:
        """Run a command; whatever it raises but an exit is a traceback that a person would see."""
        result = CliRunner().invoke(main, [*arguments, "--home", str(home or self.home)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    def facts(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def send(self, *arguments: str) -> Any:
        return self.facts("send", "--to", TO, *arguments)

    def receive(self, body: bytes, files: dict[str, bytes] | None = None, **change: Any) -> str:
        identifier = change.get("id") or new_id(EPOCH_MS)
        row: dict[str, Any] = {
            "id": identifier, "sender": "labo@chu-oran", "recipient": f"labo@{HERE}", "digest": bytes(32),
            "kind": "ORU^R01", "priority": 0, "subject": "s", "patient": "p", "key": "", "body": body,
            "body_path": None, "created_ms": EPOCH_MS, "received_ms": EPOCH_MS, "state": int(State.DELIVERED),
            "handed_ms": None, "code": "", "receipt": b"r",
        } | change  # fmt: skip
        handed_on = {name: row[name] for name in ("sender", "recipient", "kind", "subject", "patient", "key")}
        digest = inbox.content_digest(identifier, body_digest=blake2b(body), **handed_on)
        row.setdefault("content_digest", digest)
        rows = []
        for position, (name, data) in enumerate((files or {}).items()):
            path = self.home / "incoming" / f"{identifier.hex()}-{position}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            rows.append(
                {
                    "position": position, "name": name, "media_type": "application/octet-stream",
                    "size": len(data), "digest": blake2b(data), "path": str(path.relative_to(self.home)),
                }
            )  # fmt: skip

        def operation(connection: Connection) -> None:
            key = connection.execute(insert(tables.inbox).values(row)).inserted_primary_key
            assert key is not None
            for one in rows:
                connection.execute(insert(tables.inbox_files).values(one | {"inbox_seq": key[0]}))

        self.write(operation)
        return id_text(identifier)

    def write(self, operation: Callable[[Connection], object]) -> None:
        engine = open_database(self.home)
        transact(engine, operation)
        engine.dispose()


@cache
def _made() -> tuple[str, Network]:
    """Return a home as it is after joining, and its network."""
    directory, network = TemporaryDirectory(), Network()
    atexit.register(directory.cleanup)
    home = Path(directory.name)
    prepare_home(home, None)
    write_private(home / SETTINGS, b'[disk]\nfloor = "1MiB"\n')
    identity = network.identity(HERE)
    save_keys(home, identity.keys)
    save_identity(home, identity)
    engine = open_database(home)
    migrations.upgrade(engine, "nodes")
    transact(engine, partial(fill_directory, network=network))
    engine.dispose()
    return directory.name, network
