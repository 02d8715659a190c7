"""Having one node witness the audit log: what it has seen, and a proof that the log grew out of that.

The node speaks first, once a session: the last checkpoint that it has. One that has none is sent the
newest. From then on it is sent a checkpoint when there is a newer one, with the proof from its own to that,
and answers with its countersignature, which is kept. One is under way at a time, so a node cannot make the
hub compute more than it is asked for.

A node that shows a checkpoint with our signature that is not of this log has the evidence that the log was
shortened or written anew: ``wasl_hub_audit_valid`` becomes 0. What is not signed by us is a lie, and only
logged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from crypto.keys import SigningPublicKey
from hub.audit import growth, keys, witnesses
from protocols.audit import checkpoint, tree
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import RemoteError
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.core import HubCore
    from hub.sessions.session import HubSession

_LOG = logging.getLogger(__name__)


class Witnessing:
    """One session's part of it."""

    __slots__ = ("_hub", "_seen", "_session", "_under_way")

    def __init__(self, hub: HubCore, session: HubSession) -> None:
        self._hub, self._session = hub, session
        self._seen: checkpoint.Checkpoint | None = None
        self._under_way = True  # the node's first word is awaited

    def witnessed(self, frame: f.Witnessed) -> None:
        """Take a countersignature."""
        if not self._under_way:
            raise RemoteError("out-of-turn", "WITNESSED without a CHECKPOINT")
        self._under_way = False
        spawn(self._take(frame), self._session.failed)

    def checkpoint_made(self) -> bool:
        """Send the newest checkpoint, unless one is under way; returns whether it will be."""
        if self._under_way:
            return False
        self._under_way = True
        spawn(self._send(), self._session.failed)
        return True

    async def _take(self, frame: f.Witnessed) -> None:
        hub, facility, key = self._hub, self._session.facility, self._hub.audit_key
        if key is None:
            return
        if frame.statement:
            ours = await hub.database.read(lambda c: keys.all_keys(c, key.public))
            try:
                self._seen = _of_ours(frame.statement, ours)
            except checkpoint.CheckpointFault as fault:
                event(_LOG, logging.WARNING, "witness-not-believed", facility=facility, error=str(fault))
                return
            now_ms, authority = hub.clock.now_ms(), hub.issuer.authority_key
            word = witnesses.Word(
                facility, frame.serial, self._seen.size, frame.statement, frame.signature, now_ms
            )
            verdict = await hub.database.read(lambda c: witnesses.judge(c, word, authority))
            if verdict is witnesses.Verdict.NEW:
                await hub.database.write(lambda c: witnesses.keep(c, word))
            elif verdict is witnesses.Verdict.FOREIGN:
                hub.auditor.witness_disagrees(
                    f"{facility} has a checkpoint of {self._seen.size} entries with this hub's signature "
                    "that is not of this log: it was shortened, or written anew"
                )
            elif verdict is witnesses.Verdict.UNSIGNED:
                text = "the signature is not its own"
                event(_LOG, logging.WARNING, "witness-not-believed", facility=facility, error=text)
            if verdict is not witnesses.Verdict.FOREIGN:
                return  # its turn comes (``hub.audit.rounds``): a proof costs milliseconds, many may call
        self.checkpoint_made()

    async def _send(self) -> None:
        found = await self._hub.database.read(self._next)
        if found is None:
            self._under_way = False
            return
        self._session.say(found)

    def _next(self, connection: Connection) -> f.Checkpoint | None:
        newest, seen = growth.newest(connection), self._seen
        if newest is None:
            return None
        proof: list[bytes] = []
        changes: list[bytes] = []
        if seen is not None and seen.size < newest.size:
            proof = growth.proof(connection, tree.consistency_path(seen.size, newest.size))
        if seen is not None and checkpoint.verify(newest.statement).key != seen.key:
            changes = [one.statement for one in keys.changes(connection)][-limits.AUDIT_KEYS :]
        return f.Checkpoint(newest.statement, tuple(proof), tuple(changes))


def _of_ours(statement: bytes, ours: Sequence[SigningPublicKey]) -> checkpoint.Checkpoint:
    """Return what a checkpoint says that this hub signed by one of its keys; raises CheckpointFault."""
    said = checkpoint.verify(statement)
    if said.key in map(bytes, ours):
        return said
    raise checkpoint.CheckpointFault(f"the checkpoint is signed by key {said.key.hex()}, which is not ours")
