"""Every command of ``wasl-hub`` prints JSON when asked, but those that say here why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hub.cli import main

WITHOUT = {
    "run": "runs until it is stopped",
    "console": "likewise",
    "sandbox run": "likewise",
    "audit prove": "writes a receipt, which is JSON",
    "audit export": "writes other systems' formats",
}


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, command


COMMANDS = dict(leaves(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_or_a_reason(name: str) -> None:
    has = any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    assert has != (name in WITHOUT)


def test_no_reason_is_left_over() -> None:
    assert WITHOUT.keys() <= COMMANDS.keys()


def test_what_changes_something_prints_what_it_is_now(tmp_path: Path) -> None:
    home = tmp_path / "hub"

    def run(*words: str, code: int = 0, stdin: str = "") -> dict[str, object]:
        result = CliRunner().invoke(main, [*words, "--json"], input=stdin, env={"WASL_HOME": str(home)})
        assert result.exit_code == code, (words, result.stderr, result.exception)
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value

    assert run("init", "--name", "alger") == {"home": str(home), "name": "alger"}
    run("invite", "chu-oran", "--mailbox", "labo")
    assert run("describe", "chu-oran", "--title", "CHU d'Oran")["title"] == "CHU d'Oran"
    assert run("suspend", "chu-oran")["state"] == "suspended"
    assert run("resume", "chu-oran")["state"] == "invited"
    garde = {"group": "garde@group", "members": ["labo@chu-oran"]}
    assert run("group", "garde", "labo@chu-oran") == garde
    added = run("adduser", "lila", "--role", "viewer", stdin="a long enough one\n")
    assert added == {"name": "lila", "role": "viewer"}
    policy = tmp_path / "policy.toml"
    policy.write_text("[policy]\n", encoding="utf-8")
    assert (
        run("policy", "diff", str(policy))["diff"]
        == "--- no policy\n+++ " + f"{policy}\n@@ -0,0 +1 @@\n+[policy]"
    )
    requests = str(tmp_path / "requests.json")
    waits = {"keys": 0, "revocations": 0, "changes": 0}
    exported = run("authority", "export-requests", requests)
    assert exported == {"file": requests, **waits, "everything": None}
    key = str(tmp_path / "authority.key")
    assert run("authority", "detach", "--into", key)["file"] == key
    signed = str(tmp_path / "signed.json")
    done = CliRunner().invoke(
        main, ["authority", "sign", requests, "--key", key, "--into", signed, "--yes", "--json"]
    )
    assert json.loads(done.stdout) == {"file": signed, "statements": 0}
    assert run("authority", "import", signed) == {**waits, "left": []}


def test_who_adds_a_user_by_sudo_is_the_one_who_added_it(tmp_path: Path) -> None:
    """Whoever made an account is no second person to it: the hub's own Unix user would hide who that was."""
    env = {"WASL_HOME": str(tmp_path / "hub"), "SUDO_USER": "amina"}
    for words in (["init"], ["adduser", "karim", "--role", "operator"], ["audit", "list", "--json"]):
        said = CliRunner().invoke(main, words, input="a long enough one\n", env=env)
        assert said.exit_code == 0, said.stderr
    assert [one["actor"] for one in json.loads(said.stdout) if one["action"] == "user.added"] == ["cli:amina"]


def test_a_policy_that_is_wrong_is_told_as_faults(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    for text, code in (("[policy]\n", 0), ('[policy]\ndefault = "maybe"\n', 2)):
        policy.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(main, ["policy", "check", str(policy), "--json"])
        assert result.exit_code == code
        told = json.loads(result.stdout)
        assert told["ok"] == (code == 0) == (not told["faults"])


def test_a_recovery_key_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["backup", "keygen", "--out", str(tmp_path / "key"), "--json"])
    told = json.loads(result.stdout)
    assert (told["file"], told["public"].startswith("wasl-backup-to-1:")) == (str(tmp_path / "key"), True)
