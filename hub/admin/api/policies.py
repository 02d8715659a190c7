"""The policy: the one that holds, its versions, what another would change, applying and taking back."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from hub.admin import policy as service
from hub.admin.api import routes
from hub.admin.api.admission import duration_ms
from hub.admin.api.routes import Ask, Operation, PageQuery, change, look, weigh
from hub.admin.api.shapes import Time, time
from hub.admin.roles import Permission
from hub.directory import policies
from hub.directory.policies import PolicyVersion

BY_SENDER: Final = 200
"""Lines of a trial: combinations of sender, kind and recipient, those with most messages first."""
TRIED_ROWS: Final = 200_000
"""Messages that a trial looks at, the last ones."""
PolicyText = Annotated[
    str, Meta(max_length=service.TEXT_CHARS, description="TOML: `[policy]` and `[[policy.rule]]`")
]
VersionNumber = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]


BasedOn = Annotated[
    int | None,
    Meta(description="the version that was looked at, 0 for that of hub.toml: 409 if another holds since"),
]


class Policy(Struct, frozen=True):
    """A policy that was applied."""

    number: int
    author: str
    at: Time
    note: str
    text: str


class PolicyInForce(Struct, frozen=True):
    """The policy that holds; null: none was applied, that of ``hub.toml`` holds."""

    policy: Policy | None


class PolicyList(Struct, frozen=True):
    """Policies that were applied, the newest first."""

    items: list[Policy]
    next: str | None


class PolicyDraft(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy to compare with the one that holds."""

    text: PolicyText


class PolicyDiff(Struct, frozen=True):
    """A unified diff, empty if they are alike. Neither may have more than 2,000 lines."""

    diff: str


class PolicyTry(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy to run over the past, and how far back."""

    text: PolicyText
    since: Annotated[str, Meta(max_length=40, description="as in 7d")] = "7d"


class WouldRefuse(Struct, frozen=True, rename={"sender": "from"}):
    """Messages that the tried policy refuses."""

    sender: str
    kind: str
    to: str
    messages: int


class PolicyTrial(Struct, frozen=True):
    """What a policy would have done to accepted messages; ``by`` has the most frequent.

    ``whole``: all of that time was looked at, not the last messages of it only.
    """

    looked_at: int
    whole: bool
    refused: int
    by: list[WouldRefuse]


class NewPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy that is to hold, and why."""

    text: PolicyText
    note: Annotated[str, Meta(max_length=service.NOTE_CHARS)] = ""
    based_on: BasedOn = None


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    """The version that is to hold again."""

    number: VersionNumber
    based_on: BasedOn = None


class Applied(Struct, frozen=True):
    """The number of the policy that holds now."""

    number: int


def _shown(version: PolicyVersion) -> Policy:
    return Policy(version.number, version.author, time(version.at_ms), version.note, version.text)


def in_force(ask: Ask) -> PolicyInForce:
    """Show the one that holds."""
    found = ask.read(policies.present)
    return PolicyInForce(None if found is None else _shown(found))


def versions(ask: Ask) -> PolicyList:
    """List all that were applied."""
    query: PageQuery = ask.query
    before = routes.after_number(query, "policies")
    found = [one for one in ask.read(service.history) if not before or one.number < before]
    rows, cursor = routes.page(query, "policies", found, lambda one: one.number)
    return PolicyList([_shown(one) for one in rows], cursor)


def version(ask: Ask) -> Policy:
    """Show one version."""
    number = int(ask.path["number"])
    return _shown(ask.read(lambda c: service.one(c, number)))


def diff(ask: Ask) -> PolicyDiff:
    """Compare with the one that holds."""
    policies.parse(ask.body.text)
    present = ask.read(policies.present)
    before, name = ("", "no policy") if present is None else (present.text, f"policy {present.number}")
    return PolicyDiff(service.diff(before, ask.body.text, name, "draft", most_lines=service.DIFF_LINES))


def attempt(ask: Ask) -> PolicyTrial:
    """Run over the past."""
    wanted: PolicyTry = ask.body
    policy, since_ms = policies.parse(wanted.text), ask.now_ms - duration_ms(wanted.since)
    trial = ask.read(
        lambda c: service.try_on_past(c, policy, since_ms=max(0, since_ms), most_rows=TRIED_ROWS)
    )
    return PolicyTrial(
        trial.messages,
        trial.whole,
        sum(one.messages for one in trial.refused),
        [WouldRefuse(one.sender, one.kind, one.recipient, one.messages) for one in trial.refused[:BY_SENDER]],
    )


def apply(ask: Ask) -> Operation:
    """Let a policy hold."""
    wanted: NewPolicy = ask.body

    def operation(connection: Connection) -> Applied:
        return Applied(
            service.apply(
                connection,
                wanted.text,
                note=wanted.note,
                based_on=wanted.based_on,
                actor=ask.actor,
                now_ms=ask.now_ms,
            )
        )

    return operation


def revert(ask: Ask) -> Operation:
    """Let an older version hold again."""

    def operation(connection: Connection) -> Applied:
        wanted: Revert = ask.body
        number = service.revert(
            connection, wanted.number, based_on=wanted.based_on, actor=ask.actor, now_ms=ask.now_ms
        )
        return Applied(number)

    return operation


ROUTES: Final = (
    look("/policy", "showPolicy", "The policy that holds", Permission.SEE, in_force, PolicyInForce),
    look("/policy/versions", "listPolicies", "Every policy that was applied, newest first", Permission.SEE,
         versions, PolicyList, query=PageQuery),
    look("/policy/versions/{number}", "showPolicyVersion", "One version", Permission.SEE, version, Policy,
         missing=True),
    weigh("/policy/diff", "diffPolicy", "What a policy would change", Permission.SEE, diff,
          PolicyDiff, PolicyDraft),
    weigh("/policy/try", "tryPolicy", "Which accepted messages a policy would have refused",
          Permission.NETWORK, attempt, PolicyTrial, PolicyTry),
    change("/policy/apply", "applyPolicy", "Let a policy hold from now on", Permission.NETWORK,
           apply, Applied, NewPolicy, status=201),
    change("/policy/revert", "revertPolicy", "Let an older version hold again, as a new one",
           Permission.NETWORK, revert, Applied, Revert, status=201),
)  # fmt: skip
