"""The version stands in one place, and everybody who shows it shows that one."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

import hub.cli
import nodes.cli
import nodes.desk.cli
from hub.core import SOFTWARE as HUB_SOFTWARE
from nodes.link.core import SOFTWARE as NODE_SOFTWARE
from runtime.version import VERSION

ROOT = Path(__file__).parents[2]
ROOMS = ("hub", "nodes", "runtime", "protocols", "crypto", "config")


def test_the_version_is_written_once() -> None:
    code = [ROOT / "setup.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    assert [path.name for path in code if VERSION in path.read_text("utf-8")] == ["version.py"]


def test_everybody_shows_it() -> None:
    assert [software.partition("/")[2] for software in (HUB_SOFTWARE, NODE_SOFTWARE)] == [VERSION] * 2
    for main in (hub.cli.main, nodes.cli.main, nodes.desk.cli.main):
        assert CliRunner().invoke(main, ["--version"]).output.endswith(f"version {VERSION}\n")
    assert f"\n## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
