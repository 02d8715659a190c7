"""A file comes out as it went in, or not at all: every way of cutting and mixing chunks is refused."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from crypto import filestream
from crypto.errors import CryptoError, DecryptionFailed
from crypto.filestream import CHUNK_BYTES, MAX_CHUNKS, SEALED_CHUNK_BYTES, ChunkOpener, ChunkSealer, RootHash

KEY = bytes(range(32))
FULL = bytes(CHUNK_BYTES)
LAST, MORE = True, False
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES - 5]


def seal_file(content: bytes) -> list[bytes]:
    sealer = ChunkSealer(KEY)
    count = filestream.chunk_count(len(content))
    return [
        sealer.seal(i, i == count - 1, content[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]) for i in range(count)
    ]


def open_file(chunks: list[bytes]) -> bytes:
    """Open chunks as a receiver that believes the list: the last one given must be the last."""
    opener = ChunkOpener(KEY)
    return b"".join(opener.open(i, i == len(chunks) - 1, chunk) for i, chunk in enumerate(chunks))


def root_of(chunks: list[bytes]) -> bytes:
    root = RootHash()
    for index, chunk in enumerate(chunks):
        root.add(filestream.leaf_hash(index, chunk))
    return root.digest()


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_out_as_it_went_in(size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    chunks = seal_file(content)
    assert len(chunks) == filestream.chunk_count(size)
    assert sum(map(len, chunks)) == filestream.sealed_size(size)
    assert [len(c) - 16 for c in chunks] == [filestream.chunk_length(size, i) for i in range(len(chunks))]
    assert open_file(chunks) == content
    assert seal_file(content) == chunks


@given(size=st.integers(0, MAX_CHUNKS * CHUNK_BYTES), data=st.data())
def test_chunk_lengths_add_up(size: int, data: st.DataObject) -> None:
    count = filestream.chunk_count(size)
    last = filestream.chunk_length(size, count - 1)
    assert (count - 1) * CHUNK_BYTES + last == size
    assert (1 <= last <= CHUNK_BYTES) or (size == 0 and count == 1)
    index = data.draw(st.integers(0, count - 1))
    assert filestream.chunk_length(size, index) == (last if index == count - 1 else CHUNK_BYTES)
    for outside in (-1, count):
        with pytest.raises(CryptoError, match="does not exist"):
            filestream.chunk_length(size, outside)


@pytest.mark.parametrize("size", [-1, MAX_CHUNKS * CHUNK_BYTES + 1])
def test_impossible_sizes_are_refused(size: int) -> None:
    for measure in (filestream.chunk_count, filestream.sealed_size):
        with pytest.raises(CryptoError, match="can be carried"):
            measure(size)


def test_the_construction_is_the_written_one() -> None:
    """Nonce: 11 bytes of big-endian index, 1 byte of last flag; no associated data; one record a chunk."""
    plain = ChaCha20Poly1305(KEY)
    index = 0x0102030405
    assert filestream.ChunkSealer(KEY).seal(index, MORE, FULL) == plain.encrypt(
        bytes.fromhex("000000000000010203040500"), FULL, None
    )
    assert filestream.ChunkSealer(KEY).seal(1, LAST, b"end") == plain.encrypt(
        bytes.fromhex("000000000000000000000101"), b"end", None
    )
    assert len(filestream.ChunkSealer(KEY).seal(0, MORE, FULL)) == SEALED_CHUNK_BYTES == 61_456


def test_hashes_are_pinned() -> None:
    assert (
        filestream.leaf_hash(1, b"sealed").hex()
        == "a09020ae4185e6d3041b710ae401427815803698b272b61b2009f3de66e89d08"
    )
    assert (
        root_of([b"one", b"two"]).hex() == "41e2291a918de8ab2362e94aaa77fc57847a63b6a379d98337ab87b2aa10a3fc"
    )
    assert RootHash().digest().hex() == "b78cf5d9b58d7a1eab88a181f86ff002fa2367c2e654b84a229c4e20dc816aba"


def test_swapped_chunks_are_refused() -> None:
    one, two, three = seal_file(bytes(2 * CHUNK_BYTES) + b"end")
    with pytest.raises(DecryptionFailed):
        open_file([two, one, three])
    assert root_of([two, one, three]) != root_of([one, two, three])


def test_a_file_without_its_last_chunk_is_refused() -> None:
    chunks = seal_file(bytes(3 * CHUNK_BYTES))
    with pytest.raises(DecryptionFailed):
        open_file(chunks[:-1])
    assert root_of(chunks[:-1]) != root_of(chunks)


def test_a_file_with_more_after_its_last_chunk_is_refused() -> None:
    chunks = seal_file(bytes(CHUNK_BYTES))
    with pytest.raises(DecryptionFailed):
        open_file([*chunks, filestream.ChunkSealer(KEY).seal(1, LAST, b"more")])
    with pytest.raises(DecryptionFailed):
        open_file([*chunks, *chunks])


def test_a_chunk_opens_only_at_its_own_index() -> None:
    opener = ChunkOpener(KEY)
    sealed = filestream.ChunkSealer(KEY).seal(7, MORE, FULL)
    assert opener.open(7, MORE, sealed) == FULL
    for index in (0, 6, 8, 7 << 8, 7 + 2**32):
        with pytest.raises(DecryptionFailed):
            opener.open(index, MORE, sealed)


def test_the_last_flag_is_authenticated() -> None:
    not_last, last = (
        filestream.ChunkSealer(KEY).seal(0, MORE, FULL),
        filestream.ChunkSealer(KEY).seal(0, LAST, FULL),
    )
    with pytest.raises(DecryptionFailed):
        filestream.ChunkOpener(KEY).open(0, LAST, not_last)
    with pytest.raises(DecryptionFailed):
        filestream.ChunkOpener(KEY).open(0, MORE, last)


@pytest.mark.parametrize("plain", [b"", b"short", bytes(300)])
def test_every_flipped_byte_is_refused(plain: bytes) -> None:
    sealed = filestream.ChunkSealer(KEY).seal(0, LAST, plain)
    opener = ChunkOpener(KEY)
    for position in range(len(sealed)):
        false = bytearray(sealed)
        false[position] ^= 0x10
        with pytest.raises(DecryptionFailed):
            opener.open(0, LAST, bytes(false))
        assert filestream.leaf_hash(0, bytes(false)) != filestream.leaf_hash(0, sealed)


def test_truncated_and_extended_chunks_are_refused() -> None:
    sealed = filestream.ChunkSealer(KEY).seal(1, LAST, b"some plain text")
    for length in range(len(sealed)):
        with pytest.raises(DecryptionFailed):
            filestream.ChunkOpener(KEY).open(1, LAST, sealed[:length])
    with pytest.raises(DecryptionFailed):
        filestream.ChunkOpener(KEY).open(1, LAST, sealed + b"\x00")
    with pytest.raises(DecryptionFailed, match="61440 expected"):
        filestream.ChunkOpener(KEY).open(1, MORE, sealed)
    with pytest.raises(DecryptionFailed, match="1 to 61440"):
        filestream.ChunkOpener(KEY).open(1, LAST, bytes(SEALED_CHUNK_BYTES + 1))


def test_another_key_is_refused() -> None:
    with pytest.raises(DecryptionFailed):
        filestream.ChunkOpener(bytes(32)).open(0, LAST, filestream.ChunkSealer(KEY).seal(0, LAST, b"text"))


def test_an_empty_last_chunk_exists_only_in_an_empty_file() -> None:
    """Otherwise one content would have two forms."""
    assert filestream.ChunkOpener(KEY).open(0, LAST, filestream.ChunkSealer(KEY).seal(0, LAST, b"")) == b""
    with pytest.raises(CryptoError, match="1 to 61440"):
        filestream.ChunkSealer(KEY).seal(1, LAST, b"")
    forged = ChaCha20Poly1305(KEY).encrypt(bytes.fromhex("000000000000000000000101"), b"", None)
    with pytest.raises(DecryptionFailed, match="1 to 61440"):
        filestream.ChunkOpener(KEY).open(1, LAST, forged)


@pytest.mark.parametrize("index", [-1, MAX_CHUNKS, 2**88])
def test_impossible_indexes_are_refused(index: int) -> None:
    with pytest.raises(CryptoError, match="index"):
        filestream.ChunkSealer(KEY).seal(index, MORE, FULL)
    with pytest.raises(DecryptionFailed, match="index"):
        filestream.ChunkOpener(KEY).open(index, LAST, bytes(17))
    with pytest.raises(CryptoError, match="index"):
        filestream.leaf_hash(index, b"")


@pytest.mark.parametrize("plain", [b"", FULL[:-1], FULL + b"!"])
def test_a_chunk_before_the_last_is_full(plain: bytes) -> None:
    with pytest.raises(CryptoError, match="61440 expected"):
        filestream.ChunkSealer(KEY).seal(0, MORE, plain)


def test_the_root_binds_order_and_count_and_may_grow() -> None:
    leaves = [filestream.leaf_hash(i, b"same") for i in range(3)]
    assert len(set(leaves)) == 3
    root = RootHash()
    seen = {root.digest()}
    for leaf in leaves:
        root.add(leaf)
        seen.add(root.digest())
    assert len(seen) == 4
    assert root.digest() == root_of([b"same"] * 3)
    for length in (0, 31, 33, 64):
        with pytest.raises(CryptoError, match="32 bytes"):
            root.add(bytes(length))
