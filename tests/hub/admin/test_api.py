"""What the console's API says and does: facilities, queues, messages, policy, people, the audit log."""

from __future__ import annotations

import json
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from crypto.fingerprint import in_words
from hub.admin.api.routes import LISTED
from hub.admin.overview import Grade
from hub.admin.tables import PASSKEYS
from hub.audit import growth
from hub.audit.tables import audit
from hub.directory import service
from hub.directory.requests import Request
from protocols.audit import receipt
from protocols.link.joincode import decode_joincode
from runtime.transactions import transact
from runtime.web import passkeys
from runtime.web.passkeys import Passkey
from runtime.web.passwords import LEAST_CHARS
from tests.hub.admin.network import PLACES
from tests.hub.admin.programs import Program, add_token, done, last_act, open_program, refused
from tests.hub.hubs import AUDIT, EPOCH_MS, ISSUER, NodeKeys

TINDOUF = "epsp-tindouf"
TWO = replace(ISSUER, two_person=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """For tests that only look: with a few policies and checkpoints, so that no list is empty."""
    with open_program(tmp_path_factory.mktemp("hub")) as found:
        for text in ('[policy]\ndefault = "deny"\n', "[policy]\n", '[policy]\ndefault = "allow"\n'):
            done(found.post("/policy/apply", {"text": text}), 201)
            transact(found.engine, lambda c: growth.seal(c, AUDIT, "hub", EPOCH_MS))
        yield found


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        yield found


def every(program: Program, path: str, limit: int) -> list[dict[str, Any]]:
    """Walk a list from its first page to its end."""
    found: list[dict[str, Any]] = []
    cursor = None
    for _ in range(200):
        asked = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        page = program.get(path, query_string=asked)
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
    raise AssertionError("the list has no end")


# ── looking ────────────────────────────────────────────────────────────────────────────────


def test_the_overview_says_what_needs_attention(shared: Program) -> None:
    seen = shared.get("/overview")
    assert (seen["facilities"], seen["active"], len(seen["hours"])) == (len(PLACES), 4, 24)
    grades = [one["grade"] for one in seen["attention"]]
    assert grades == sorted(grades, key=["fault", "warning", "note"].index)
    assert {"key-ends", "facility-silent"} <= {one["matter"] for one in seen["attention"]}
    assert len(Grade) == 3
    assert shared.get("/health") == {"answers": True, "ready": True, "checks": []}


def test_facilities_are_searched(shared: Program) -> None:
    def names(**query: object) -> list[str]:
        return [one["facility"] for one in shared.get("/facilities", query_string=query)["items"]]

    assert names() == sorted(PLACES)
    assert names(text="oran") == ["chu-oran"]
    assert names(state="suspended") == ["eph-tizi-ouzou"]
    assert names(state="away") == [TINDOUF]
    assert names(wilaya=31) == ["chu-oran", "ehs-canastel"]
    assert names(kind="chu", wilaya=31) == ["chu-oran"]


@pytest.mark.parametrize("path", ["/facilities", "/queues", f"/queues/{TINDOUF}", "/returned", "/users",
                                  "/tokens", "/audit", "/audit/checkpoints", "/policy/versions"])  # fmt: skip
def test_pages_of_any_size_are_one_list(shared: Program, path: str) -> None:
    lists = [every(shared, path, limit) for limit in (LISTED, 7, 1)]
    assert lists[0] == lists[1] == lists[2]
    assert len(lists[0]) == len({json.dumps(one) for one in lists[0]}) > 1


def test_a_list_is_whole_at_its_bound(shared: Program) -> None:
    """A page that ends just where the list does is followed by an empty one, or by none."""
    waiting = every(shared, f"/queues/{TINDOUF}", 31)
    assert len(waiting) == 31


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "Zm9v", "cXVldWU6MQ", "ZmFjaWxpdGllczo", "===", "ZmFjaWxpdGllczph\n"]
)
def test_a_cursor_of_another_list_is_refused(shared: Program, cursor: str) -> None:
    detail = refused(shared.ask("GET", "/facilities", query_string={"cursor": cursor}), 422, "bad-cursor")
    assert "cursor" in detail


def test_a_list_gives_only_so_much(shared: Program) -> None:
    for limit in ("0", "-1", str(LISTED + 1), "many", "9" * 40):
        refused(shared.ask("GET", "/users", query_string={"limit": limit}), 422, "bad-query")


def test_one_facility_with_its_traffic(shared: Program) -> None:
    found = shared.get("/facilities/chu-mustapha")
    assert found["facility"]["connected"] is True
    assert sum(hour["messages"] for hour in found["sent"]) > 0
    assert found["waiting_for_others"] == 30
    assert len(found["facility"]["keys"]["fingerprint"]["words"].split()) == 10
    assert "chu-mars" in refused(shared.ask("GET", "/facilities/chu-mars"), 404, "no-such-facility")


# ── changing ───────────────────────────────────────────────────────────────────────────────


def test_a_facility_is_invited_described_suspended_and_revoked(program: Program) -> None:
    """The console holds no keys: what it makes is what somebody makes who has the public ones."""
    wanted = {
        "title": "CHU de Batna", "kind": "chu", "wilaya": 5,
        "mailboxes": [{"name": "labo", "title": "Laboratoire", "specialty": "Biologie"}],
    }  # fmt: skip
    made = done(program.post("/facilities/chu-batna/invite", wanted), 201)
    code = decode_joincode(made["code"])
    assert (code.facility, code.authority_key) == ("chu-batna", bytes(ISSUER.authority_key))
    assert last_act(program).actor == "token:administrator@root"
    told = done(program.ask("PATCH", "/facilities/chu-batna", json={"title": "Batna"}))
    assert (told["title"], told["wilaya"]) == ("Batna", 5)
    assert told["mailboxes"] == wanted["mailboxes"]
    assert done(program.post("/facilities/chu-oran/suspend", {"reason": "x"}))["state"] == "suspended"
    refused(program.post("/facilities/chu-oran/suspend", {"reason": "y"}), 409, "suspended")
    assert last_act(program).details == '{"reason":"x"}', "what changed nothing is not noted"
    assert done(program.post("/facilities/chu-oran/resume"))["state"] == "active"
    refused(program.post("/facilities/chu-oran/resume"), 409, "not-suspended")
    assert done(program.post("/facilities/chu-oran/revoke", {"reason": "stolen"}))["serial"] == 1
    assert program.get("/facilities/chu-oran")["facility"]["state"] == "revoked"


def test_what_cannot_be_is_refused_in_words(program: Program) -> None:
    invite = "/facilities/chu-x/invite"
    assert "needs a duration" in refused(program.post(invite, {"valid_for": "long"}), 422, "bad-duration")
    assert "30 days" in refused(program.post(invite, {"valid_for": "31d"}), 422, "not-possible")
    assert "`$.wilaya`" in refused(program.post(invite, {"wilaya": 59}), 422, "bad-request")
    assert "`$.kind`" in refused(program.post(invite, {"kind": "castle"}), 422, "bad-request")
    assert "unknown field `wilayah`" in refused(program.post(invite, {"wilayah": 1}), 422, "bad-request")
    assert "reserved" in refused(program.post("/facilities/group/invite", {}), 422, "not-possible")
    refused(program.post("/facilities/chu-mars/suspend", {}), 404, "no-such-facility")
    refused(program.post("/facilities/clinique-sud/revoke", {"reason": "stolen"}), 422, "not-possible")
    for words in ({}, {"reason": ""}, {"reason": " "}):
        refused(program.post("/facilities/chu-oran/revoke", words), 422, "no-reason")
        body = {"fingerprint": "any", **words}
        refused(program.post("/facilities/chu-oran/reject", body), 422, "no-reason")


def pending(program: Program, invited_by: str) -> str:
    """Let a node of chu-batna bring keys that wait for an approval; returns their words."""
    program.role = invited_by
    made = done(program.post("/facilities/chu-batna/invite", {}), 201)
    keys, code = NodeKeys.numbered(9), decode_joincode(made["code"])
    asked = transact(
        program.engine,
        lambda c: service.grant(
            c, TWO, code.invitation, keys.link.public, keys.signing, keys.sealing, EPOCH_MS
        ),
    )
    assert isinstance(asked, Request)
    return in_words(asked.fingerprint)


def test_keys_are_approved_by_another_person_and_signed_by_the_daemon(program: Program) -> None:
    words = pending(program, "administrator")
    body = {"fingerprint": words}
    path = "/facilities/chu-batna/approve"
    refused(program.post(path, body), 409, "same-person")
    program.secrets["second"] = add_token(program.engine, "second", "administrator", maker="cli:lila")
    program.role = "second"
    refused(program.post(path, {"fingerprint": "other words"}), 409, "other-fingerprint")
    assert done(program.post(path, body))["state"] == "unsigned"
    keys = NodeKeys.numbered(9)
    request = program.get("/facilities/chu-batna")["facility"]["waiting_keys"][0]
    assert (request["for"], request["approved_by"]) == ("signature", "token:second@lila")
    transact(program.engine, lambda c: _ask_again(c, keys))
    assert program.get("/facilities/chu-batna")["facility"]["state"] == "active"


def _ask_again(connection: Any, keys: NodeKeys) -> None:
    """Do what the daemon does when the node whose keys wait asks again."""
    from hub.directory import requests  # noqa: PLC0415 - beside what it is for

    found = requests.find(connection, keys.link.public)
    assert found is not None
    service.settle(connection, TWO, found, EPOCH_MS)


def test_another_token_of_the_same_person_is_no_second_person(program: Program) -> None:
    words = pending(program, "administrator")
    for name, maker in (("again", "cli:root"), ("web", "user:root")):
        program.secrets[name] = add_token(program.engine, name, "administrator", maker=maker)
    program.role = "again"
    refused(program.post("/facilities/chu-batna/approve", {"fingerprint": words}), 409, "same-person")
    assert done(program.post("/facilities/chu-batna/reject", {"fingerprint": words, "reason": "no"}))


def test_a_policy_is_tried_compared_applied_and_taken_back(program: Program) -> None:
    assert program.get("/policy") == {"policy": None}
    deny = '[policy]\ndefault = "deny"\n'
    program.role = "administrator"
    trial = done(program.post("/policy/try", {"text": deny}, key=None))
    assert trial["refused"] == trial["looked_at"] > 0
    assert trial["by"][0]["from"] == "labo@chu-mustapha"
    assert "+default" in done(program.post("/policy/diff", {"text": deny}, key=None))["diff"]
    assert done(program.post("/policy/apply", {"text": deny, "note": "shut"}), 201) == {"number": 1}
    assert done(program.post("/policy/apply", {"text": "[policy]\n"}), 201) == {"number": 2}
    assert done(program.post("/policy/revert", {"number": 1}), 201) == {"number": 3}
    late = {"text": deny, "based_on": 2}
    refused(program.post("/policy/apply", late), 409, "changed-meanwhile")
    refused(program.post("/policy/revert", {"number": 1, "based_on": 2}), 409, "changed-meanwhile")
    now = program.get("/policy")["policy"]
    assert (now["number"], now["text"], now["author"]) == (3, deny, "token:administrator@root")
    assert program.get("/policy/versions/2")["text"] == "[policy]\n"
    refused(program.ask("GET", "/policy/versions/9"), 404, "no-such-policy")
    refused(program.post("/policy/revert", {"number": 9}), 404, "no-such-policy")
    wrong = refused(
        program.post("/policy/apply", {"text": '[policy]\ndefault = "maybe"\n'}), 422, "bad-policy"
    )
    assert "policy.default" in wrong


def test_users_are_kept(program: Program) -> None:
    wanted = {"name": "lila", "role": "viewer", "password": "a long enough one"}
    made = done(program.post("/users", wanted), 201)
    assert (made["name"], made["role"], made["active"], made["signed_in"]) == ("lila", "viewer", True, None)
    refused(program.post("/users", wanted), 409, "user-exists")
    assert done(program.post("/users/lila/role", {"role": "operator"}))["role"] == "operator"
    assert done(program.post("/users/lila/access", {"active": False}))["active"] is False
    assert done(program.post("/users/lila/password", {"password": "another long one"}))
    refused(program.post("/users/lila/password", {"password": "lila" * 4}), 422, "weak-password")
    short = refused(program.post("/users/lila/password", {"password": "short"}), 422, "bad-request")
    assert str(LEAST_CHARS) in short
    assert (
        done(program.post("/users/administrator/role", {"role": "viewer"}), 409)["code"]
        == "last-administrator"
    )
    refused(program.ask("GET", "/users/nobody"), 404, "no-such-user")
    assert program.get("/users/lila/sessions") == {"items": []}
    refused(program.post("/users/lila/sessions/end", {"session": "x"}), 404, "no-such-session")
    kept = program.sql(lambda c: repr(c.execute(select(audit)).all()))
    assert "a long enough one" not in kept


def test_passkeys_are_listed_and_removed(program: Program) -> None:
    made = Passkey(b"\x01" * 16, "viewer", "blue key", b"h", b"p", 0, EPOCH_MS, None)
    transact(program.engine, lambda c: passkeys.put(c, PASSKEYS, made))
    (listed,) = program.get("/users/viewer/passkeys")["items"]
    assert (listed["label"], listed["used"]) == ("blue key", None)
    body = {"passkey": listed["passkey"]}
    refused(program.post("/users/auditor/passkeys/remove", body), 404, "no-such-passkey")
    assert done(program.post("/users/viewer/passkeys/remove", body)) == {"items": []}
    refused(program.post("/users/viewer/passkeys/remove", {"passkey": "abc"}), 422, "bad-request")


def test_tokens_are_listed_and_revoked(program: Program) -> None:
    names = {one["name"]: one for one in program.get("/tokens")["items"]}
    assert set(names) == set(program.secrets)
    assert names["viewer"]["usable"] is True
    assert done(program.post("/tokens/viewer/revoke"))["usable"] is False
    refused(program.post("/tokens/nobody/revoke"), 404, "no-such-token")
    assert done(program.post("/tokens/administrator/revoke"))["usable"] is False
    refused(program.ask("GET", "/tokens"), 401, "unauthorized")


# ── the audit log ──────────────────────────────────────────────────────────────────────────


def test_the_log_is_searched(program: Program) -> None:
    program.role = "auditor"
    entries = program.get("/audit", query_string={"action": "user"})["items"]
    assert {one["action"] for one in entries} == {"user.added"}
    assert program.get(f"/audit/{entries[0]['number']}") == entries[0]
    assert program.get("/audit", query_string={"subject": "viewer", "actor": "cli:root"})["items"] != []
    assert program.get("/audit", query_string={"from": "2030-01-01"})["items"] == []
    assert len(program.get("/audit", query_string={"until": "2030-01-01T08:00Z"})["items"]) > 3
    refused(program.ask("GET", "/audit", query_string={"from": "yesterday"}), 422, "bad-time")
    refused(program.ask("GET", "/audit/9999"), 404, "no-such-entry")


def test_an_export_is_recorded_and_goes_on_behind_its_last(program: Program) -> None:
    program.role = "auditor"
    answer = program.ask("GET", "/audit/export", query_string={"action": "user"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (answer.mimetype, len(lines)) == ("application/x-ndjson", 4)
    act = last_act(program)
    assert (act.actor, act.action) == ("token:auditor@root", "audit.exported")
    rest = program.ask("GET", "/audit/export", query_string={"action": "user", "after": lines[1]["number"]})
    assert rest.text.splitlines() == answer.text.splitlines()[2:]
    fhir = program.ask("GET", "/audit/export", query_string={"format": "fhir", "action": "user"})
    assert {json.loads(line)["resourceType"] for line in fhir.text.splitlines()} == {"AuditEvent"}
    atna = program.ask("GET", "/audit/export", query_string={"format": "atna", "action": "user"})
    assert len(ET.fromstring(atna.text)) == 4


def test_an_entry_is_proved(program: Program) -> None:
    program.role = "auditor"
    refused(program.ask("GET", "/audit/1/proof"), 404, "nothing-to-prove")
    transact(program.engine, lambda c: growth.seal(c, AUDIT, "hub", EPOCH_MS))
    proof = program.ask("GET", "/audit/1/proof")
    proved = receipt.check(receipt.parse(proof.data), AUDIT.public)
    assert proved.about == "entry 1"
    (checkpoint,) = program.get("/audit/checkpoints")["items"]
    assert checkpoint["root"] == proved.signed.root.hex()
    refused(program.ask("GET", f"/messages/{uuid.UUID(int=77)}/proof"), 404, "nothing-to-prove")
    assert msgspec.json.decode(proof.data)["format"] == receipt.FORMAT
