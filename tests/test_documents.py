"""The documents say what the code does: commands, settings, reason codes, crash points, files, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from config.hub import HubSettings
from config.node import NodeSettings
from config.schema import Kind, ListOf, Section, settings_of
from hub import cli as hub_cli
from hub.routing.route import Delay, Reason
from nodes import cli as node_cli
from nodes.desk import cli as desk_cli
from protocols.link.envelope import State

ROOT = Path(__file__).parent.parent
ROOMS = ("hub", "nodes", "runtime", "protocols", "crypto", "config")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
IGNORED_FAULTS = ("runtime/cli.py",)
CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
SPEAKERS = frozenset(
    {
        "Refused", "NodeError", "NoRoom", "NotFound", "UnknownRecipient", "KeyConflict", "Damaged",
        "ApiError", "Rejected", "RemoteError", "Unfit", "Distrusted", "Refusal", "FileRefused", "Outcome",
        "alarm", "_alarm", "raise_alarm", "_refused", "_give_up", "_stop", "_break", "_record",
    }
)  # fmt: skip
"""Calls that name a code as a literal argument."""


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands between a heading and the next one of its level or above."""
    level = heading.index(" ")
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{level}}} ", text[start:], re.MULTILINE)
    return text[start:] if end is None else text[start : start + end.start()]


@cache
def modules() -> dict[str, ast.Module]:
    paths = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


# ── links ──────────────────────────────────────────────────────────────────────────────────


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), f"{path.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{path.name}: no heading {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_exists(path: Path) -> None:
    rooms = "|".join((*ROOMS, "tests", "demo", "systemd", "docs"))
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{path.name}: {name} does not exist"


def test_every_step_of_the_architecture_is_in_its_file() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (.+?) \|", document("ARCHITECTURE.md"), re.MULTILINE)
    assert len(rows) > 40, "the tables that follow a message are not found any more"
    for file, names in rows:
        defined = {
            node.name
            for node in ast.walk(ast.parse(document(file)))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        for name in re.findall(r"`([\w.]+)`", names):
            assert set(name.split(".")) <= defined, f"{file} has no {name}"


# ── commands ───────────────────────────────────────────────────────────────────────────────


def commands() -> Iterator[tuple[str, click.Command]]:
    for program, group in (
        ("wasl-hub", hub_cli.main),
        ("wasl-node", node_cli.main),
        ("wasl-desk", desk_cli.main),
    ):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield f"{program} {name}", command


COMMANDS = dict(commands())


def test_every_command_has_its_section_and_no_other_does() -> None:
    assert re.findall(r"^### (.+)$", document("docs/commands.md"), re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_and_no_other_is(name: str) -> None:
    told = re.findall(r"^\| `(--[\w-]+)", section(document("docs/commands.md"), f"### {name}"), re.MULTILINE)
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option)]
    assert told == [option.opts[0] for option in options]


# ── settings ───────────────────────────────────────────────────────────────────────────────


def keys(cls: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting's path and its default as TOML gives it."""
    for key, one in settings_of(cls).items():
        inner: Kind[object] = one.kind
        if isinstance(inner, ListOf):
            inner = inner._item
            if isinstance(inner, Section):
                yield prefix + key, None
        if isinstance(inner, Section):
            yield from keys(inner.cls, f"{prefix}{key}.")
        else:
            yield prefix + key, one.default


def as_toml(value: object) -> str | None:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(str(as_toml(item)) for item in value)}]"
    return str(value) if isinstance(value, int) else None


@pytest.mark.parametrize(
    ("heading", "cls"), [("## Hub: `hub.toml`", HubSettings), ("## Node: `node.toml`", NodeSettings)]
)
def test_every_setting_is_explained_with_its_default(heading: str, cls: type) -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.+?) \|", section(document("docs/settings.md"), heading), re.MULTILINE
    )
    found = list(keys(cls))
    assert [name for name, _ in rows] == [name for name, _ in found]
    for (name, told), (_, default) in zip(rows, found, strict=True):
        text = as_toml(default)
        assert told == f"`{text}`" if text else told.startswith(("none", "must")), f"{name}: {text}"


# ── reason codes and crash points ──────────────────────────────────────────────────────────


def texts(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def literals(node: ast.AST) -> Iterator[str]:
    """Yield texts that a node passes, or sets, as a code."""
    match node:
        case ast.Call():
            yield from spoken_in(node)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            if name.lower().endswith(("code", "_codes")) and node.value is not None:
                yield from texts(node.value)
        case ast.arguments():
            for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if argument.arg == "code" and default is not None:
                    yield from texts(default)


def spoken_in(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    for argument in call.args if name in SPEAKERS else ():
        if isinstance(argument, ast.Constant):
            yield from texts(argument)
    for keyword in call.keywords:
        if keyword.arg == "code":
            yield from texts(keyword.value)


def codes_in_the_code() -> set[str]:
    found = {str(code) for code in (*Reason, *Delay)}
    for name, module in modules().items():
        if name not in IGNORED_FAULTS:
            found.update(text for node in ast.walk(module) for text in literals(node) if CODE.fullmatch(text))
    return found - {"protocol-error", "local-fault", "remote-fault"}


def codes_in_the_document() -> set[str]:
    told = set(re.findall(r"`([^`]+)`", section(document("docs/delivery.md"), "## Reason codes")))
    return {code for code in told if CODE.fullmatch(code)} - {state.word for state in State}


def test_every_reason_code_is_explained() -> None:
    assert codes_in_the_code() - codes_in_the_document() == set()


def test_every_explained_code_exists() -> None:
    spoken = {text for module in modules().values() for text in texts(module)}
    assert codes_in_the_document() - spoken - {str(code) for code in (*Reason, *Delay)} == set()


def test_the_scanner_finds_codes_of_every_kind() -> None:
    kinds = {
        "expired",
        "recipient-slow",
        "id-conflict",
        "try-later",
        "folder-vanished",
        "bad-file",
        "not-for-mllp",
    }
    assert kinds <= codes_in_the_code()


def test_every_crash_point_is_in_the_crash_table() -> None:
    reached = {
        text
        for module in modules().values()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reached"
        for text in texts(node)
    }
    told = set(re.findall(r"`([\w-]+)`", section(document("docs/delivery.md"), "## Crashes")))
    assert reached <= told
    assert {name for name in told if re.match(r"(hub|node|folder|attachment)-", name)} <= reached
