"""Following the changes of the network's own keys: the hub's link key, the authority's signing key.

The changes are a chain that the authority signed (``crypto.trust``). They come in DIRECTORY before the
entries that need them, or in a file that somebody carried here (``wasl-node trust``) because this node was
away while they were told. Either way: followed, kept in ``identity.json``, and only then believed.

A new link key of the hub is *tried* at the next call, and takes the place of the one before once the hub has
answered by it; until then a call by the one is followed by a call by the other. So a node that heard of a
key before all hub processes had it goes on by the old one. Some seconds after it has heard of a change the
node ends its session and calls again: its HELLO says how far it has followed, which the hub's administrator
waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from crypto.errors import BadStatement
from nodes.link.errors import NodeError
from nodes.link.identity import TRUST_NEXT, Identity, moved, save_identity
from protocols.link.entries import DirectoryEntry
from protocols.link.errors import RemoteError
from protocols.link.trustfile import FILE_BYTES, decode_trust_file
from runtime import crash
from runtime.home import HomeError, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodes.link.core import LinkCore

CALL_AGAIN_S: Final = 10.0
"""Within this time after a change was heard of the node calls again, at a random moment: many heard of it."""
TRY_AGAIN_S: Final = 3_600.0
"""A session by the hub's old key ends after this, to try the new one again."""


async def follow(core: LinkCore, changes: Sequence[bytes]) -> bool:
    """Follow changes that the hub told; returns whether any was new. Raises ``BadStatement``, OSError."""
    return bool(changes) and await _keep(core, lambda identity: identity.following(changes))


async def take_own(core: LinkCore, entries: Iterable[DirectoryEntry]) -> None:
    """Keep our credential as the present authority signed it, if it is among these."""
    mine = core.identity.facility
    blobs = [blob for entry in entries if entry.name == mine for blob in entry.statements]
    if blobs and len(core.identity.known_authorities) > 1:
        await _keep(core, lambda identity: identity.signed_again(blobs))


async def take_file(core: LinkCore) -> bool:
    """Follow the changes in ``trust-next``, if it is there; returns whether any was new. Raises NodeError."""
    path = core.home / TRUST_NEXT
    if not path.exists():
        return False
    try:
        changes = await core.file_worker.run(lambda: read_file(path, core.identity))
        new = await follow(core, changes)
    except BadStatement as fault:
        raise NodeError("trust-refused", f"{path}: {fault}") from None
    finally:
        await core.file_worker.run(lambda: path.unlink(missing_ok=True))
    return new


def read_file(path: Path, identity: Identity) -> tuple[bytes, ...]:
    """Return the changes in a file of this node's hub; raises NodeError, BadStatement, OSError."""
    try:
        file = decode_trust_file(read_bounded(path, FILE_BYTES))
    except (RemoteError, HomeError) as fault:
        raise NodeError("trust-refused", f"{path}: {fault}") from None
    if file.hub != identity.hub_name:
        raise NodeError("trust-refused", f"{path} is of the hub {file.hub!r}, not of {identity.hub_name!r}")
    identity.following(file.changes)
    return file.changes


async def move(core: LinkCore) -> None:
    """Keep the hub's new link key in place of the old one: the hub has answered by it."""
    crash.reached("node-hub-key-answered")
    await _keep(core, moved)


async def _keep(core: LinkCore, change: Callable[[Identity], Identity]) -> bool:
    """Change the identity on the disk, then in memory; returns whether ``change`` changed anything."""
    await core.identity_lock.acquire()
    try:
        before = core.identity
        after = change(before)
        if after is before:
            return False
        await core.file_worker.run(lambda: save_identity(core.home, after))
        core.post.identity = change(core.identity)  # what else was noted in memory meanwhile stays
        return True
    finally:
        core.identity_lock.release()
