"""Homes that are damaged, not there, or not yet joined: commands there end in words, not in tracebacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nodes.cli import main
from nodes.home import DATABASE, SETTINGS, prepare_home
from nodes.link.identity import IDENTITY
from nodes.link.ids import id_text
from nodes.link.keyfiles import KEYS
from tests.nodes.homes import Node

LOOKS = (("inbox",), ("sent",), ("directory",), ("status",), ("track", id_text(bytes(16))))


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda home: (home / name).write_bytes(content)


def _directory(name: str) -> Callable[[Path], object]:
    def change(home: Path) -> None:
        (home / name).unlink()
        (home / name).mkdir()

    return change


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_write(DATABASE, b"no database at all, and long enough to be one" * 100), 1),
        (_write(KEYS, b"garbage"), 1),
        (_write(IDENTITY, b"{}"), 1),
        (_write(SETTINGS, b"[http\n"), 2),
        (_write(SETTINGS, b"\xff\xfe"), 2),
        (_write(SETTINGS, b'[http]\nlisten = 7\n[nonsense]\nx = "y"\n'), 2),
        (_directory(DATABASE), 1),
        (_directory(KEYS), 1),
        (_directory(IDENTITY), 1),
        (lambda home: (home / KEYS).unlink(), 1),
        (lambda home: (home / IDENTITY).unlink(), 1),
        (lambda home: (home / SETTINGS).unlink(), 1),
        (lambda home: home.chmod(0o755), 1),
    ],
)
def test_a_damaged_home_is_named_in_words(node: Node, damage: Callable[[Path], object], code: int) -> None:
    damage(node.home)
    for look in LOOKS:
        result = node.run(*look)
        assert result.exit_code == code, (look, result.output)
        assert str(node.home) in result.stderr
        assert result.stdout == ""


def test_a_home_that_is_not_there(node: Node, tmp_path: Path) -> None:
    result = node.run("inbox", home=tmp_path / "nowhere")
    assert (result.exit_code, "wasl-node join" in result.stderr) == (1, True)


@pytest.mark.parametrize("code", ["", "garbage", "wasl1-AAAA", "wasl1-" + "A" * 900, "wasl1-ÿ"])
def test_a_join_code_that_is_none_ends_with_2_and_is_not_repeated(tmp_path: Path, code: str) -> None:
    home = tmp_path / "new"
    result = CliRunner().invoke(main, ["join", "--home", str(home), "--", code])
    assert result.exit_code == 2
    assert not home.exists()
    assert len(code) < 10 or code not in result.output


BASE_POINT = bytes([9, *bytes(31)])


def _code(hub_key: bytes = BASE_POINT) -> str:
    """Return a well-formed join code of a hub that is not there."""
    from protocols.link.joincode import JoinCode, encode_joincode  # noqa: PLC0415 - only here

    return encode_joincode(JoinCode("127.0.0.1:1", "hub", hub_key, bytes(32), "x", bytes(16), bytes(32)))


def _join(home: Path, *options: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``join`` in a process of its own: it runs the reactor, which runs once only."""
    command = [sys.executable, "-m", "nodes", "join", code or _code(), "--home", str(home), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_refused_join_leaves_no_settings(tmp_path: Path) -> None:
    """So the next attempt's --http counts; the keys stay, which makes a repeated join the same node."""
    home = tmp_path / "new"
    done = _join(home, "--http", "127.0.0.1:7777")
    assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)
    assert [path.name for path in home.iterdir()] == [KEYS]
    before = (home / KEYS).read_bytes()
    assert _join(home).returncode == 1
    assert (home / KEYS).read_bytes() == before


def test_join_does_not_overlook_http_beside_settings_that_are_there(tmp_path: Path) -> None:
    prepare_home(tmp_path / "new", None)
    (tmp_path / "new" / SETTINGS).write_text('[http]\nlisten = "127.0.0.1:7000"\n')
    done = _join(tmp_path / "new", "--http", "127.0.0.1:7777")
    assert (done.returncode, "http.listen" in done.stderr) == (1, True)
    assert "cannot be reached" in _join(tmp_path / "new", "--http", "127.0.0.1:7000").stderr


def test_a_join_code_whose_key_is_none_is_said_in_words(tmp_path: Path) -> None:
    done = _join(tmp_path / "new", code=_code(hub_key=bytes(32)))
    assert (done.returncode, "Traceback" in done.stderr, "join code" in done.stderr) == (2, False, True)


def test_join_with_a_wrong_http_makes_nothing(tmp_path: Path) -> None:
    assert _join(tmp_path / "new", "--http", "nonsense").returncode == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["hub.toml", "hub.db", "attachments"])
def test_join_leaves_a_hub_s_home_alone(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    for file in (KEYS, name):
        (tmp_path / file).write_bytes(b"the hub's")
    result = CliRunner().invoke(main, ["join", _code(), "--home", str(tmp_path)])
    assert (result.exit_code, "a hub's home" in result.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([KEYS, name])


def test_join_where_it_may_not_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = CliRunner().invoke(main, ["join", _code(), "--home", str(tmp_path / "file" / "node")])
    assert (result.exit_code, bool(result.stderr.strip())) == (1, True)
    assert isinstance(result.exception, SystemExit)


def test_lost_settings_of_a_node_are_put_back(node: Node) -> None:
    (node.home / SETTINGS).unlink()
    result = node.run("inbox")
    assert (result.exit_code, "node.toml is missing: put it back" in result.stderr) == (1, True)
    assert "join" not in result.stderr
    (node.home / SETTINGS).touch()
    assert node.facts("inbox") == []


def test_a_node_joins_one_network_only(node: Node) -> None:
    from protocols.link.joincode import JoinCode, encode_joincode  # noqa: PLC0415 - only here

    code = encode_joincode(JoinCode("h:1", "hub", bytes(32), bytes(32), "x", bytes(16), bytes(32)))
    result = node.run("join", code)
    assert (result.exit_code, "already" in result.stderr) == (1, True)
