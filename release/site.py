"""What the site needs beside mkdocs: pages that others add to ``docs/`` are in it without being named.

mkdocs calls these hooks (mkdocs.yml). A page that the navigation does not name is put under "More", so a new
document can neither be forgotten nor break the build; a link to a file of the repository outside ``docs/``
becomes a link to nothing, and its text stays.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def on_config(config: Any) -> Any:
    """Add the pages that the navigation leaves out."""
    named = set(_pages(config["nav"]))
    pages = sorted(path.name for path in Path(config["docs_dir"]).glob("*.md"))
    more = [page for page in pages if page not in named]
    if more:
        config["nav"].append({"More": more})
    return config


def on_page_markdown(markdown: str, **_more: object) -> str:
    """Take out links that lead out of the documents."""
    return _OUTSIDE.sub(r"\1", markdown)


def _pages(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    parts = entries.values() if isinstance(entries, dict) else entries
    return [page for part in parts for page in _pages(part)]
