"""The network's own keys as an administrator sees them: which hold, since when, and what is to be done next.

Replacing one is a walk of several steps (``hub.admin.rotation``). Two of them change tables alone, and the
console does them: telling nodes of a link key that was drawn, and letting the one before count no more. What
draws, uses or puts away a private key is done at the hub's home, which the console never opens, or where the
authority's key is; for that there is the exact command. So the console announces only a key that the hub's
daemon says it has (``hub.home.PublicKeys``), and lets no key go while a node would be locked out: only the
command line has ``--force``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select

from crypto.trust import Subject
from hub.admin import rotation
from hub.admin.errors import AdminRefused
from hub.admin.rotation import Behind, NotAllMoved
from hub.audit.tables import audit, checkpoints
from hub.directory import trust
from hub.directory.service import Issuer
from hub.directory.trust import Row
from hub.home import PublicKeys
from protocols.audit import succession

OLD_MS: Final = 2 * 365 * 86_400_000
"""When a key is due: by then somebody has left who could read it."""


class Key(StrEnum):
    """One of the three."""

    LINK = "link"
    AUTHORITY = "authority"
    AUDIT = "audit"


class Step(StrEnum):
    """What is to be done next about a key."""

    BEGIN = "begin"
    """Nothing is under way; this begins it."""
    SIGN = "sign"
    """The authority, which is elsewhere, has to sign."""
    LACKING = "lacking"
    """The key is drawn and signed, and the hub's daemon has it not."""
    ANNOUNCE = "announce"
    WAIT = "wait"
    """Nodes are told, and some have not followed."""
    FINISH = "finish"
    TIDY = "tidy"
    """The key before counts no more, and lies in the key file still."""
    FIRST = "first"
    """There is no such key yet."""


class Where(StrEnum):
    """On which machine a command is given."""

    HUB = "hub"
    AUTHORITY = "authority"
    NODE = "node"


OVER_WEB: Final = frozenset({(Key.LINK, Step.ANNOUNCE), (Key.LINK, Step.FINISH)})
"""What changes tables alone."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line for a terminal."""

    where: Where
    text: str


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key. ``fingerprint``: empty if there is none; ``since_ms``: None if nobody noted it.

    ``change`` is under way; ``behind`` are the facilities whose nodes have not followed it.
    """

    key: Key
    fingerprint: str
    since_ms: int | None
    step: Step
    commands: tuple[Command, ...]
    change: Row | None = None
    behind: tuple[Behind, ...] = ()

    @property
    def over_web(self) -> bool:
        """Whether the next step is done in the console."""
        return (self.key, self.step) in OVER_WEB

    def is_old(self, now_ms: int) -> bool:
        """Return whether it should be replaced by now."""
        return self.since_ms is not None and now_ms - self.since_ms > OLD_MS


def look(connection: Connection, public: PublicKeys, home: Path) -> tuple[KeyState, KeyState, KeyState]:
    """Return link key, authority and audit key, in this order; reads only."""
    first_ms = connection.execute(select(func.min(audit.c.at_ms)).where(audit.c.number == 1)).scalar()
    return (
        _link(connection, public, home, first_ms),
        _authority(connection, public, home, first_ms),
        _audit(connection, public, home),
    )


def under_way_since(connection: Connection) -> int | None:
    """Return when the change began that has been under way longest, None if none is."""
    return min((row.at_ms for row in trust.rows(connection) if not row.finished), default=None)


def announce(
    connection: Connection, issuer: Issuer, public: PublicKeys, wanted: str, *, actor: str, now_ms: int
) -> Row:
    """Tell nodes of the link key with the fingerprint ``wanted``; :class:`AdminRefused`, DirectoryError."""
    row = _wanted(connection, wanted)
    if public.link_next is None or bytes(public.link_next) != row.key:
        raise AdminRefused(
            "key-lacking", f"the hub's daemon has not link key {row.fingerprint}: nodes could not call by it"
        )
    return rotation.announce_link(connection, issuer, actor=actor, now_ms=now_ms)


def finish(
    connection: Connection, issuer: Issuer, public: PublicKeys, wanted: str, *, actor: str, now_ms: int
) -> Row:
    """Let the link key before ``wanted`` count no more; :class:`AdminRefused`, DirectoryError."""
    row = _wanted(connection, wanted)
    if row.announced_ms is not None and bytes(public.link) != row.key:
        raise AdminRefused("key-lacking", f"the hub's daemon does not use link key {row.fingerprint}")
    try:
        return rotation.finish_link(connection, issuer, actor=actor, now_ms=now_ms)
    except NotAllMoved as error:
        raise AdminRefused("not-all-moved", str(error)) from None


def _wanted(connection: Connection, fingerprint: str) -> Row:
    row = trust.open_row(connection, Subject.LINK)
    if row is None or row.fingerprint != fingerprint.strip().lower():
        raise AdminRefused("other-key", "no change to this link key is under way: look again")
    return row


def _link(connection: Connection, public: PublicKeys, home: Path, first_ms: int | None) -> KeyState:
    rows = [row for row in trust.rows(connection) if row.about_link]
    change = next((row for row in rows if not row.finished), None)
    behind: tuple[Behind, ...] = ()
    if change is None:
        step = Step.TIDY if public.link_next == public.link else Step.BEGIN
    elif not change.statement:
        step = Step.SIGN
    elif change.announced_ms is None:
        here = public.link_next is not None and bytes(public.link_next) == change.key
        step = Step.ANNOUNCE if here else Step.LACKING
    else:
        behind = tuple(rotation.behind(connection, change))
        step = Step.WAIT if behind else Step.FINISH if bytes(public.link) == change.key else Step.LACKING
    since_ms = next((row.announced_ms for row in rows if row.key == bytes(public.link)), None) or first_ms
    return KeyState(
        Key.LINK, public.link.fingerprint(), since_ms, step, _commands(Key.LINK, step, home), change, behind
    )


def _authority(connection: Connection, public: PublicKeys, home: Path, first_ms: int | None) -> KeyState:
    rows = trust.rows(connection)
    change = next((row for row in rows if row.subject is Subject.AUTHORITY and not row.finished), None)
    ends = any(row.subject is Subject.RETIRED and not row.finished for row in rows)
    behind: tuple[Behind, ...] = ()
    if change is None:
        step = Step.BEGIN
    elif ends:
        step = Step.SIGN
    else:
        behind = tuple(rotation.behind(connection, change))
        step = Step.WAIT if behind else Step.FINISH
    of = [row for row in rows if row.subject is Subject.AUTHORITY and row.key == bytes(public.authority)]
    return KeyState(
        Key.AUTHORITY,
        public.authority.fingerprint(),
        of[-1].announced_ms if of else first_ms,
        step,
        _commands(Key.AUTHORITY, step, home, elsewhere=not public.signs),
        change,
        behind,
    )


def _audit(connection: Connection, public: PublicKeys, home: Path) -> KeyState:
    if public.audit is None:
        return KeyState(Key.AUDIT, "", None, Step.FIRST, _commands(Key.AUDIT, Step.FIRST, home))
    changed = select(func.max(audit.c.at_ms)).where(audit.c.action == succession.ACTION)
    began = select(func.min(checkpoints.c.at_ms))
    since_ms = connection.execute(changed).scalar() or connection.execute(began).scalar()
    return KeyState(
        Key.AUDIT, public.audit.fingerprint(), since_ms, Step.BEGIN, _commands(Key.AUDIT, Step.BEGIN, home)
    )


def _commands(key: Key, step: Step, home: Path, *, elsewhere: bool = False) -> tuple[Command, ...]:
    lines = _SUCCEED if elsewhere and step is Step.BEGIN else _LINES.get((key, step), ())
    at = f"--home {shlex.quote(str(home))}"
    return tuple(Command(line.where, line.text.replace("HOME", at)) for line in lines)


def _hub(text: str) -> Command:
    return Command(Where.HUB, f"wasl-hub {text} HOME")


def _carried(there: str, more: str = "") -> tuple[Command, ...]:
    return (
        _hub(f"authority export-requests requests.json{more}"),
        Command(Where.AUTHORITY, f"wasl-hub authority {there} --into signed.json"),
        _hub("authority import signed.json"),
    )


_MOVE: Final = (_hub("rotate export keys.json"), Command(Where.NODE, "wasl-node trust keys.json"))
_SUCCEED: Final = _carried("succeed requests.json --key authority.key --new-key new.key", " --everything")
_LINES: Final = {
    (Key.LINK, Step.BEGIN): (_hub("rotate link begin"),),
    (Key.LINK, Step.SIGN): _carried("sign requests.json --key authority.key"),
    (Key.LINK, Step.ANNOUNCE): (_hub("backup create --key recovery.pub"),),
    (Key.LINK, Step.WAIT): _MOVE,
    (Key.LINK, Step.TIDY): (_hub("rotate link finish"),),
    (Key.AUTHORITY, Step.BEGIN): (_hub("rotate authority begin"),),
    (Key.AUTHORITY, Step.WAIT): _MOVE,
    (Key.AUTHORITY, Step.FINISH): (_hub("rotate authority finish"),),
    (Key.AUTHORITY, Step.SIGN): _carried("sign requests.json --key new.key"),
    (Key.AUDIT, Step.FIRST): (_hub("audit key"),),
    (Key.AUDIT, Step.BEGIN): (_hub("rotate audit"),),
}
"""What is typed next; HOME stands for the option that names the hub's home."""
