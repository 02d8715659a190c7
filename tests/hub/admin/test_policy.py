"""Policies: what was applied holds and stays; a trial tells what would have come back and changes nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from config.errors import SettingsError
from config.hub import Effect, Policy
from hub.admin import facilities, policy
from hub.admin.errors import AdminRefused
from hub.admin.policy import NoSuchPolicy, WouldRefuse
from hub.directory import policies
from hub.directory.service import DirectoryError
from hub.routing.policy import Rules
from hub.spool.store import accept
from protocols.link.places import FacilityKind
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ISSUER, ORAN, SUD, Rest, entry

DENY = '[policy]\ndefault = "deny"\n'
TO_HOSPITALS = """
[policy]
default = "deny"
[[policy.rule]]
effect = "allow"
to_kind = "chu"
"""


def apply(connection: Connection, text: str, note: str = "") -> int:
    return policy.apply(connection, text, note=note, actor="user:lila", now_ms=EPOCH_MS)


def kinds(connection: Connection) -> None:
    for facility, kind in (("chu-oran", FacilityKind.CHU), ("clinique-sud", FacilityKind.POLYCLINIC)):
        facilities.invite(
            connection, ISSUER, facility, kind=kind, valid_for_ms=DAY_MS, actor="cli:a", now_ms=EPOCH_MS
        )


def test_until_one_is_applied_that_of_the_settings_holds(connection: Connection) -> None:
    settings = Policy(default=Effect.DENY)
    assert policies.policy_in_force(connection, settings) == settings
    apply(connection, "[policy]\n")
    assert policies.policy_in_force(connection, settings).default is Effect.ALLOW


def test_versions_stay_with_author_time_and_text(connection: Connection) -> None:
    assert (apply(connection, DENY, "one"), apply(connection, TO_HOSPITALS, "two")) == (1, 2)
    assert policy.revert(connection, 1, actor="user:amine", now_ms=EPOCH_MS + 5) == 3
    three, two, one = policy.history(connection)
    assert (one.text, one.author, one.note, one.at_ms) == (DENY, "user:lila", "one", EPOCH_MS)
    assert two.text == TO_HOSPITALS
    assert (three.text, three.author, three.note) == (DENY, "user:amine", "back to 1")
    with pytest.raises(NoSuchPolicy):
        policy.revert(connection, 9, actor="user:amine", now_ms=EPOCH_MS)


@pytest.mark.parametrize(
    "text", ["no toml", "[policy]\ndefault = 'maybe'\n", "[hub]\nname = 'x'\n", "[[policy.rule]]\n"]
)
def test_what_is_no_policy_is_not_applied(connection: Connection, text: str) -> None:
    with pytest.raises(SettingsError):
        apply(connection, text)
    assert policy.history(connection) == []


def test_a_text_without_end_is_refused(connection: Connection) -> None:
    with pytest.raises(DirectoryError, match="characters"):
        apply(connection, "#" * 300_000)


def test_kinds_of_facilities_decide() -> None:
    rules = Rules(policies.parse(TO_HOSPITALS))
    assert rules.allows(ALGER, "ORU^R01", ORAN, "chu", "chu")
    assert not rules.allows(ALGER, "ORU^R01", SUD, "chu", "polyclinic")
    assert not rules.allows(ALGER, "ORU^R01", ORAN, "chu", ""), "who has no kind is no hospital"


def test_a_trial_counts_what_would_have_come_back(connection: Connection) -> None:
    kinds(connection)
    late = EPOCH_MS + 8 * DAY_MS
    accept(connection, [entry(1, ORAN, SUD), entry(2, SUD), entry(3, ORAN)], EPOCH_MS + 7 * DAY_MS)
    accept(connection, [entry(4, SUD)], EPOCH_MS)
    before = policy.history(connection)
    trial = policy.try_on_past(connection, policies.parse(TO_HOSPITALS), since_ms=late - policy.WEEK_MS)
    assert trial == policy.Trial(4, (WouldRefuse(ALGER, "ORU^R01", SUD, 2),))
    assert policy.history(connection) == before


def test_a_trial_reads_all_pages(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "ROWS_PER_READ", 2)
    accept(connection, [entry(number, ORAN) for number in range(1, 6)], EPOCH_MS)
    assert policy.try_on_past(connection, policies.parse(DENY), since_ms=0).messages == 5


def test_a_diff_shows_what_changes() -> None:
    told = policy.diff(DENY, TO_HOSPITALS, "1", "new")
    assert '+to_kind = "chu"' in told
    assert policy.diff(DENY, DENY, "1", "new") == ""


def test_where_somebody_waits_only_so_many_lines_are_compared() -> None:
    """A viewer's token could have kept a processor busy with a text of nothing but comments."""
    most = "[policy]\n" + "#\n" * (policy.DIFF_LINES - 1)
    for before, after in ((DENY, most + "#"), (most + "\n", DENY)):
        with pytest.raises(AdminRefused, match="up to 2,000 lines") as refused:
            policy.diff(before, after, "policy 1", "draft", most_lines=policy.DIFF_LINES)
        assert refused.value.code == "too-many-lines"
        assert policy.diff(before, after, "policy 1", "draft"), "who has the machine may"
    assert "+#" in policy.diff(DENY, most, "policy 1", "draft", most_lines=policy.DIFF_LINES)


def test_a_running_hub_takes_it_up_without_a_restart(rest: Rest) -> None:
    assert rest.core.rules.allows(ALGER, "ORU^R01", ORAN)
    rest.sql(lambda connection: apply(connection, DENY))
    rest.run(rest.core.reload_directory())
    assert not rest.core.rules.allows(ALGER, "ORU^R01", ORAN)
    rest.sql(lambda connection: apply(connection, "[policy]\n"))
    rest.run(rest.core.reload_directory())
    assert rest.core.rules.allows(ALGER, "ORU^R01", ORAN)
