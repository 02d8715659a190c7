"""Manual pages and shell completions, written from the commands themselves: they cannot fall behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

import hub.cli
import nodes.cli
import nodes.desk.cli
from runtime.version import VERSION

PROGRAMS: Final[dict[str, click.Group]] = {
    "wasl-hub": hub.cli.main,
    "wasl-node": nodes.cli.main,
    "wasl-desk": nodes.desk.cli.main,
}
COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/{}",
    "zsh": "usr/share/zsh/vendor-completions/_{}",
    "fish": "usr/share/fish/vendor_completions.d/{}.fish",
}
"""Where Debian looks for them."""


def write_all(root: Path) -> None:
    """Write every page and completion below ``root`` as a package carries them."""
    for name, program in PROGRAMS.items():
        page = root / f"usr/share/man/man1/{name}.1"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(manual(name, program), encoding="utf-8")
        for shell, place in COMPLETIONS.items():
            path = root / place.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(completion(name, program, shell), encoding="utf-8")


def completion(name: str, program: click.Group, shell: str) -> str:
    """Return the script by which ``shell`` completes ``name``: it asks the program itself."""
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    asked = kind(program, {}, name, variable)
    return asked.source_template % asked.source_vars() + "\n"


def manual(name: str, program: click.Group) -> str:
    """Return the page of one program in man(7): every command with its arguments and options."""
    context = click.Context(program, info_name=name)
    summary = (program.help or "").strip().splitlines()[0].rstrip(".")
    lines = [
        f'.TH {name.upper()} 1 "" "Wasl {VERSION}" "Wasl"',
        ".SH NAME", f"{_text(name)} \\- {_text(summary)}",
        ".SH SYNOPSIS", f".B {_text(name)}", ".I COMMAND", "[OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION", _text((program.help or "").strip()),
        ".SH COMMANDS",
        *_commands(program, context),
        ".SH EXIT STATUS",
        _text("0 done; 1 refused or failed (reason on stderr); 2 wrong usage or settings; "
              "3 --wait was asked and the daemon isn't running; 4 timed out waiting."),
        ".SH ENVIRONMENT", _text("WASL_HOME stands for --home."),
        ".SH SEE ALSO", _text("/usr/share/doc/wasl/, systemctl(1), systemd-creds(1)"),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield f".SS {_text(inner.command_path)} {_text(usage)}"
        yield _text(_paragraphs(command.help or ""))
        for parameter in command.get_params(inner):
            record = parameter.get_help_record(inner)
            if record is not None:
                yield from (".TP", f".B {_text(record[0])}", _text(record[1]))


def _paragraphs(text: str) -> str:
    """Let each paragraph be one line; click's marks for kept line ends mean nothing here."""
    cleaned = text.replace("\b", "").strip()
    return "\n\n".join(re.sub(r"\s+", " ", part) for part in cleaned.split("\n\n"))


def _text(text: str) -> str:
    """Return text in which man(7) finds no commands of its own."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.splitlines())
