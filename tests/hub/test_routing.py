"""Where a message goes, and who may send it: pure decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.hub import Effect, Policy, PolicyRule
from hub.routing import route as module
from hub.routing.policy import Rules
from hub.routing.route import Reason, Routed, Routes, check_sender, route
from protocols.link.envelope import Envelope, Priority
from protocols.link.errors import RemoteError
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ORAN, SUD

ENVELOPE = Envelope(1, bytes(16), ALGER, (ORAN,), "ORU^R01", Priority.ROUTINE, EPOCH_MS, DAY_MS, bytes(32))
ALLOW = Rules(Policy())


class Places:
    """Three facilities: one active, one suspended, one that knows only one mailbox."""

    def __init__(self) -> None:
        self.boxes = {"chu-oran": {"cardio", "labo"}, "clinique-sud": {"accueil"}, "chu-alger": {"labo"}}
        self.inactive = {"clinique-sud"}

    def mailboxes_of(self, facility: str) -> frozenset[str] | None:
        return frozenset(self.boxes[facility]) if facility in self.boxes else None

    def is_active(self, facility: str) -> bool:
        return facility not in self.inactive

    def kind_of(self, facility: str) -> str:
        return {"chu-oran": "chu", "chu-alger": "chu", "clinique-sud": "polyclinic"}.get(facility, "")


def to(*recipients: str, **fields: Any) -> Envelope:
    return msgspec.structs.replace(ENVELOPE, recipients=recipients, **fields)


def rules(*lines: tuple[str, str, str, str], default: str = "allow") -> Rules:
    return Rules(
        Policy(
            default=Effect(default),
            rules=tuple(
                PolicyRule(effect=Effect(effect), sender=sender, kind=kind, to=target)
                for effect, sender, kind, target in lines
            ),
        )
    )


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        (ORAN, None),
        ("cardio@nowhere", Reason.UNKNOWN_FACILITY),
        ("urgences@chu-oran", Reason.UNKNOWN_MAILBOX),
        (SUD, Reason.INACTIVE),
        ("nobody@clinique-sud", Reason.INACTIVE),
        (ALGER, None),
    ],
)
def test_each_recipient_is_served_or_comes_back_with_a_reason(recipient: str, reason: Reason | None) -> None:
    expected = Routed((recipient,), ()) if reason is None else Routed((), ((recipient, reason),))
    assert route(to(recipient), Places(), ALLOW) == expected


def test_recipients_are_decided_one_by_one_each_once_and_in_order() -> None:
    found = route(to("labo@chu-oran", SUD, ORAN, "x@y", ORAN, SUD), Places(), ALLOW)
    assert found.deliveries == ("labo@chu-oran", ORAN)
    assert found.returns == ((SUD, Reason.INACTIVE), ("x@y", Reason.UNKNOWN_FACILITY))


def test_what_the_policy_forbids_comes_back() -> None:
    deny = rules(("deny", "*", "ORU^*", "cardio@*"))
    found = route(to(ORAN, "labo@chu-oran"), Places(), deny)
    assert found == Routed(("labo@chu-oran",), ((ORAN, Reason.NOT_ALLOWED),))
    assert route(to(ORAN, kind="ADT^A01"), Places(), deny).deliveries == (ORAN,)


@pytest.mark.parametrize(
    ("lines", "default", "sender", "kind", "recipient", "allowed"),
    [
        ((), "allow", ALGER, "ORU^R01", ORAN, True),
        ((), "deny", ALGER, "ORU^R01", ORAN, False),
        ((("allow", "*", "*", "*"),), "deny", ALGER, "ORU^R01", ORAN, True),
        ((("deny", ALGER, "*", "*"), ("allow", "*", "*", "*")), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("allow", "*", "*", "*"), ("deny", ALGER, "*", "*")), "allow", ALGER, "ORU^R01", ORAN, True),
        ((("deny", "*@chu-alger", "*", "*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*@chu-alger", "*", "*"),), "allow", "labo@chu-alger2", "ORU^R01", ORAN, True),
        ((("deny", "labo@*", "*", "*"),), "allow", "xlabo@chu", "ORU^R01", ORAN, True),
        ((("deny", "*", "ORU^*", "*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*", "ORU^*", "*"),), "allow", ALGER, "ORUX", ORAN, True),
        ((("deny", "*", "ORU^R01", "*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*", "ORU", "*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*", "ORU", "*"),), "allow", ALGER, "oru^r01", ORAN, False),
        ((("deny", "*", "ORU", "*"),), "allow", ALGER, "ORU", ORAN, False),
        ((("deny", "*", "ORU", "*"),), "allow", ALGER, "ORUX^R01", ORAN, True),
        ((("deny", "*", "*^R01", "*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*", "*", "cardio@*"),), "allow", ALGER, "ORU^R01", ORAN, False),
        ((("deny", "*", "*", "card.o@*"),), "allow", ALGER, "ORU^R01", ORAN, True),
        ((("deny", ALGER, "ADT^*", "*"),), "allow", ALGER, "ORU^R01", ORAN, True),
    ],
)
def test_the_first_rule_that_matches_in_all_three_decides(
    lines: tuple[Any, ...], default: str, sender: str, kind: str, recipient: str, allowed: bool
) -> None:
    policy = rules(*lines, default=default)
    assert policy.allows(sender, kind, recipient) is allowed
    assert policy.allows(sender, kind, recipient) is allowed  # and from what is remembered


def test_a_session_speaks_for_its_own_facility() -> None:
    check_sender(ENVELOPE, "chu-alger", DAY_MS)
    for other in ("chu-oran", "chu-alger2", ""):
        with pytest.raises(RemoteError) as caught:
            check_sender(ENVELOPE, other, DAY_MS)
        assert caught.value.code == "not-yours"


def test_a_message_may_wait_no_longer_than_the_hub_keeps_it() -> None:
    with pytest.raises(RemoteError) as caught:
        check_sender(ENVELOPE, "chu-alger", DAY_MS - 1)
    assert caught.value.code == "valid-for"


class Asked(Places):
    """Counts the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.questions = 0

    def mailboxes_of(self, facility: str) -> frozenset[str] | None:
        self.questions += 1
        return super().mailboxes_of(facility)


def test_what_was_asked_before_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUTES_KEPT", 2)
    places = Asked()
    routes = Routes(places, rules(("deny", "*", "ADT^*", "*")))
    for envelope in (to(ORAN), to(SUD), to(ORAN), to(ORAN)):
        assert routes.of(envelope) == route(envelope, Places(), ALLOW)
    assert places.questions == 2
    denied = routes.of(to(ORAN, kind="ADT^A01"))
    assert denied.returns == ((ORAN, Reason.NOT_ALLOWED),), "the kind counts"
    assert routes.of(to(ORAN)).deliveries == (ORAN,)
    assert places.questions == 4, "full: all were forgotten"


def test_who_writes_to_many_fills_no_memory() -> None:
    places = Asked()
    routes = Routes(places, ALLOW)
    many = to(*(f"box{number}@chu-oran" for number in range(5)))
    assert routes.of(many) == routes.of(many)
    assert places.questions == 10
