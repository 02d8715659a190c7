"""Who may send what to whom: policies compared, applied, taken back, and tried on last week's messages.

A policy is the text of ``[policy]`` and ``[[policy.rule]]`` as in hub.toml. What was applied stays, with its
author and time; the newest holds, in every hub process within seconds and without a restart. Taking one back
applies an older text again, as a new version: history only grows. Messages that were accepted before a change
are delivered; a policy judges at the hub's door.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from config.hub import Policy
from hub.admin import rates
from hub.admin.errors import AdminRefused
from hub.audit.journal import Act, record
from hub.directory import policies
from hub.directory.policies import PolicyVersion
from hub.directory.service import DirectoryError
from hub.directory.view import DirectoryView
from hub.routing.policy import Rules
from hub.spool.tables import ledger
from protocols.link.envelope import facility_of

TEXT_CHARS: Final = 200_000
NOTE_CHARS: Final = 200
WEEK_MS: Final = 7 * 86_400_000
ROWS_PER_READ: Final = 2_000
DIFF_LINES: Final = 2_000
"""Of either text, where somebody waits for the answer: comparing costs the square of them and more."""


class NoSuchPolicy(DirectoryError):  # noqa: N818 - past tense states the outcome
    """There is no policy with this number."""


class ChangedMeanwhile(DirectoryError):  # noqa: N818 - past tense states the outcome
    """Somebody else applied a policy in between."""


@dataclass(frozen=True, slots=True)
class WouldRefuse:
    """Messages of one kind from one mailbox to another that the tried policy refuses."""

    sender: str
    kind: str
    recipient: str
    messages: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What a policy would have done: copies looked at, and those refused, most first.

    ``whole``: all that was accepted in that time was looked at, not the last of it only.
    """

    messages: int
    refused: tuple[WouldRefuse, ...]
    whole: bool = True


def history(connection: Connection) -> list[PolicyVersion]:
    """Return every policy that was applied, newest first; empty: that of hub.toml holds."""
    return policies.history(connection)


def one(connection: Connection, number: int) -> PolicyVersion:
    """Return one version; :class:`NoSuchPolicy`."""
    for version in policies.history(connection):
        if version.number == number:
            return version
    raise NoSuchPolicy(f"there is no policy {number}")


def apply(
    connection: Connection,
    text: str,
    *,
    note: str = "",
    based_on: int | None = None,
    actor: str,
    now_ms: int,
) -> int:
    """Let ``text`` hold from now on; returns its number. SettingsError for what is none.

    ``based_on`` is the version that its author looked at (0: that of hub.toml): :class:`ChangedMeanwhile` if
    another one has come since.
    """
    latest = policies.present(connection)
    if based_on is not None and based_on != (0 if latest is None else latest.number):
        raise ChangedMeanwhile("another policy has been applied since: look at it first")
    if len(text) > TEXT_CHARS:
        raise DirectoryError(f"a policy has at most {TEXT_CHARS:,} characters")
    if len(note) > NOTE_CHARS:
        raise DirectoryError(f"a note has at most {NOTE_CHARS} characters")
    policies.parse(text)
    number = policies.add(connection, actor, note, text, now_ms)
    record(connection, Act(actor, "policy.applied", str(number), {"note": note}), now_ms)
    return number


def revert(
    connection: Connection, number: int, *, based_on: int | None = None, actor: str, now_ms: int
) -> int:
    """Apply version ``number`` again, as a new version; :class:`NoSuchPolicy`, and as :func:`apply`."""
    text, note = one(connection, number).text, f"back to {number}"
    return apply(connection, text, note=note, based_on=based_on, actor=actor, now_ms=now_ms)


def as_text(policy: Policy) -> str:
    """Return a policy as TOML: that of hub.toml, to begin from."""
    names = {"effect": "effect", "sender": "from", "kind": "kind", "to": "to", "sender_kind": "from_kind",
             "to_kind": "to_kind"}  # fmt: skip
    lines = ["[policy]", f'default = "{policy.default}"']
    for rule in policy.rules:
        lines += ["", "[[policy.rule]]"]
        said = {key: str(getattr(rule, name)) for name, key in names.items()}
        lines += [f"{key} = {json.dumps(text)}" for key, text in said.items() if text != "*"]
    return "\n".join(lines) + "\n"


def diff(before: str, after: str, before_name: str, after_name: str, *, most_lines: int | None = None) -> str:
    """Return a unified diff of two policies, empty if they are alike.

    Raises AdminRefused (too-many-lines) if either has more than ``most_lines``.
    """
    old, new = before.splitlines(), after.splitlines()
    if most_lines is not None and max(len(old), len(new)) > most_lines:
        raise AdminRefused(
            "too-many-lines",
            f"policies of up to {most_lines:,} lines are compared here, and {before_name} has {len(old):,},"
            f" {after_name} {len(new):,}: use `wasl-hub policy diff FILE` on the hub's machine",
        )
    return "\n".join(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))


def try_on_past(
    connection: Connection, policy: Policy, *, since_ms: int, most_rows: int | None = None
) -> Trial:
    """Run ``policy`` over what was accepted since ``since_ms``, with the facilities' kinds of today.

    Over the last ``most_rows`` messages of it, where somebody waits for the answer.
    """
    view, rules = DirectoryView.load(connection), Rules(policy)
    refused: Counter[tuple[str, str, str]] = Counter()
    looked_at, after, whole = 0, rates.first_since(connection, since_ms) - 1, True
    if most_rows is not None:
        last = connection.execute(select(func.max(ledger.c.seq))).scalar_one() or 0
        after, whole = max(after, last - most_rows), after >= last - most_rows
    while True:
        rows = connection.execute(
            select(ledger.c.seq, ledger.c.sender, ledger.c.kind, ledger.c.recipients)
            .where(ledger.c.seq > after, ledger.c.accepted_ms >= since_ms)
            .order_by(ledger.c.seq)
            .limit(ROWS_PER_READ)
        ).all()
        for row in rows:
            for recipient in row.recipients.split():
                looked_at += 1
                kinds = view.kind_of(facility_of(row.sender)), view.kind_of(facility_of(recipient))
                if not rules.allows(row.sender, row.kind, recipient, *kinds):
                    refused[row.sender, row.kind, recipient] += 1
        if len(rows) < ROWS_PER_READ:
            break
        after = rows[-1].seq
    found = tuple(WouldRefuse(*key, messages) for key, messages in refused.most_common())
    return Trial(looked_at, found, whole)
