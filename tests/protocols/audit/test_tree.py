"""The tree against RFC 6962's words, written down again as they stand there, and against known roots."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.audit import tree

LEAVES = [bytes.fromhex(one) for one in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
)]  # fmt: skip
"""The leaves that Certificate Transparency's own tests use."""
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
HASHES = [tree.leaf_hash(leaf) for leaf in LEAVES]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def naive_split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """Section 2.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = naive_split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: list[bytes]) -> list[bytes]:
    """Section 2.1.2."""

    def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
        if m == len(leaves):
            return [] if whole else [mth(leaves)]
        k = naive_split(len(leaves))
        if m <= k:
            return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
        return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]

    return subproof(m, leaves, whole=True)


def hashes(leaves: list[bytes]) -> list[bytes]:
    return [tree.leaf_hash(one) for one in leaves]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def test_roots_of_certificate_transparency() -> None:
    assert tree.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for size, root in enumerate(ROOTS, start=1):
        assert tree.root_of(HASHES[:size]).hex() == root


def test_example_of_the_rfc() -> None:
    """Section 2.1.3: the tree of seven leaves, its proofs in the names used there."""
    a, b, c, d, e, f, j = HASHES[:7]
    g, h, i = tree.node_hash(a, b), tree.node_hash(c, d), tree.node_hash(e, f)
    k, l_ = tree.node_hash(g, h), tree.node_hash(i, j)
    seven = HASHES[:7]
    assert tree.root_of(seven) == tree.node_hash(k, l_)
    assert tree.proof_of(seven, tree.inclusion_path(0, 7)) == [b, h, l_]
    assert tree.proof_of(seven, tree.inclusion_path(3, 7)) == [c, g, l_]
    assert tree.proof_of(seven, tree.inclusion_path(4, 7)) == [f, j, k]
    assert tree.proof_of(seven, tree.inclusion_path(6, 7)) == [i, k]
    assert tree.proof_of(seven, tree.consistency_path(3, 7)) == [c, d, g, l_]
    assert tree.proof_of(seven, tree.consistency_path(4, 7)) == [l_]
    assert tree.proof_of(seven, tree.consistency_path(6, 7)) == [i, j, k]


@pytest.mark.parametrize("size", range(1, 34))
def test_every_proof_of_small_trees(size: int) -> None:
    leaves = numbered(size)
    found = hashes(leaves)
    root = mth(leaves)
    assert tree.root_of(found) == root
    for index in range(size):
        made = tree.proof_of(found, tree.inclusion_path(index, size))
        assert made == path(index, leaves)
        assert tree.included(found[index], index, size, made, root)
    for old in range(1, size + 1):
        made = tree.proof_of(found, tree.consistency_path(old, size))
        assert made == proof(old, leaves)
        assert tree.consistent(old, mth(leaves[:old]), size, root, made)


@given(st.data())
def test_what_the_frontier_completes_makes_every_proof(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    found = hashes(numbered(size))
    kept = {tree.Place(0, index): leaf for index, leaf in enumerate(found)}
    frontier = tree.Frontier()
    for leaf in found:
        kept.update(frontier.append(leaf))
    runs = [(0, size)]
    runs += tree.inclusion_path(data.draw(st.integers(0, size - 1)), size)
    runs += tree.consistency_path(data.draw(st.integers(1, size)), size)
    for run in runs:
        assert tree.fold([kept[place] for place in tree.complete(run)]) == tree.root_of(found[slice(*run)])
    cut = data.draw(st.integers(0, size))
    resumed = tree.Frontier(cut, [kept[place] for place in tree.complete((0, cut))])
    for leaf in found[cut:]:
        resumed.append(leaf)
    assert resumed.root() == frontier.root() == tree.root_of(found)


@given(st.data())
def test_nothing_else_is_included(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    leaves = numbered(size)
    found = hashes(leaves)
    index = data.draw(st.integers(0, size - 1))
    made, root = path(index, leaves), mth(leaves)
    other = data.draw(st.integers(0, size + 1).filter(lambda n: n != index))
    assert not tree.included(found[index], other, size, made, root)
    assert not tree.included(tree.leaf_hash(b"another"), index, size, made, root)
    assert not tree.included(found[index], index, size, made, tree.leaf_hash(b"another"))
    assert not tree.included(found[index], index, size, [*made, root], root)
    if made:
        assert not tree.included(found[index], index, size, made[:-1], root)
        place = data.draw(st.integers(0, len(made) - 1))
        made[place] = bytes((made[place][0] ^ 1,)) + made[place][1:]
        assert not tree.included(found[index], index, size, made, root)


@given(st.data())
def test_no_other_history_is_consistent(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old - 1))
    leaves = numbered(size)
    forked = [*leaves[:changed], b"another", *leaves[changed + 1 :]]
    assert not tree.consistent(old, mth(leaves[:old]), size, mth(forked), proof(old, forked))
    assert not tree.consistent(old, mth(leaves[:old]), size, mth(forked), proof(old, leaves))
    true = proof(old, leaves)
    assert not tree.consistent(old, mth(leaves[:old]), size, mth(leaves), [*true, mth(leaves)])
    assert not tree.consistent(old, mth(leaves[:old]), size, mth(leaves), true[:-1])


@given(
    st.integers(-2, 70),
    st.integers(-2, 70),
    st.lists(st.binary(min_size=32, max_size=32), max_size=70),
    st.binary(min_size=32, max_size=32),
)
def test_checks_take_anything(first: int, size: int, hashes: list[bytes], root: bytes) -> None:
    assert not tree.included(b"\x05" * 32, first, size, hashes, root)
    if first != size:
        assert not tree.consistent(first, b"\x05" * 32, size, root, hashes)
