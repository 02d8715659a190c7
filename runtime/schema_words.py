"""What ``db status`` and ``db upgrade`` print, for both daemons."""

from __future__ import annotations

from sqlalchemy import Engine

from runtime import migrations
from runtime.cli import facts, plain, say
from runtime.rehearsal import Rehearsal, rehearse, status


def show_status(engine: Engine, package: str, *, as_json: bool) -> None:
    """Do ``db status``; raises StorageError."""
    _show(status(engine, package), as_json=as_json)


def upgrade(engine: Engine, package: str, *, dry_run: bool, as_json: bool) -> None:
    """Do ``db upgrade``; raises StorageError, OSError."""
    if dry_run:
        found = rehearse(engine, package)
        _show(found, as_json=as_json)
        if found.steps and not found.tried:
            say("Not tried: on PostgreSQL restore a backup into an empty database and upgrade that.")
        return
    before = status(engine, package)
    migrations.upgrade(engine, package)
    _show(before, as_json=as_json)
    say(f"The schema is {before.head} now." if before.steps else "There was nothing to do.")


def _show(found: Rehearsal, *, as_json: bool) -> None:
    value = {
        "schema": found.found,
        "head": found.head,
        "written_by": found.written_by or None,
        "steps": [{"revision": one.revision, "text": one.text} for one in found.steps],
        "sql": found.sql,
        "tried": found.tried,
        "seconds": round(found.seconds, 2),
    }
    facts(value, as_json=as_json, text=lambda: _lines(found))


def _lines(found: Rehearsal) -> str:
    by = f", written by wasl {found.written_by}" if found.written_by else ""
    lines = [f"schema {found.found or 'none'}{by}; this program wants {found.head}"]
    lines += [f"  {one.revision}  {plain(one.text)}" for one in found.steps]
    lines += [f"    {plain(one)};" for one in found.sql]
    if found.tried:
        lines.append(f"Tried on a copy in {found.seconds:.1f} s, and the copy is whole. Nothing was changed.")
    return "\n".join(lines)
