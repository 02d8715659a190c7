"""The documents as a site: complete, searchable in three languages, and with no link that leads nowhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MKDOCS = Path(sys.executable).with_name("mkdocs")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of what the site is made from, to be broken."""
    if not MKDOCS.exists():
        pytest.skip("mkdocs is not installed: `make site` installs it")
    for name in ("docs", "release"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def build(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MKDOCS, "build", "--strict"],
        cwd=project, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_every_document_is_a_page_and_can_be_found(project: Path) -> None:
    done = build(project)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (project / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (project / "site").glob("*.html")}
    index = json.loads((project / "site/search/search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].split(".html")[0] for entry in index["docs"]}
    assert pages <= found
    assert {"en", "fr", "ar"} <= set(index["config"]["lang"])
    arabic = (project / "site/quickstart.ar.html").read_text(encoding="utf-8")
    assert 'dir="rtl"' in arabic
    assert "https://fonts" not in arabic, "an intranet reaches no fonts elsewhere"


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](install.md#nowhere)"])
def test_a_link_that_leads_nowhere_fails(project: Path, link: str) -> None:
    with (project / "docs/upgrade.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    done = build(project)
    assert done.returncode == 1
    assert "nowhere" in done.stderr
