"""The policy: what holds, what held, what another one would change, and applying it.

A new text is previewed first: what it changes, and which of last week's messages it would have refused. The
form says which version its author looked at, and is refused if another has come since.
"""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import gettext
from sqlalchemy import Connection

from config.errors import SettingsError
from config.hub import Policy
from hub.admin import policy as policies
from hub.admin.console.context import Console, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.console.views import number_in
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.policy import DIFF_LINES, NOTE_CHARS, WEEK_MS, ChangedMeanwhile, Trial
from hub.directory.policies import PolicyVersion, parse, policy_in_force

TEXT_CHARS: Final = 40_000
"""Of a policy in a form; the command line takes longer ones."""
TRIED_ROWS: Final = 100_000
LISTED: Final = 50


def show(console: Console) -> str:
    """Show the policy that holds, and all that ever did."""
    versions, policy = console.read(
        lambda c: (policies.history(c), policy_in_force(c, console.settings.policy))
    )
    return render_template("policy.html", policy=policy, versions=versions[:LISTED])


def one(console: Console, number: str) -> str:
    """Show one version, and what it changed."""
    version, before, latest = console.read(lambda c: _beside(c, number))
    return render_template(
        "policy_version.html", version=version, latest=latest,
        lines=_lines(before.text if before else "", version.text), most=DIFF_LINES,
    )  # fmt: skip


def _beside(connection: Connection, number: str) -> tuple[PolicyVersion, PolicyVersion | None, PolicyVersion]:
    """Return a version, the one before it, and the latest."""
    found, wanted = policies.history(connection), number_in(number)
    for place, version in enumerate(found):
        if version.number == wanted:
            return version, found[place + 1] if place + 1 < len(found) else None, found[0]
    raise NotThere("no-such-policy", f"there is no policy {number[:20]!r}")


def edit(console: Console) -> str:
    """Show the text that holds, to be changed."""
    latest = console.read(_latest)
    text = policies.as_text(console.settings.policy) if latest is None else latest.text
    return _edit(text, latest.number if latest else 0, "")


def _latest(connection: Connection) -> PolicyVersion | None:
    found = policies.history(connection)
    return found[0] if found else None


def _edit(text: str, based_on: int, fault: str) -> str:
    return render_template("policy_edit.html", text=text, based_on=based_on, fault=fault)


def preview(console: Console) -> Any:
    """Show what a text would change, and what it would have refused."""
    text, based_on = _sent()
    policy, fault = _parse(text)
    if policy is None:
        return _edit(text, based_on, fault), REFUSED
    return _preview(console, text, policy, based_on, ())


def _sent() -> tuple[str, int]:
    text = request.form.get("text", "").replace("\r\n", "\n")
    return text[: TEXT_CHARS + 1], number_in(request.form.get("based_on", ""))


def _parse(text: str) -> tuple[Policy | None, str]:
    """Return the policy, or everything that is wrong with the text."""
    if len(text) > TEXT_CHARS:
        return None, gettext("This is longer than a form takes: use wasl-hub policy apply.")
    try:
        return parse(text), ""
    except SettingsError as error:
        return None, str(error)


def _preview(
    console: Console, text: str, policy: Policy, based_on: int, wrong: Errors, note: str = ""
) -> str:
    since_ms = console.clock.now_ms() - WEEK_MS

    def look(connection: Connection) -> tuple[PolicyVersion | None, Trial]:
        trial = policies.try_on_past(connection, policy, since_ms=since_ms, most_rows=TRIED_ROWS)
        return _latest(connection), trial

    latest, trial = console.read(look)
    return render_template(
        "policy_preview.html", text=text, policy=policy, based_on=based_on, trial=trial, errors=wrong,
        lines=_lines(latest.text if latest else policies.as_text(console.settings.policy), text),
        note=note or request.form.get("note", "")[:NOTE_CHARS], most=DIFF_LINES,
    )  # fmt: skip


def apply(console: Console) -> Any:
    """Let a text hold that was previewed."""
    text, based_on = _sent()
    note, who, now_ms = request.form.get("note", "").strip(), visitor(), console.clock.now_ms()
    policy, fault = _parse(text)
    if policy is None:
        return _edit(text, based_on, fault), REFUSED
    if len(note) > NOTE_CHARS:
        return _preview(console, text, policy, based_on, errors("long-reason")), REFUSED
    try:
        console.change(
            lambda c: policies.apply(c, text, note=note, based_on=based_on, actor=who.actor, now_ms=now_ms)
        )
    except ChangedMeanwhile:
        return _preview(console, text, policy, based_on, errors("changed-meanwhile")), REFUSED
    return redirect("/policy", 303)


def again(console: Console, number: str) -> str:
    """Show what going back to an older version would change."""
    version, _before, latest = console.read(lambda c: _beside(c, number))
    note = gettext("back to %(number)s", number=version.number)
    return _preview(console, version.text, parse(version.text), latest.number, (), note)


def _lines(before: str, after: str) -> list[tuple[str, str]] | None:
    """Return a diff as lines with what each is: ``add``, ``gone`` or nothing. None: too much to compare."""
    kinds = {"+": "add", "-": "gone"}
    try:
        told = policies.diff(before, after, "before", "after", most_lines=DIFF_LINES).splitlines()[2:]
    except AdminRefused:
        return None
    return [(kinds.get(line[:1], ""), line) for line in told]
