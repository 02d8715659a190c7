"""The journal: search by who, what, about what and when, and export for people and for other systems.

An export is itself an entry. What it holds is bounded; the next one goes on behind its last number.

As CSV, what a spreadsheet would take for the beginning of a formula gets an apostrophe before it: names in
the journal are typed by people, and by strangers. Not at the beginning of a cell only: many spreadsheets
split at semicolons or tabs, and then quotes inside a cell mean something else and a cell may begin behind any
sign that is no letter or digit. The form is that of RFC 4180 all the same, and the other formats are exact.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Response, render_template, request
from flask_babel import lazy_gettext as _

from hub.admin import records
from hub.admin.console.context import Console, visitor
from hub.admin.console.views import number_in
from hub.admin.records import Line, Wanted
from hub.audit import export as standards

QUERY_CHARS: Final = 200
FORMATS: Final = {
    "jsonl": _("Lines of JSON"),
    "csv": _("CSV, for a spreadsheet"),
    "dicom": _("DICOM audit messages (XML)"),
    "fhir": _("FHIR AuditEvents (lines of JSON)"),
}
_FORMULA: Final = re.compile(r"(?<![\w=+\-@/.])[=+\-@\t\r]")
"""A sign by which a formula begins, where a cell may begin. Behind the signs left out none does, whatever a
reader splits at; they stand in numbers, times, names and base64, which stay as they are."""


def search(console: Console) -> str:
    """Show entries, the newest first."""
    wanted, asked = _wanted(console)
    before = number_in(request.args.get("before", "")) or None
    rows = console.read(lambda c: records.page(c, wanted, before))
    older = (
        f"/journal?{urlencode({**asked, 'before': rows[-1].number})}" if len(rows) == records.LISTED else ""
    )
    return render_template("journal.html", rows=rows, asked=asked, older=older, formats=FORMATS)


def export(console: Console) -> Response:
    """Send entries as somebody wants them; that they were taken is an entry as well."""
    (wanted, _asked), who, now_ms = _wanted(console), visitor(), console.clock.now_ms()
    after, kind = number_in(request.values.get("after", "")), request.values.get("format", "jsonl")
    write, mimetype, ending = _WRITERS.get(kind, _WRITERS["jsonl"])
    rows = console.change(lambda c: records.export(c, wanted, after=after, actor=who.actor, now_ms=now_ms))
    answer = Response("".join(write(rows, console.settings.hub.name)), mimetype=mimetype)
    answer.headers.set("Content-Disposition", "attachment", filename=f"journal.{ending}")
    return answer


def _wanted(console: Console) -> tuple[Wanted, dict[str, str]]:
    """Return what is searched, and how it was typed. Days are those of the console's zone; both included."""
    names = ("actor", "action", "subject", "from", "until")
    asked = {name: request.values.get(name, "").strip()[:QUERY_CHARS] for name in names}
    zone = ZoneInfo(console.settings.console.zone)
    since, until = _day(asked["from"]), _day(asked["until"])
    return Wanted(
        asked["actor"], asked["action"], asked["subject"],
        0 if since is None else _begin_ms(since, zone),
        None if until is None else _begin_ms(until + timedelta(days=1), zone),
    ), asked  # fmt: skip


def _day(text: str) -> date | None:
    """Return a day as browsers send it; what is none means any."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1970 < found.year < 9_000 else None  # noqa: PLR2004 - what milliseconds can hold


def _begin_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp() * 1000)


def _json(rows: Sequence[Line], _source: str) -> Iterator[str]:
    return (f"{one.json}\n" for one in rows)


def _csv(rows: Sequence[Line], _source: str) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(("number", "time", "actor", "action", "subject", "details", "hash"))
    for one in rows:
        at = datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        cells = (str(one.number), at, one.actor, one.action, one.subject, one.text, one.hash.hex())
        writer.writerow([_FORMULA.sub(r"'\g<0>", cell) for cell in cells])
    yield text.getvalue()


def _dicom(rows: Sequence[Line], source: str) -> Iterator[str]:
    return (f"{line}\n" for line in standards.atna(iter([(one.entry, one.hash) for one in rows]), source))


def _fhir(rows: Sequence[Line], source: str) -> Iterator[str]:
    return (f"{line}\n" for line in standards.fhir(iter([(one.entry, one.hash) for one in rows]), source))


_WRITERS: Final[dict[str, tuple[Callable[[Sequence[Line], str], Iterator[str]], str, str]]] = {
    "jsonl": (_json, "application/x-ndjson", "jsonl"),
    "csv": (_csv, "text/csv; charset=utf-8", "csv"),
    "dicom": (_dicom, "application/xml", "xml"),
    "fhir": (_fhir, "application/fhir+ndjson", "ndjson"),
}
