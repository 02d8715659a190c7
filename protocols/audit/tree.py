"""The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, proofs, and what checks them.

A proof is a list of hashes, each of the tree over some run of leaves. What the runs are depends on two
numbers only, so :func:`inclusion_path` and :func:`consistency_path` return the runs ``(first, until)``, and
whoever holds the hashes looks them up: a run is made of *complete* subtrees (:func:`complete`), of a power of
two leaves each, which never change again once the log has grown over them. A hub keeps those in a table, so a
proof costs a few dozen rows however long the log is. :class:`Frontier` makes them, leaf by leaf.

Checking follows RFC 9162, sections 2.1.3.2 and 2.1.4.2 (the same tree). The checks take any bytes and numbers
and answer with a boolean; a proof has at most ``PROOF_HASHES`` hashes
(more than any needs in a tree of 2**62 leaves).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from protocols.link.limits import PROOF_HASHES

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""MTH({}): the root of a tree without leaves."""
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"

Run = tuple[int, int]
"""Leaves ``first`` <= index < ``until``."""


class Place(NamedTuple):
    """A complete subtree: run number ``at`` of ``2**level`` leaves. Level 0 are the leaves themselves."""

    level: int
    at: int


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(_NODE + left + right).digest()


def complete(run: Run) -> list[Place]:
    """Return the complete subtrees that a run of a proof, or a whole tree ``(0, size)``, is made of."""
    first, until = run
    places = []
    while first < until:
        level = (until - first).bit_length() - 1
        places.append(Place(level, first >> level))
        first += 1 << level
    return places


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the complete subtrees of one run, given in their order."""
    if not hashes:
        return EMPTY_ROOT
    *others, root = hashes
    for one in reversed(others):
        root = node_hash(one, root)
    return root


class Frontier:
    """A tree that grows: it holds the complete subtrees of all leaves so far, and nothing else."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """``hashes`` are those of ``complete((0, size))``."""
        assert len(hashes) == size.bit_count()
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> list[tuple[Place, bytes]]:
        """Add the hash of a leaf; returns the inner nodes that are complete by it, lowest first."""
        made = []
        index, level = self.size, 0
        while index & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            index, level = index >> 1, level + 1
            made.append((Place(level, index), leaf))
        self._hashes.append(leaf)
        self.size += 1
        return made

    def root(self) -> bytes:
        """Return the root of the tree as it is."""
        return fold(self._hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over hashes of leaves: level by level, a last one without a pair goes up as it is."""
    level = list(leaves)
    while len(level) > 1:
        above = [
            hashlib.sha256(_NODE + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = above + level[len(level) & ~1 :]
    return level[0] if level else EMPTY_ROOT


def proof_of(leaves: Sequence[bytes], path: Sequence[Run]) -> list[bytes]:
    """Return the hashes of a proof's runs, out of all hashes of leaves."""
    return [root_of(leaves[first:until]) for first, until in path]


def inclusion_path(index: int, size: int) -> list[Run]:
    """Return the runs of PATH(index, D[size]) (section 2.1.1), lowest first; 0 <= index < size."""
    first, until = 0, size
    path: list[Run] = []
    while until - first > 1:
        middle = first + _split(until - first)
        if index < middle:
            path.append((middle, until))
            until = middle
        else:
            path.append((first, middle))
            first = middle
    return path[::-1]


def consistency_path(old: int, size: int) -> list[Run]:
    """Return the runs of PROOF(old, D[size]) (section 2.1.2); 0 < old <= size. Empty if they are equal."""
    first, until, whole = 0, size, True
    path: list[Run] = []
    while old != until - first:
        middle = _split(until - first)
        if old <= middle:
            path.append((first + middle, until))
            until = first + middle
        else:
            path.append((first, first + middle))
            first, old, whole = first + middle, old - middle, False
    if not whole:
        path.append((first, until))
    return path[::-1]


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether ``proof`` shows that ``leaf`` (a hash) is leaf ``index`` of the tree with this root."""
    if not 0 <= index < size or len(proof) > PROOF_HASHES:
        return False
    at, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether ``proof`` shows that the tree of ``size`` leaves begins with the one of ``old`` leaves.

    Every tree begins with the empty one, which proves nothing: ``old`` 0 is answered with False.
    """
    if not 0 < old <= size or len(proof) > PROOF_HASHES:
        return False
    if old == size:
        return not proof and old_root == root
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    found_old = found = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            found_old, found = node_hash(one, found_old), node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    return last == 0 and found_old == old_root and found == root


def _split(count: int) -> int:
    """Return the largest power of two smaller than ``count``, which is 2 at least."""
    return 1 << ((count - 1).bit_length() - 1)
