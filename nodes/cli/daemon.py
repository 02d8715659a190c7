"""``join``, ``run``, ``check-config``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from config.errors import SettingsError
from config.fields import HostPort
from crypto.errors import CryptoError
from nodes import home as node_home
from nodes.link.errors import NodeError
from protocols.link.errors import RemoteError
from protocols.link.joincode import JoinCode, decode_joincode
from runtime.cli import EXIT_USAGE, facts, fail, say
from runtime.home import HomeError, marks_in
from runtime.storage_errors import StorageError


def join(code: str, home: Path, http: str | None) -> None:
    """Do ``wasl-node join``."""
    from nodes.link.identity import (  # noqa: PLC0415 - brings SQL
        IDENTITY,
        NodeKeys,
        load_keys,
        save_identity,
        save_keys,
    )

    try:
        read = decode_joincode(code)
    except RemoteError as fault:
        fail(fault.text, EXIT_USAGE)
    try:
        if IDENTITY in marks_in(home):
            fail(f"{home} has joined a network already; a node has one home and one network")
        settings = node_home.prepare_home(home, http)
        keys = load_keys(home)
        if keys is None:
            keys = NodeKeys.generate()
            save_keys(home, keys)
        joined = _join(home, read, keys, node_home.hub_address(settings, read.hub))
        node_home.write_settings(home, http)
        save_identity(home, joined)
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except CryptoError as error:
        fail(f"the join code holds a key that is none ({error}): copy the code again, whole", EXIT_USAGE)
    except (NodeError, HomeError, StorageError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")
    say(f"This is {read.facility} now. Next: wasl-node run --home {home}")


def _join(home: Path, code: JoinCode, keys: Any, address: HostPort) -> Any:
    """Ask the hub, and keep what it shows of this facility; return the identity, which is not written yet."""
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second
    from twisted.python.failure import Failure  # noqa: PLC0415 - likewise

    from nodes.link import addressbook, joining  # noqa: PLC0415 - likewise
    from runtime import migrations  # noqa: PLC0415 - likewise
    from runtime.clock import ReactorClock  # noqa: PLC0415 - likewise
    from runtime.connect import TcpConnector  # noqa: PLC0415 - likewise
    from runtime.transactions import transact  # noqa: PLC0415 - likewise

    loop: Any = reactor
    attempt = joining.Join(code, keys, ReactorClock(loop))
    TcpConnector(loop, address.host, address.port)(attempt.link, attempt.failed)
    outcome: list[Any] = []

    def finish(result: Any) -> None:
        outcome.append(result)
        loop.callLater(0, loop.stop)

    attempt.done.addBoth(finish)
    loop.run()
    result = outcome[0] if outcome else None
    if isinstance(result, Failure):
        fail(str(result.value))
    if result is None:
        fail("stopped before the hub answered; run the same command again")
    joined, entry = result
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    try:
        transact(engine, lambda connection: addressbook.merge(connection, entry, joined.authority_key))
    except addressbook.Distrusted as problem:
        fail(f"the hub showed what the authority of this code did not sign: {problem}")
    finally:
        engine.dispose()
    return joined


def run(home: Path) -> None:
    """Do ``wasl-node run``."""
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second

    from nodes.daemon import run as run_node  # noqa: PLC0415 - likewise

    sys.exit(run_node(home, reactor))


def check_config(home: Path, as_json: bool) -> None:
    """Do ``wasl-node check-config``."""
    try:
        node_home.load_settings(home)
    except SettingsError as error:
        faults = [{"file": x.file, "key": x.key, "value": x.value, "right": x.right} for x in error.faults]
        if as_json:
            facts({"ok": False, "faults": faults}, as_json=True, text=str)
        else:
            say(str(error))
        sys.exit(EXIT_USAGE)
    except (NodeError, HomeError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")
    facts({"ok": True, "faults": []}, as_json=as_json, text=lambda: "The settings are right.")
