"""This node as a witness: the hub cannot write the history of its audit log anew without being seen.

The node keeps the last checkpoint that it believed. The hub proves that the next one grew out of it; only
then is the new one kept, durably, and countersigned. A checkpoint that is shorter, that a key signed which
did not come from ours, or that did not grow out of ours is refused, told to the operator (alarm
``audit-fork``) and never signed; for the rest of the session the node says nothing more about the log.
Messages go on: whether to trust this hub is for people to decide.

The first checkpoint is believed as it comes, over the link that the hub's own key authenticates; with it
the key that signs checkpoints.

**A hub that was restored** has forgotten what it signed after its backup, and says so: a new epoch, and when
the backup was made. Then the log need not have grown out of the last checkpoint, but out of the newest one
that was signed before the backup: such are kept for that, one an hour. If it did, the node goes on from
there, keeps the later checkpoints as evidence, and raises ``audit-restored`` once, with the span of time
that the hub claims to have forgotten. So a hub that only pretends can rewrite nothing from before the time
that it must name, and no node goes along in silence. Without a checkpoint from before the backup it is a
fork, for people to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, delete, insert, select, update

from crypto.keys import SigningPublicKey
from nodes.link import facts
from nodes.link.core import LinkCore
from nodes.link.tables import checkpoint as table
from nodes.link.tables import checkpoints_kept
from protocols.audit import checkpoint, succession, tree
from protocols.link import frames as f
from protocols.link.payloads import Welcome
from runtime.moments import utc
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

FORK: Final = "audit-fork"
RESTORED: Final = "audit-restored"
ANCHORS_KEPT: Final = 1_000
"""Checkpoints of earlier hours: six weeks of a log that grows all the time."""
EVIDENCE_KEPT: Final = 1_000
HOUR_MS: Final = 3_600_000
_ONE: Final = 1


@dataclass(frozen=True, slots=True)
class Basis:
    """What the next checkpoint must have grown out of; None: it is believed as it comes.

    ``epoch``: the hub's, if it is to be noted with that. ``lost``: the last one that we believed, if the hub
    says that it went back behind it.
    """

    statement: bytes | None
    epoch: int = 0
    lost: bytes | None = None


class Witness:
    """One session's part of it."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core, self._session = core, session
        self._basis = Basis(None)
        self._looking = False
        self._refused = False

    def begin(self, welcome: Welcome) -> None:
        """Tell the hub which checkpoint we have."""
        spawn(self._begin(welcome), self._session.failed)

    async def _begin(self, welcome: Welcome) -> None:
        self._basis = await self._core.database.read(lambda c: basis(c, welcome.epoch, welcome.epoch_from_ms))
        if self._basis.statement is None:
            self._session.say(f.Witnessed(b"", 0, b""))
        else:
            self._countersign(self._basis.statement)

    def told(self, frame: f.Checkpoint) -> None:
        """Look at a checkpoint; while one is looked at, another is not."""
        if not self._looking and not self._refused:
            self._looking = True
            spawn(self._look(frame), self._session.failed)

    async def _look(self, frame: f.Checkpoint) -> None:
        core, before = self._core, self._basis
        try:
            wrong = fault(before.statement, frame.statement, frame.proof, core.identity.hub_name, frame.keys)
            if wrong:
                self._refused = True
                await self._session.alarm(FORK, f"the hub's audit log: {wrong}; ask the hub's operator")
                return
            now_ms = core.clock.now_ms()
            await core.database.write(lambda connection: take(connection, frame.statement, before, now_ms))
            self._basis = Basis(frame.statement)
        finally:
            self._looking = False
        if before.lost is not None:
            await self._session.alarm(RESTORED, _told(before))
        self._countersign(frame.statement)

    def _countersign(self, statement: bytes) -> None:
        identity = self._core.identity
        signature = checkpoint.countersign(identity.keys.signing, identity.facility, statement)
        self._session.say(f.Witnessed(statement, identity.credential.serial, signature))


def _told(before: Basis) -> str:
    assert before.statement is not None
    assert before.lost is not None
    held, lost = checkpoint.verify(before.statement), checkpoint.verify(before.lost)
    return (
        f"the hub says that it was restored from a backup: of its audit log, entries {held.size + 1} to"
        f" {lost.size}, signed from {_moment(held.at_ms)} to {_moment(lost.at_ms)}, are gone or written anew."
        " If nobody restored it, tell your security officer. What it had signed is kept:"
        " wasl-node witness --evidence"
    )


def _moment(at_ms: int) -> str:
    return utc(at_ms).isoformat(timespec="seconds")


def fault(
    last: bytes | None,
    statement: bytes,
    proof: Sequence[bytes],
    origin: str,
    changes: Sequence[bytes] = (),
) -> str:
    """Return why a checkpoint cannot be believed by who believes ``last``; empty if it can.

    ``changes``: how the key that signs came from the one that signed ``last``.
    """
    try:
        said = checkpoint.verify(statement)
        before = None if last is None else checkpoint.verify(last)
        if before is not None:
            checkpoint.verify(statement, succession.follow(SigningPublicKey(before.key), changes, origin)[-1])
    except checkpoint.CheckpointFault as problem:
        return str(problem)
    if said.origin != origin:
        return f"the checkpoint is of the hub {said.origin!r}, not of {origin!r}"
    if before is None:
        return ""
    if said.size < before.size:
        return f"it has {said.size} entries now, and had {before.size} before: entries were removed"
    if not tree.consistent(before.size, before.root, said.size, said.root, tuple(proof)):
        return f"its {said.size} entries do not begin with the {before.size} that were signed before"
    return ""


def basis(connection: Connection, epoch: int, from_ms: int) -> Basis:
    """Return what the next checkpoint must have grown out of, at a hub of this epoch."""
    last = kept(connection)
    if last is None or epoch <= facts.get(connection, facts.AUDIT_EPOCH):
        return Basis(last, epoch)
    before = connection.execute(
        select(checkpoints_kept.c.statement)
        .where(checkpoints_kept.c.signed_ms <= from_ms, checkpoints_kept.c.evidence.is_(False))
        .order_by(checkpoints_kept.c.size.desc())
        .limit(1)
    ).scalar_one_or_none()
    if before is None:
        return Basis(last, epoch)
    return Basis(before, epoch, None if before == last else last)


def kept(connection: Connection) -> bytes | None:
    """Return the last checkpoint that was believed, if any."""
    found = connection.execute(select(table.c.statement)).scalar_one_or_none()
    return None if found is None else bytes(found)


def forget(connection: Connection) -> None:
    """Believe the next checkpoint as it comes: for people who know why the log has another history."""
    connection.execute(delete(table))
    _set_aside(connection, 0)


def take(connection: Connection, statement: bytes, before: Basis, now_ms: int) -> None:
    """Remember a checkpoint that grew out of ``before``, and, if the hub was restored, what it lost."""
    if before.lost is not None and before.statement is not None:
        _set_aside(connection, checkpoint.verify(before.statement).size)
    if before.epoch:
        facts.put(connection, facts.AUDIT_EPOCH, before.epoch)
    keep(connection, statement, now_ms)


def keep(connection: Connection, statement: bytes, now_ms: int) -> None:
    """Remember a checkpoint in place of the one before; the last one of each hour stays."""
    connection.execute(delete(table))
    connection.execute(insert(table).values(one=_ONE, at_ms=now_ms, statement=statement))
    said = checkpoint.verify(statement)
    begins_ms = said.at_ms // HOUR_MS * HOUR_MS
    mine = checkpoints_kept.c.evidence.is_(False)
    connection.execute(delete(checkpoints_kept).where(mine, checkpoints_kept.c.signed_ms >= begins_ms))
    connection.execute(
        insert(checkpoints_kept).values(
            signed_ms=said.at_ms, size=said.size, statement=statement, evidence=False
        )
    )
    _bound(connection, evidence=False, most=ANCHORS_KEPT)


def evidence(connection: Connection) -> list[bytes]:
    """Return the checkpoints that the hub's log went back behind, oldest first."""
    query = select(checkpoints_kept.c.statement).where(checkpoints_kept.c.evidence.is_(True))
    return [bytes(found) for found in connection.execute(query.order_by(checkpoints_kept.c.seq)).scalars()]


def _set_aside(connection: Connection, size: int) -> None:
    """Keep what was signed beyond ``size`` as evidence of another history."""
    connection.execute(
        update(checkpoints_kept)
        .where(checkpoints_kept.c.size > size, checkpoints_kept.c.evidence.is_(False))
        .values(evidence=True)
    )
    _bound(connection, evidence=True, most=EVIDENCE_KEPT)


def _bound(connection: Connection, *, evidence: bool, most: int) -> None:
    mine = checkpoints_kept.c.evidence.is_(evidence)
    beyond = select(checkpoints_kept.c.seq).where(mine).order_by(checkpoints_kept.c.seq.desc()).offset(most)
    oldest = connection.execute(beyond.limit(1)).scalar_one_or_none()
    if oldest is not None:
        connection.execute(delete(checkpoints_kept).where(mine, checkpoints_kept.c.seq <= oldest))
