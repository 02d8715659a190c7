"""Who this node is: written and read back; a damaged file is named, and nothing else happens."""

import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crypto import keystore
from crypto.errors import CryptoError
from crypto.identity import Credential, issue
from crypto.keys import SealingPrivateKey, SigningPrivateKey
from nodes.link.errors import NodeError
from nodes.link.identity import IDENTITY, Identity, load_facility, load_identity, save_identity, switch
from nodes.link.keyfiles import (
    KEYS,
    NEXT,
    RENEWED,
    NodeKeys,
    forget_upcoming,
    keep_renewed_apart,
    load_keys,
    save_keys,
    save_upcoming,
    upcoming_wait,
)
from runtime.home import HomeError
from tests.nodes.fixtures import Network

NETWORK = Network()
AUTHORITY = NETWORK.authority


@pytest.fixture
def joined(tmp_path: Path) -> Identity:
    identity = NETWORK.identity("chu-alger")
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


def test_a_joined_home_without_its_keys_is_told_from_one_that_never_joined(
    tmp_path: Path, joined: Identity
) -> None:
    """Joining again would not help: the keys are in a backup, or sealed for systemd."""
    (tmp_path / KEYS).unlink()
    assert joined.facility
    assert load_keys(tmp_path) is None
    with pytest.raises(NodeError, match="restore it from a backup") as caught:
        load_identity(tmp_path)
    assert caught.value.code == "keys"
    (tmp_path / IDENTITY).unlink()
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


def renewed(joined: Identity, serial: int) -> tuple[Credential, bytes, NodeKeys]:
    keys = NodeKeys.generate()
    credential = replace(
        joined.credential,
        serial=serial,
        link_key=keys.link.public,
        signing_key=keys.signing.public,
        sealing_key=keys.sealing.public,
    )
    return credential, issue(AUTHORITY, credential), keys


def switched(home: Path, before: Identity, serial: int) -> Identity:
    credential, blob, keys = renewed(before, serial)
    save_upcoming(home, keys)
    return switch(home, load_identity(home), credential, blob)


def test_new_keys_take_the_place_of_the_old_which_still_open(tmp_path: Path, joined: Identity) -> None:
    sealed = joined.keys.sealing.public.seal(b"for the old")
    following = switched(tmp_path, joined, 2)
    found = load_identity(tmp_path)
    assert found == following
    assert (found.credential.serial, found.upcoming) == (2, None)
    assert found.open_with_any(sealed, SealingPrivateKey.open) == b"for the old"
    assert found.open_with_any(found.keys.sealing.public.seal(b"new"), SealingPrivateKey.open) == b"new"
    with pytest.raises(CryptoError):
        found.open_with_any(NodeKeys.generate().sealing.public.seal(b"no"), SealingPrivateKey.open)


def test_keys_that_wait_open_already(tmp_path: Path, joined: Identity) -> None:
    """Others hear of the new keys before this node uses them."""
    assert joined.facility
    keys = NodeKeys.generate()
    save_upcoming(tmp_path, keys)
    sealed = keys.sealing.public.seal(b"early")
    assert load_identity(tmp_path).open_with_any(sealed, SealingPrivateKey.open) == b"early"


def test_two_sets_before_are_kept(tmp_path: Path, joined: Identity) -> None:
    identity = joined
    for serial in (2, 3, 4):
        identity = switched(tmp_path, identity, serial)
    assert load_identity(tmp_path).earlier_names == ("keys-3", "keys-2")
    assert {path.name for path in tmp_path.iterdir()} == {IDENTITY, RENEWED}
    assert {path.name for path in (tmp_path / RENEWED).iterdir()} == {"keys-4", "keys-3", "keys-2"}


def test_every_key_but_the_first_lies_in_a_directory_that_others_do_not_enter(
    tmp_path: Path, joined: Identity
) -> None:
    """Promise: a unit that hides `keys` and this directory hides every key, those to come included."""
    identity = switched(tmp_path, joined, 2)
    save_upcoming(tmp_path, NodeKeys.generate())
    assert (tmp_path / RENEWED).stat().st_mode & 0o777 == 0o700
    unit = (Path(__file__).parents[3] / "systemd/wasl-desk.service").read_text(encoding="utf-8")
    hidden = {name for name in (KEYS, RENEWED) if f"/var/lib/wasl-node/{name} " in unit}
    found = []
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        with suppress(CryptoError):
            found.append(keystore.parse(path.read_bytes()).link)
            assert path.relative_to(tmp_path).parts[0] in hidden
    assert len(found) == 3
    assert joined.keys.link in found
    assert identity.keys.link in found


def test_keys_that_a_version_before_left_in_the_home_are_read_and_put_apart(
    tmp_path: Path, joined: Identity
) -> None:
    following = switched(tmp_path, switched(tmp_path, joined, 2), 3)
    waiting = NodeKeys.generate()
    save_upcoming(tmp_path, waiting)
    for path in (tmp_path / RENEWED).iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / RENEWED).rmdir()
    before = load_identity(tmp_path)
    assert (before.keys, before.earlier, before.upcoming) == (following.keys, following.earlier, waiting)
    assert upcoming_wait(tmp_path)
    keep_renewed_apart(tmp_path)
    assert load_identity(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {KEYS, IDENTITY, RENEWED}
    assert {path.name for path in (tmp_path / RENEWED).iterdir()} == {NEXT, "keys-3", "keys-2"}
    forget_upcoming(tmp_path)
    assert not upcoming_wait(tmp_path)
    assert load_identity(tmp_path).upcoming is None


@pytest.mark.parametrize("name", ["keys-3", NEXT])
def test_of_two_keys_of_one_name_none_is_lost(tmp_path: Path, joined: Identity, name: str) -> None:
    """As after a step back to the version before and forward again."""
    following = switched(tmp_path, switched(tmp_path, joined, 2), 3)
    save_upcoming(tmp_path, NodeKeys.generate())
    before, apart = load_identity(tmp_path), (tmp_path / RENEWED / name).read_bytes()
    (tmp_path / name).write_bytes(apart)
    keep_renewed_apart(tmp_path)
    assert not (tmp_path / name).exists(), "the same keys"
    (tmp_path / "other").mkdir()
    save_keys(tmp_path / "other", NodeKeys.generate())
    other = (tmp_path / "other" / KEYS).read_bytes()
    (tmp_path / name).write_bytes(other)
    with pytest.raises(NodeError, match=f"{name} and .*{name} are different keys"):
        keep_renewed_apart(tmp_path)
    assert ((tmp_path / name).read_bytes(), (tmp_path / RENEWED / name).read_bytes()) == (other, apart)
    assert load_identity(tmp_path) == before
    assert before.keys == following.keys


def test_the_desk_learns_its_facility_while_the_authority_s_key_changes(
    tmp_path: Path, joined: Identity
) -> None:
    """The node follows the authority's new key before its own credential has come signed by it."""
    assert load_facility(tmp_path) == "chu-alger"
    new = SigningPrivateKey.generate().public
    moved = dataclasses.replace(joined, trust_serial=1, authority_key=new)
    save_identity(tmp_path, moved)
    with pytest.raises(NodeError, match=IDENTITY):
        load_facility(tmp_path)
    save_identity(tmp_path, dataclasses.replace(moved, authorities_before=(joined.authority_key,)))
    assert load_facility(tmp_path) == load_identity(tmp_path).facility == "chu-alger"


def test_a_crash_behind_the_change_leaves_nothing_to_ask_for(tmp_path: Path, joined: Identity) -> None:
    following = switched(tmp_path, joined, 2)
    save_upcoming(tmp_path, following.keys)
    assert load_identity(tmp_path).upcoming is None


@pytest.mark.parametrize("name", ["../keys", "keys-x", "keys-2\n", "", "node.db"])
def test_a_name_of_no_key_file_is_refused(tmp_path: Path, joined: Identity, name: str) -> None:
    switched(tmp_path, joined, 2)
    file = json.loads((tmp_path / IDENTITY).read_text())
    file["keys"] = name
    (tmp_path / IDENTITY).write_text(json.dumps(file))
    with pytest.raises(NodeError, match=IDENTITY):
        load_identity(tmp_path)


def test_other_names_do_not_pass_the_check(tmp_path: Path, joined: Identity) -> None:
    switched(tmp_path, joined, 2)
    file = json.loads((tmp_path / IDENTITY).read_text())
    file["earlier"] = ["keys-2"]
    (tmp_path / IDENTITY).write_text(json.dumps(file))
    with pytest.raises(NodeError, match="check"):
        load_identity(tmp_path)
