"""Admission and policy in the console: two persons, the right keys, stale forms, and what people type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, select

from config.hub import HubSettings
from crypto.fingerprint import in_words
from hub.admin import authority, facilities, users
from hub.admin import policy as policies
from hub.admin.console.app import make_console
from hub.admin.console.context import Console
from hub.admin.facilities import FacilityState
from hub.audit.tables import audit
from hub.directory import requests, service, store
from hub.directory.policies import parse
from hub.directory.requests import Request
from hub.home import HubHomeError
from protocols.link.joincode import decode_joincode
from runtime.transactions import read, transact
from tests.hub.admin.consoles import PASSWORDS, Browser, open_console
from tests.hub.admin.network import PASSWORD
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, ISSUER, NodeKeys

TWO = replace(ISSUER, two_person=True)
PUBLIC = replace(TWO, authority=AUTHORITY.public)
"""What the console has: no private key."""
NEW = "chu-bejaia"
POLICY = '[policy]\ndefault = "allow"\n\n[[policy.rule]]\neffect = "deny"\nkind = "ORU^R01"\n'


@dataclass(frozen=True)
class Opened:
    """A console with two administrators before it."""

    app: Flask
    amina: Browser
    karim: Browser
    engine: Engine
    console: Console

    def one(self, name: str = NEW) -> facilities.Facility:
        """Return a facility."""
        return read(self.engine, lambda c: facilities.one(c, name))

    def acts(self, subject: str = NEW) -> list[tuple[str, str]]:
        """Return who did what to a subject."""
        query = select(audit.c.actor, audit.c.action).where(audit.c.subject == subject)
        return [(row.actor, row.action) for row in read(self.engine, lambda c: c.execute(query).all())]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with open_console(tmp_path) as (_, made, engine):
        console = replace(made, issuer=lambda: PUBLIC)
        app = make_console(console)
        browsers = []
        for name in ("amina", "karim"):
            hashed = PASSWORDS.hash(name, PASSWORD)
            transact(engine, partial(_administrator, name=name, hashed=hashed))
            browsers.append(Browser(app))
            browsers[-1].sign_in(name)
            browsers[-1].get("/?lang=en")
        yield Opened(app, browsers[0], browsers[1], engine, console)


def _administrator(connection: Connection, name: str, hashed: str, maker: str = "cli:test") -> None:
    users.add(connection, name, "administrator", hashed, actor=maker, now_ms=EPOCH_MS)


def invite(opened: Opened, **values: str) -> str:
    """Invite a facility as Amina; returns the code."""
    form = {"facility": NEW, "valid": "24", "mailboxes": "labo | Biologie | Laboratoire\ncardio", **values}
    page = opened.amina.post("/admission/invite", form)
    assert page.status_code == 200, page.text
    found = re.search(r"<textarea[^>]*>([^<]+)</textarea>", page.text)
    assert found is not None
    return found[1]


def ask(opened: Opened, code: str, number: int = 9) -> str:
    """Let a node ask with a code; returns its fingerprint as the page's form carries it."""
    keys, invitation = NodeKeys.numbered(number), decode_joincode(code).invitation
    found = transact(
        opened.engine,
        lambda c: service.grant(c, TWO, invitation, keys.link.public, keys.signing, keys.sealing, EPOCH_MS),
    )
    assert isinstance(found, Request)
    return found.fingerprint.hex()


# ── inviting ───────────────────────────────────────────────────────────────────────────────


def test_an_invitation_is_shown_once(opened: Opened) -> None:
    code = invite(opened, title="CHU de Béjaïa", kind="chu", wilaya="6")
    assert code not in opened.amina.get("/admission").text
    assert NEW in opened.amina.get("/admission").text
    one = opened.one()
    assert (one.title, one.kind, one.wilaya, one.state) == ("CHU de Béjaïa", "chu", 6, FacilityState.INVITED)
    assert [(b.name, b.specialty, b.title) for b in one.mailboxes] == [
        ("cardio", "", "cardio"),
        ("labo", "Biologie", "Laboratoire"),
    ]
    assert opened.acts() == [("user:amina", "facility.invited")]


@pytest.mark.parametrize(
    "values",
    [
        {"facility": "CHU"},
        {"facility": ""},
        {"facility": "<b>"},
        {"mailboxes": "La bo"},
        {"mailboxes": "\n".join(f"m{n}" for n in range(5_000))},
        {"mailboxes": "labo | " + "x" * 5_000},
        {"title": "x" * 5_000},
        {"kind": "palace"},
        {"valid": "1000000"},
    ],
)
def test_what_cannot_be_invited_is_said_beside_the_field(opened: Opened, values: dict[str, str]) -> None:
    form = {"facility": NEW, "valid": "24", "mailboxes": "", **values}
    page = opened.amina.post("/admission/invite", form)
    assert page.status_code == 422
    assert "There is a problem" in page.text
    assert "<b></h" not in page.text
    assert NEW not in {one.facility for one in read(opened.engine, facilities.listing)}


def test_without_the_hubs_public_keys_nobody_is_invited(opened: Opened) -> None:
    def missing() -> service.Issuer:
        raise HubHomeError("public.json is missing")

    app = make_console(replace(opened.console, issuer=missing))
    browser = Browser(app)
    browser.sign_in("amina")
    browser.get("/?lang=en")
    page = browser.post("/admission/invite", {"facility": NEW, "valid": "24"})
    assert (page.status_code, "public keys" in page.text) == (422, True)


# ── approving ──────────────────────────────────────────────────────────────────────────────


def test_another_administrator_approves_what_was_compared(opened: Opened) -> None:
    key = ask(opened, invite(opened))
    words = in_words(bytes.fromhex(key)).split()
    page = opened.karim.get(f"/admission/{NEW}?key={key}").text
    assert [word in page for word in words] == [True] * 10
    form = {"key": key, "compared": "1"}
    assert opened.karim.post(f"/admission/{NEW}/approve", {"key": key}).status_code == 422, "not compared"
    own = opened.amina.post(f"/admission/{NEW}/approve", form)
    assert (own.status_code, "another administrator has to decide" in own.text) == (422, True)
    assert "You made this invitation" in own.text
    hashed = PASSWORDS.hash("sara", PASSWORD)
    transact(opened.engine, partial(_administrator, name="sara", hashed=hashed, maker="user:amina"))
    sara = Browser(opened.app)
    sara.sign_in("sara")
    sara.get("/?lang=en")
    page = sara.get(f"/admission/{NEW}?key={key}").text
    assert "Another administrator has to approve, or you from <time" in page
    assert f"/admission/{NEW}/approve" not in page
    assert opened.karim.post(f"/admission/{NEW}/approve", form).status_code == 303
    assert opened.one().state is FacilityState.UNSIGNED, "the console has no key: the daemon signs"
    assert ("user:karim", "facility.approved") in opened.acts()
    late = opened.karim.post(f"/admission/{NEW}/approve", form)
    assert late.status_code == 422, "two at once"


def test_the_daemon_signs_when_the_node_asks_again(opened: Opened) -> None:
    code = invite(opened)
    key = ask(opened, code)
    opened.karim.post(f"/admission/{NEW}/approve", {"key": key, "compared": "1"})
    keys, invitation = NodeKeys.numbered(9), decode_joincode(code).invitation
    granted = transact(
        opened.engine,
        lambda c: service.grant(c, TWO, invitation, keys.link.public, keys.signing, keys.sealing, EPOCH_MS),
    )
    assert isinstance(granted, store.CredentialRow)
    assert opened.one().state is FacilityState.ACTIVE


def test_a_form_for_other_keys_approves_nothing(opened: Opened) -> None:
    """While the page was open the keys were rejected, and another node asked."""
    stale = ask(opened, invite(opened))
    opened.karim.post(f"/admission/{NEW}/reject", {"key": stale, "reason": "other words"})
    ask(opened, invite(opened), number=10)
    late = opened.karim.post(f"/admission/{NEW}/approve", {"key": stale, "compared": "1"})
    assert (late.status_code, "compare them anew" in late.text) == (422, True)
    assert opened.one().state is FacilityState.PENDING
    assert opened.karim.get(f"/admission/{NEW}?key={stale}").status_code == 404


def test_keys_are_rejected_with_a_reason(opened: Opened) -> None:
    key = ask(opened, invite(opened))
    assert opened.karim.post(f"/admission/{NEW}/reject", {"key": key, "reason": ""}).status_code == 422
    assert opened.karim.post(f"/admission/{NEW}/reject", {"key": key, "reason": "x" * 300}).status_code == 422
    assert opened.karim.post(f"/admission/{NEW}/reject", {"key": key, "reason": "no"}).status_code == 303
    assert read(opened.engine, requests.waiting) == []
    assert opened.karim.post("/admission/chu-mars/approve", {"key": key, "compared": "1"}).status_code == 404


def test_a_title_is_text_wherever_it_is_shown(opened: Opened) -> None:
    title = "<img src=x onerror=alert(1)>"
    key = ask(opened, invite(opened, title=title))
    for path in ("/admission", f"/admission/{NEW}?key={key}", "/network", f"/network/{NEW}",
                 f"/network/{NEW}/describe", f"/network/{NEW}/revoke"):  # fmt: skip
        page = opened.karim.get(path)
        assert page.status_code == 200, path
        assert "<img" not in page.text, path


# ── describing, revoking ───────────────────────────────────────────────────────────────────


def test_a_facility_is_described(opened: Opened) -> None:
    page = opened.amina.get("/network/chu-oran/describe").text
    assert "labo" in page
    values = {"title": "CHU Oran", "kind": "chu", "wilaya": "31", "mailboxes": "labo | Biologie\nurgences"}
    assert opened.amina.post("/network/chu-oran/describe", values).status_code == 303
    one = opened.one("chu-oran")
    assert one.title == "CHU Oran"
    assert {box.name for box in one.mailboxes} == {"accueil", "labo", "urgences"}
    assert opened.amina.post("/network/chu-oran/describe", {"mailboxes": "A B"}).status_code == 422
    assert opened.amina.post("/network/chu-mars/describe", values).status_code == 404


def test_keys_are_revoked_by_who_typed_the_name_and_signed_by_the_daemon(opened: Opened) -> None:
    page = "/network/chu-oran/revoke"
    assert opened.amina.post(page, {"name": "chu-ora", "reason": "stolen"}).status_code == 422
    assert opened.amina.post(page, {"name": "chu-oran", "reason": ""}).status_code == 422
    assert opened.one("chu-oran").state is FacilityState.ACTIVE
    assert opened.amina.post(page, {"name": "chu-oran", "reason": "stolen"}).status_code == 303
    assert opened.one("chu-oran").state is FacilityState.REVOKED
    assert ("user:amina", "facility.revoked") in opened.acts("chu-oran")
    assert read(opened.engine, authority.has_unsigned)
    transact(opened.engine, lambda c: authority.sign_revocations(c, AUTHORITY, EPOCH_MS + DAY_MS))
    assert not read(opened.engine, authority.has_unsigned)


# ── policy ─────────────────────────────────────────────────────────────────────────────────


def test_a_policy_is_tried_and_applied(opened: Opened) -> None:
    edit = opened.amina.get("/policy/edit").text
    assert "[policy]" in edit
    preview = opened.amina.post("/policy/preview", {"text": POLICY, "based_on": "0"})
    assert preview.status_code == 200
    assert "labo@chu-mustapha" in preview.text, "what it would have refused"
    assert read(opened.engine, policies.history) == [], "a preview changes nothing"
    values = {"text": POLICY, "based_on": "0", "note": "<i>results</i>"}
    assert opened.amina.post("/policy/apply", values).status_code == 303
    shown = opened.karim.get("/policy").text
    assert "ORU^R01" in shown
    assert "&lt;i&gt;results" in shown
    assert "deny" in opened.karim.get("/policy/1").text
    assert opened.acts("1") == [("user:amina", "policy.applied")]


def test_a_policy_of_too_many_lines_is_applied_uncompared(opened: Opened) -> None:
    long = {"text": POLICY + "\n" * policies.DIFF_LINES, "based_on": "0"}
    preview = opened.amina.post("/policy/preview", long)
    assert (preview.status_code, "more than 2,000 lines" in preview.text) == (200, True)
    assert "labo@chu-mustapha" in preview.text, "what it would have refused is told all the same"
    assert opened.amina.post("/policy/apply", long).status_code == 303
    assert "more than 2,000 lines" in opened.karim.get("/policy/1").text


def test_two_who_change_the_policy_at_once_see_each_other(opened: Opened) -> None:
    assert opened.amina.post("/policy/apply", {"text": POLICY, "based_on": "0"}).status_code == 303
    other = {"text": '[policy]\ndefault = "deny"\n', "based_on": "0"}
    late = opened.karim.post("/policy/apply", other)
    assert (late.status_code, "another policy meanwhile" in late.text) == (422, True)
    assert len(read(opened.engine, policies.history)) == 1
    assert opened.karim.post("/policy/apply", {**other, "based_on": "1"}).status_code == 303


def test_going_back_is_previewed_and_another_version(opened: Opened) -> None:
    opened.amina.post("/policy/apply", {"text": POLICY, "based_on": "0"})
    opened.amina.post("/policy/apply", {"text": '[policy]\ndefault = "deny"\n', "based_on": "1"})
    page = opened.amina.get("/policy/1/again").text
    assert 'value="back to 1"' in page
    assert 'name="based_on" value="2"' in page
    assert opened.amina.get("/policy/9/again").status_code == 404
    assert opened.amina.get("/policy/x").status_code == 404


@pytest.mark.parametrize(
    "text", ["nonsense", "[policy]\ndefault = 7", "x = " * 20_000, "</textarea><script>"]
)
def test_what_is_no_policy_is_said_and_changes_nothing(opened: Opened, text: str) -> None:
    for path in ("/policy/preview", "/policy/apply"):
        page = opened.amina.post(path, {"text": text, "based_on": "0"})
        assert page.status_code in {413, 422}
        assert "<script>" not in page.text
    assert read(opened.engine, policies.history) == []


def test_the_policy_of_the_settings_is_where_one_begins() -> None:
    text = policies.as_text(HubSettings().policy)
    assert parse(text) == HubSettings().policy
