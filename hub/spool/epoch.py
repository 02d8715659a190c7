"""What a hub that went back in time has to say and to doubt.

A hub that was restored from a backup has forgotten what it accepted, delivered and returned since; its nodes
have not. So the restored hub has a new *epoch*: nodes hear it in WELCOME and submit again whatever has not
ended for them (``nodes.link.begin_again``). Here is the hub's half:

- Whatever is in the spool, and whatever comes *again*, may have been delivered in the time that is forgotten.
  It is in doubt (``hub.spool.ageing.overdue``): its recipient's next session settles it, and no expiry
  returns it before. A node that has it answers as the first time, so nothing is taken twice. What a node says
  to be such counts only if it can be: the message was put before the restore, by its age, and not for ever
  (``again_until``), or a node could have its messages kept without end by saying so.
- Numbers and directory versions leap ahead of all that the old hub can have given out, and serials of new
  credentials with them: no node takes something new for something that it knows. They leap to what the time
  says, so a backup that is restored twice gives nothing out twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from hub.directory.tables import credentials, directory_version, facilities, groups
from hub.peers.tables import hubs
from hub.spool.ageing import NOBODY
from hub.spool.tables import events, ledger, numbers, presence, spool
from protocols.link.limits import VALID_FOR_MAX_MS

NUMBERS_A_SECOND: Final = 1 << 30
"""Numbers leap to the seconds since 1970 times this: no hub gives out as many. 2^62 comes in 2106."""
LEAP: Final = 1 << 40
"""How far numbers leap at least, should the clock stand behind: more than a hub gives out in a lifetime."""
SERIAL_MS: Final = 10_000
"""Serials leap to the time since 1970 in this unit: no facility gets credentials as fast as that."""
SERIAL_LEAP: Final = 100
"""How far serials leap at least."""
AWAY_MS: Final = 90 * 86_400_000
"""A node that was away for so long may have missed several restores: it is told of the oldest backup."""
MARGIN_MS: Final = 26 * 3_600_000
"""How wrong a node's clock may have gone while a message waited there."""
AGAIN_FOR_MS: Final = VALID_FOR_MAX_MS + MARGIN_MS
"""After a restore: by then everything that was accepted before has had all its time."""
_AT: Final = "epoch"
_FROM: Final = "epoch-from"
_SERIALS: Final = "serials"


@dataclass(frozen=True, slots=True)
class Epoch:
    """When this hub was restored last, and when the backup was made; zeros if it never was.

    ``from_ms`` is the oldest one's if restores followed each other within ``AWAY_MS``.
    """

    at_ms: int = 0
    from_ms: int = 0

    def again_until(self, put_ms: int) -> int:
        """Return how long a message that was put then counts as one of before the restore; 0: it is none."""
        if self.at_ms == 0 or put_ms > self.at_ms + MARGIN_MS:
            return 0
        return self.at_ms + AGAIN_FOR_MS


def read(connection: Connection) -> Epoch:
    """Return the present epoch."""
    return Epoch(_number(connection, _AT), _number(connection, _FROM))


def serial_floor(connection: Connection) -> int:
    """Return the serial that new credentials and groups stay above; 0 for a hub that was never restored."""
    return _number(connection, _SERIALS)


def begin(connection: Connection, from_ms: int, now_ms: int) -> Epoch:
    """Begin a new epoch in the tables of a hub that does not run: they are as they were at ``from_ms``."""
    before = read(connection)
    at_ms = max(now_ms, before.at_ms + 1)
    if 0 < before.at_ms >= at_ms - AWAY_MS:
        from_ms = min(from_ms, before.from_ms)
    epoch = Epoch(at_ms, from_ms)
    for table in (spool, events, ledger, hubs):
        _put(connection, table.name, _leapt(_number(connection, table.name), at_ms))
    _put(connection, _AT, epoch.at_ms)
    _put(connection, _FROM, epoch.from_ms)
    highest = [
        connection.execute(select(func.max(column))).scalar_one() or 0
        for column in (credentials.c.serial, groups.c.serial)
    ]
    floor = max(*highest, serial_floor(connection)) + SERIAL_LEAP
    _put(connection, _SERIALS, max(floor, at_ms // SERIAL_MS))
    _everything_in_doubt(connection, now_ms)
    connection.execute(delete(hubs))
    version = connection.execute(select(func.max(directory_version.c.version))).scalar_one() or 0
    version = _leapt(version, at_ms)
    for table in (facilities, groups, directory_version):
        connection.execute(update(table).values(version=version))
    return epoch


def _leapt(number: int, at_ms: int) -> int:
    return max(number + LEAP, at_ms // 1_000 * NUMBERS_A_SECOND)


def _everything_in_doubt(connection: Connection, now_ms: int) -> None:
    last = _number(connection, spool.name)
    waiting = set(connection.execute(select(spool.c.facility).distinct()).scalars())
    known = set(connection.execute(select(presence.c.facility)).scalars())
    connection.execute(update(presence).values(connected=False, hub=NOBODY, seen_seq=last, claimed_seq=0))
    _doubt(connection, dict.fromkeys(waiting - known, last), now_ms)


def _doubt(connection: Connection, last: dict[str, int], now_ms: int) -> None:
    for facility, seq in sorted(last.items()):
        connection.execute(_DOUBT, {"facility": facility, "seq": seq, "now_ms": now_ms, "nobody": NOBODY})


_DOUBT = text(
    "INSERT INTO presence (facility, connected, seen_ms, seen_seq, software, hub, claimed_seq)"
    " VALUES (:facility, false, :now_ms, :seq, '', :nobody, 0)"
    " ON CONFLICT (facility) DO UPDATE SET seen_seq ="
    " CASE WHEN presence.seen_seq < excluded.seen_seq THEN excluded.seen_seq ELSE presence.seen_seq END"
)


def _number(connection: Connection, name: str) -> int:
    found = connection.execute(select(numbers.c.last).where(numbers.c.name == bindparam("n")), {"n": name})
    return found.scalar_one_or_none() or 0


def _put(connection: Connection, name: str, value: int) -> None:
    connection.execute(delete(numbers).where(numbers.c.name == name))
    connection.execute(insert(numbers).values(name=name, last=value))
