"""Both command lines: ``--help`` is quick, and what a command is given is what its work takes."""

from __future__ import annotations

import inspect
import subprocess
import sys

import click
import pytest

import hub.cli
import nodes.cli
import nodes.desk.cli
from runtime.cli import Work

HEAVY = ("sqlalchemy", "twisted", "lxml", "alembic", "rich", "nacl", "cryptography", "flask", "msgspec")
PROGRAMS = {"hub": hub.cli, "nodes": nodes.cli, "nodes.desk": nodes.desk.cli}
COMMANDS = [(room, name) for room, program in PROGRAMS.items() for name in program.COMMANDS]


@pytest.mark.parametrize("room", PROGRAMS)
def test_help_loads_nothing_heavy(room: str) -> None:
    """``--help`` answers in well under 200 ms because it imports none of these."""
    asked = [["--help"], *([name, "--help"] for name in PROGRAMS[room].COMMANDS)]
    code = (
        f"import sys\nfrom {room}.cli import main\n"
        f"for asked in {asked!r}:\n"
        "    main(asked, standalone_mode=False)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("room", "name"), COMMANDS)
def test_the_work_takes_just_what_the_command_is_given(room: str, name: str) -> None:
    group = PROGRAMS[room].main
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for one in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert isinstance(one.callback, Work)
        given = [str(parameter.name) for parameter in one.params]
        inspect.signature(one.callback.load()).bind(**dict.fromkeys(given))
