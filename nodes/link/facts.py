"""Numbers that the node must not forget: one row each in the table ``facts``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from nodes.link.tables import alarms, facts, outbox
from protocols.link.frames import Goodbye
from runtime.driver_sql import PreparedSql

DIRECTORY_VERSION: Final = "directory_version"
CONNECTED: Final = "connected"
OFFERED_SEQ: Final = "offered_seq"
"""The last outbox seq that any session may have submitted: what is after it is not in doubt."""
OUTBOX_SEQ: Final = "outbox_seq"
"""The last outbox seq given out; never given out again."""
REFUSED: Final = "refused"
"""Why the hub does not let this node in (a :class:`Goodbye`), 0 if it did when last asked."""
PULSE: Final = "pulse"
"""Goes up by one with each :func:`beat`."""
HUB_EPOCH: Final = "hub_epoch"
"""The epoch of the hub's last welcome (``protocols.link.payloads.Welcome``)."""
AGAIN_SEQ: Final = "again_seq"
"""The last outbox seq that the hub may have accepted before its present epoch began."""
AUDIT_EPOCH: Final = "audit_epoch"
"""The hub's epoch when a checkpoint of its audit log was believed last (``nodes.link.witness``)."""
ALARMS_KEPT: Final = 1_000
REFUSALS: Final = {
    Goodbye.UNKNOWN_KEY: "the hub does not know this node's key",
    Goodbye.REVOKED: "its keys are revoked",
    Goodbye.SUSPENDED: "its facility is suspended",
}
"""What only an administrator of the hub can mend."""


def get(connection: Connection, name: str, default: int = 0) -> int:
    """Return a number."""
    found = _GET.one(connection, name=name)
    return default if found is None else int(found[0])


def put(connection: Connection, name: str, value: int) -> None:
    """Remember a number."""
    _PUT.run(connection, name=name, value=value)


def advance(connection: Connection, name: str, by: int) -> int:
    """Count a number on, from 0, and return where it is now."""
    now = _ADVANCE.one(connection, name=name, value=by)
    assert now is not None
    return int(now[0])


_GET = PreparedSql(select(facts.c.value).where(facts.c.name == bindparam("name")))
_PUT = PreparedSql(insert(facts), " ON CONFLICT (name) DO UPDATE SET value = excluded.value")
_ADVANCE = PreparedSql(
    insert(facts), " ON CONFLICT (name) DO UPDATE SET value = facts.value + excluded.value RETURNING value"
)


def beat(connection: Connection) -> None:
    """Change something, so that the commit proves that the tables can be written."""
    advance(connection, PULSE, 1)


def refusal(connection: Connection) -> str:
    """Return why the hub does not let this node in, empty if it did when last asked."""
    found = get(connection, REFUSED)
    return next((text for reason, text in REFUSALS.items() if reason == found), "")


def session_began(connection: Connection) -> None:
    """Note, before anything is submitted, that from now on messages may reach the hub."""
    put(connection, CONNECTED, 1)


def session_ended(connection: Connection) -> None:
    """Note how far the session may have got. Called at its end, and at start in case it had none."""
    if get(connection, CONNECTED):
        last = connection.execute(select(func.max(outbox.c.seq))).scalar_one_or_none() or 0
        put(connection, OFFERED_SEQ, max(last, get(connection, OFFERED_SEQ)))
        put(connection, CONNECTED, 0)


def raise_alarm(connection: Connection, code: str, text: str, now_ms: int) -> None:
    """Keep an alarm for the operator; the newest ``ALARMS_KEPT`` stay."""
    done = connection.execute(insert(alarms).values(at_ms=now_ms, code=code, text=text))
    assert done.inserted_primary_key is not None
    connection.execute(alarms.delete().where(alarms.c.seq <= done.inserted_primary_key[0] - ALARMS_KEPT))


def latest_alarms(connection: Connection, limit: int) -> list[tuple[int, str, str]]:
    """Return the newest alarms, newest first: (at_ms, code, text)."""
    rows = connection.execute(select(alarms).order_by(alarms.c.seq.desc()).limit(limit))
    return [(row.at_ms, row.code, row.text) for row in rows]
