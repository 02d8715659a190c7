"""PostgreSQL's notices: a thread of its own waits for them and says so in the reactor's thread.

Whoever writes what others have to know sends a notice in the same transaction (``hub.peers.notices``);
PostgreSQL passes it on when that is committed. A notice may be lost, when the connection breaks for
instance; so nothing depends on it, and after each new connection everything is looked at.

Notices of this process's own transactions are left out, by the number of the server's process that ran them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, event

from hub.peers.notices import CHANNEL
from runtime.logs import event as log
from runtime.postgresql import connect_options
from runtime.transactions import BUSY_TIMEOUT_S

ROUND_S: Final = 1.0
"""How long the thread waits at a time before it looks whether it should end, or connects again."""
OWN_CONNECTIONS: Final = 64

_LOG = logging.getLogger(__name__)


class Hints:
    """The listening thread; ``hint`` gets the notice's text, or an empty one for "anything"."""

    def __init__(self, engine: Engine, reactor: Any, hint: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._hint = hint
        self._own: deque[int] = deque(maxlen=OWN_CONNECTIONS)
        _, asked = engine.dialect.create_connect_args(engine.url)
        self._asked: dict[str, Any] = {**connect_options(engine.url, BUSY_TIMEOUT_S), **asked}
        self._stopped = threading.Event()
        event.listen(engine, "connect", self._note_own)
        engine.dispose()  # what was connected before has not been noted
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has."""
        self._stopped.set()
        self._thread.join(ROUND_S * 5)

    def _note_own(self, connection: Any, _entry: object) -> None:
        self._own.append(connection.info.backend_pid)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(**self._asked, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._say("")
                    while not self._stopped.is_set():
                        for notice in connection.notifies(timeout=ROUND_S, stop_after=1):
                            if notice.pid not in self._own:
                                self._say(notice.payload)
            except psycopg.Error as error:
                log(_LOG, logging.WARNING, "notices-lost", cause=error)
                self._stopped.wait(ROUND_S)

    def _say(self, what: str) -> None:
        self._reactor.callFromThread(self._hint, what)
