"""Who this node is: written and read back; a damaged file is named, and nothing else happens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodes.link.errors import NodeError
from nodes.link.identity import (
    IDENTITY,
    KEYS,
    Identity,
    NodeKeys,
    load_identity,
    load_keys,
    save_identity,
    save_keys,
)
from runtime.home import HomeError
from tests.nodes.fixtures import Network


@pytest.fixture
def joined(tmp_path: Path) -> Identity:
    identity = Network().identity("chu-alger")
    save_keys(tmp_path, identity.keys)
    save_identity(tmp_path, identity)
    return identity


def test_an_identity_reads_back(tmp_path: Path, joined: Identity) -> None:
    found = load_identity(tmp_path)
    assert (found.facility, found.hub, found.hub_name) == (joined.facility, joined.hub, joined.hub_name)
    assert found.credential == joined.credential
    assert bytes(found.keys.link.public) == bytes(joined.keys.link.public)
    assert bytes(found.authority_key) == bytes(joined.authority_key)


def test_both_files_are_for_this_user_only(tmp_path: Path, joined: Identity) -> None:
    assert joined.facility
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in (KEYS, IDENTITY)} == {0o600}


def test_no_secret_is_printed(joined: Identity) -> None:
    shown = repr(joined)
    for key in (joined.keys.link, joined.keys.signing, joined.keys.sealing):
        assert key.raw.hex() not in shown
        assert repr(key.raw) not in shown


def test_without_keys_the_node_has_not_joined(tmp_path: Path, joined: Identity) -> None:
    (tmp_path / KEYS).unlink()
    assert joined.facility
    assert load_keys(tmp_path) is None
    with pytest.raises(NodeError, match="wasl-node join") as caught:
        load_identity(tmp_path)
    assert caught.value.code == "not-joined"


def test_without_identity_the_node_has_not_joined(tmp_path: Path, joined: Identity) -> None:
    (tmp_path / IDENTITY).unlink()
    assert joined.facility
    with pytest.raises(NodeError, match="wasl-node join"):
        load_identity(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"keys = 3\n", b"x" * 10_000, b"{}"])
def test_a_damaged_key_file_is_named(tmp_path: Path, joined: Identity, content: bytes) -> None:
    (tmp_path / KEYS).write_bytes(content)
    assert joined.facility
    with pytest.raises(NodeError, match=str(tmp_path / KEYS)):
        load_identity(tmp_path)


def test_a_key_file_cut_anywhere_is_refused(tmp_path: Path, joined: Identity) -> None:
    whole = (tmp_path / KEYS).read_bytes()
    assert joined.facility
    for length in range(0, len(whole.rstrip()), 7):
        (tmp_path / KEYS).write_bytes(whole[:length])
        with pytest.raises(NodeError):
            load_identity(tmp_path)


def test_a_key_file_that_is_a_directory_is_refused(tmp_path: Path, joined: Identity) -> None:
    (tmp_path / KEYS).unlink()
    (tmp_path / KEYS).mkdir()
    assert joined.facility
    with pytest.raises(HomeError, match="not a regular file"):
        load_identity(tmp_path)


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edited(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return json.dumps(value).encode()

    return edited


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"\xff",
        lambda content: content[:-20],
        _edit(lambda value: value.pop("credential")),
        _edit(lambda value: value.update(credential="AAAA")),
        _edit(lambda value: value.update(credential="not base64!")),
        _edit(lambda value: value.update(authority_key="AAAA")),
        _edit(lambda value: value.update(hub_key=value["hub_key"][:-8])),
        _edit(lambda value: value.update(hub=7)),
        _edit(lambda value: value.update(hub="nowhere")),
        _edit(lambda value: value.update(hub="host:port")),
        _edit(lambda value: value.update(facility="chu-oran")),
        _edit(lambda value: value.update(authority_key=value["hub_key"])),
    ],
)
def test_a_damaged_identity_is_named(
    tmp_path: Path, joined: Identity, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / IDENTITY
    path.write_bytes(damage(path.read_bytes()))
    assert joined.facility
    with pytest.raises(NodeError, match=str(path)) as caught:
        load_identity(tmp_path)
    assert caught.value.code == "identity"


def test_a_group_in_place_of_the_credential_is_refused(tmp_path: Path) -> None:
    network = Network()
    identity = network.identity("chu-alger")
    save_keys(tmp_path, identity.keys)
    save_identity(tmp_path, identity)
    group = network.group("garde", ()).statements[0]
    path = tmp_path / IDENTITY
    import base64  # noqa: PLC0415 - only here

    path.write_bytes(
        _edit(lambda v: v.update(credential=base64.b64encode(group).decode()))(path.read_bytes())
    )
    with pytest.raises(NodeError, match="another kind"):
        load_identity(tmp_path)


def test_keys_are_written_once(tmp_path: Path, joined: Identity) -> None:
    with pytest.raises(FileExistsError):
        save_keys(tmp_path, NodeKeys.generate())
    assert load_keys(tmp_path) == joined.keys


def test_the_keys_of_another_node_are_refused(tmp_path: Path, joined: Identity) -> None:
    (tmp_path / KEYS).unlink()
    save_keys(tmp_path, NodeKeys.generate())
    assert joined.facility
    with pytest.raises(NodeError, match="other keys") as caught:
        load_identity(tmp_path)
    assert caught.value.code == "identity"


def test_an_identity_with_any_bit_spoilt_is_refused_or_the_same(tmp_path: Path, joined: Identity) -> None:
    """Never another kind of error, never another hub, key or name; spare bits of base64 do no harm."""
    save_identity(tmp_path, joined)
    path = tmp_path / "identity.json"
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        for spoilt in (0xB1, whole[at] ^ (1 << at % 8)):
            path.write_bytes(whole[:at] + bytes((spoilt,)) + whole[at + 1 :])
            try:
                assert load_identity(tmp_path) == joined
            except NodeError:
                refused += 1
    assert refused > 1.9 * len(whole)
