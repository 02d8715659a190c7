"""``join``, ``run``, ``check-config``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from config.errors import SettingsError
from config.fields import HostPort
from crypto.errors import CryptoError
from crypto.fingerprint import in_hex, in_words
from nodes import home as node_home
from nodes.link.errors import NodeError
from protocols.link.errors import RemoteError
from protocols.link.joincode import JoinCode, decode_joincode
from runtime import cli
from runtime.cli import EXIT_TIMED_OUT, EXIT_USAGE, fail, say
from runtime.home import HomeError, marks_in
from runtime.storage_errors import StorageError

_ASK_AGAIN_S: Final = 3.0
"""Between two questions of a node whose keys wait at the hub."""


def join(code: str, home: Path, http: str | None, timeout: float) -> None:
    """Do ``wasl-node join``."""
    from nodes.link.identity import IDENTITY, save_identity  # noqa: PLC0415 - brings SQL
    from nodes.link.keyfiles import NodeKeys, keep_renewed_apart, load_keys, save_keys  # noqa: PLC0415 - brings SQL

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
        say(_fingerprint_text(keys.fingerprint))
        joined = _join(home, read, keys, node_home.hub_address(settings, read.hub), timeout)
        keep_renewed_apart(home)
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


def _fingerprint_text(fingerprint: bytes) -> str:
    return f"The fingerprint of this node's keys:\n  {in_words(fingerprint)}\n  {in_hex(fingerprint)}"


def _join(home: Path, code: JoinCode, keys: Any, address: HostPort, timeout_s: float) -> Any:
    """Ask the hub, and keep what it shows of this facility; return the identity, which is not written yet."""
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second
    from twisted.python.failure import Failure  # noqa: PLC0415 - likewise

    from nodes.link import addressbook, joining  # noqa: PLC0415 - likewise
    from runtime import migrations  # noqa: PLC0415 - likewise
    from runtime.clock import ReactorClock  # noqa: PLC0415 - likewise
    from runtime.connect import TcpConnector  # noqa: PLC0415 - likewise
    from runtime.transactions import transact  # noqa: PLC0415 - likewise

    loop: Any = reactor
    clock = ReactorClock(loop)
    until_s = clock.monotonic_s() + timeout_s
    outcome: list[Any] = []
    told: list[str] = []

    def ask() -> None:
        attempt = joining.Join(code, keys, clock)
        TcpConnector(loop, address.host, address.port)(attempt.link, attempt.failed)
        attempt.done.addBoth(finish)

    def finish(result: Any) -> None:
        if isinstance(result, Failure) and isinstance(result.value, joining.JoinWaits):
            _say_once(told, str(result.value))
            if clock.monotonic_s() + _ASK_AGAIN_S <= until_s:
                loop.callLater(_ASK_AGAIN_S, ask)
                return
        outcome.append(result)
        loop.callLater(0, loop.stop)

    ask()
    loop.run()
    result = outcome[0] if outcome else None
    if isinstance(result, Failure) and isinstance(result.value, joining.JoinWaits):
        fail(f"{result.value} still; run the same command again later", EXIT_TIMED_OUT)
    if isinstance(result, Failure):
        fail(str(result.value))
    if result is None:
        fail("stopped before the hub answered; run the same command again")
    joined, entry = result
    engine = node_home.open_database(home)
    migrations.upgrade(engine, "nodes")
    try:
        transact(engine, lambda connection: addressbook.merge(connection, entry, *joined.authorities))
    except addressbook.Distrusted as problem:
        fail(f"the hub showed what the authority of this code did not sign: {problem}")
    finally:
        engine.dispose()
    return joined


def _say_once(told: list[str], text: str) -> None:
    """Tell the person whom the keys wait for, and what to do about it."""
    if text not in told:
        told.append(text)
        say(f"At the hub {text}: have them read out the words above. Waiting …")


def run(home: Path) -> None:
    """Do ``wasl-node run``."""
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second

    from nodes.daemon import run as run_node  # noqa: PLC0415 - likewise

    sys.exit(run_node(home, reactor))


def check_config(home: Path, as_json: bool) -> None:
    """Do ``wasl-node check-config``."""
    refusals = (NodeError, HomeError)
    cli.check_config(lambda: node_home.load_settings(home), refusals, home, as_json=as_json)
