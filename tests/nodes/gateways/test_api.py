"""The local API as an application: what it does, what it refuses, and that it says so in a fixed form."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.fields import HostPort
from nodes.gateways.api import bounds
from nodes.gateways.api.access import TOKEN_FILE, load_token
from nodes.gateways.api.table import ROUTES
from nodes.link import addressbook, tracking
from nodes.link.errors import NodeError
from nodes.link.ids import id_text, new_id, parse_id
from protocols.link.envelope import Priority, State
from runtime import transactions
from runtime.storage_errors import DatabaseLocked, StorageFailed
from runtime.web.problems import Problem
from tests.nodes.fixtures import Station, fail_syncs, open_station
from tests.nodes.gateways.api_ends import Caller, attach, open_caller
from tests.nodes.gateways.folders import hl7


@pytest.fixture
def api(station: Station) -> Iterator[Caller]:
    with open_caller(station) as caller:
        yield caller


def refused(answer: Any, status: int, code: str | None = None) -> Problem:
    """Check that this is a problem as RFC 9457 has it, and return it."""
    assert answer.status_code == status, answer.get_data()
    assert answer.content_type == "application/problem+json"
    problem = msgspec.json.decode(answer.get_data(), type=Problem)
    assert problem.status == status
    assert problem.detail
    if code is not None:
        assert problem.code == code
    return problem


# ── access ─────────────────────────────────────────────────────────────────────────────────


def test_the_token_is_secret_and_stays(tmp_path: Path) -> None:
    token = load_token(tmp_path)
    assert len(token) == 64
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert load_token(tmp_path) == token
    (tmp_path / TOKEN_FILE).chmod(0o640)
    with pytest.raises(NodeError, match="chmod 0600"):
        load_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(0o600)
    (tmp_path / TOKEN_FILE).write_text("short")
    with pytest.raises(NodeError, match="remove it"):
        load_token(tmp_path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "given", [None, "Bearer ", "Bearer 0", "Basic x", "{token}", "Bearer {token}0", "Bearer é"]
)
def test_nothing_is_done_without_the_token(api: Caller, route: Any, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.format(token=api.token)}
    path = route.path.format(id=id_text(bytes(16)), number=1)
    answer = api.http.open(path, method=route.method, headers=headers, data=b"{}")
    refused(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.token not in answer.text


@pytest.mark.parametrize("path", ["/", "/v2", "/openapi.json/", "/v1/messages/", "/openapi.json2"])
def test_unknown_paths_say_nothing_without_the_token(api: Caller, path: str) -> None:
    refused(api.http.get(path), 401)
    refused(api.get(path), 404)


def test_the_document_needs_no_token(api: Caller) -> None:
    answer: Any = api.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json["openapi"] == "3.1.0"
    assert api.token not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7611", "127.0.0.1.evil.example", "", "10.0.0.9", "[::2]"]
)
def test_another_host_is_refused_even_with_the_token(api: Caller, host: str) -> None:
    refused(api.get("/v1/status", headers={"Host": host}), 421, "wrong-host")
    refused(api.http.get("/openapi.json", headers={"Host": host}), 421, "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7611", "127.0.0.1:7611", "[::1]:7611", "127.0.0.1"])
def test_loopback_names_are_right(api: Caller, host: str) -> None:
    assert api.get("/v1/status", headers={"Host": host}).status_code == 200


def test_a_node_that_listens_everywhere_takes_addresses_but_no_names(station: Station) -> None:
    with open_caller(station, listen=HostPort("0.0.0.0", 1)) as api:
        assert api.get("/v1/status", headers={"Host": "10.1.2.3:7611"}).status_code == 200
        refused(api.get("/v1/status", headers={"Host": "evil.example"}), 421)


def test_no_page_in_a_browser_may_read_it(api: Caller) -> None:
    answer = api.ask("OPTIONS", "/v1/messages", headers={"Origin": "http://evil.example"})
    refused(answer, 405)
    answer = api.get("/v1/status", headers={"Origin": "http://evil.example"})
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# ── sending ────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_sent_with_all_that_was_said(api: Caller) -> None:
    uploads = [api.upload(b"s" * 300_000), api.upload(b"", "تقرير.png")]
    answer = api.send(
        to=["labo@chu-oran", "accueil@clinique-sud"], kind="MDM^T02", subject="s", patient="77",
        priority="stat", valid_for="2d", id="k", body=None,
        body_base64=base64.b64encode(b"\x00\xff").decode(), attachments=uploads,
    )  # fmt: skip
    assert answer.status_code == 201
    assert answer.json["state"] == "queued"
    assert answer.json["fresh"] is True
    (sent,) = api.station.sent()
    assert (sent.sender, sent.kind, sent.subject, sent.patient, sent.priority, sent.key) == (
        "labo@chu-alger", "MDM^T02", "s", "77", Priority.STAT, "k",
    )  # fmt: skip
    assert sent.expires_ms - sent.created_ms == 2 * 86_400_000
    content, body = api.station.do(lambda c: tracking.open_content(c, sent.id, api.station.home))
    assert body == b"\x00\xff"
    assert [file.name for file in content.files] == ["scan.dcm", "تقرير.png"]
    assert len(api.wakes) == 1
    assert not list((api.station.home / "uploads").glob("*.data")), "what was sealed is not kept twice"


def test_hl7_text_tells_its_kind_and_goes_as_it_came(api: Caller) -> None:
    assert api.send(body=hl7().decode()).status_code == 201
    (sent,) = api.station.sent()
    assert sent.kind == "ADT^A01"
    assert api.station.body_of(sent.id) == hl7()


def test_the_same_id_is_the_same_message(api: Caller) -> None:
    uploads = [api.upload(b"scan")]
    first = api.send(id="k", attachments=uploads)
    again = api.send(id="k", attachments=uploads)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == {"id": first.json["id"], "state": "queued", "fresh": False}
    anew = api.send(id="k", attachments=[api.upload(b"scan")])
    assert anew.json["id"] == first.json["id"], "uploaded again, the same content is the same message"
    refused(api.send(id="k", attachments=uploads, body="other"), 409, "key-conflict")
    refused(api.send(id="k", attachments=[api.upload(b"other")]), 409, "key-conflict")
    refused(api.send(id="k2", attachments=uploads), 409, "upload-used")
    assert len(api.station.sent()) == 1
    assert len(list((api.station.home / "outgoing").iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "status", "code", "says"),
    [
        ({"to": []}, 422, "bad-request", "`$.to`"),
        ({"to": "labo@chu-oran"}, 422, "bad-request", "array"),
        ({"to": ["labo"]}, 422, "bad-address", "'labo'"),
        ({"to": ["labo@nowhere"]}, 422, "unknown-facility", "nowhere"),
        ({"to": ["x@chu-oran"]}, 422, "unknown-mailbox", "it has: labo, cardio"),
        ({"to": ["x@group"]}, 422, "unknown-group", "'x'"),
        ({"from": "nobody"}, 422, "unknown-sender", "it has: cardio, labo, urgences"),
        ({"from": "labo@chu-oran"}, 422, "foreign-sender", "chu-alger only"),
        ({"kind": "a b"}, 422, "bad-kind", "'a b'"),
        ({"valid_for": "never"}, 422, "valid-for", "needs a duration"),
        ({"valid_for": "900d"}, 422, "valid-for", "90 days"),
        ({"priority": "high"}, 422, "bad-request", "`$.priority`"),
        ({"subject": "s" * 201}, 422, "bad-request", "`$.subject`"),
        ({"subjekt": "s"}, 422, "bad-request", "subjekt"),
        ({"body": None}, 422, "nothing-to-send", "`body`"),
        ({"body_base64": "eA=="}, 422, "two-bodies", "not both"),
        ({"body": None, "body_base64": "?"}, 422, "bad-request", "`$.body_base64`"),
        ({"body": "MSH|^~\\&|a|b|c|d|||ADT^A01||P|2.5\r"}, 422, "malformed-hl7", "MSH-10"),
        ({"attachments": [id_text(bytes(16))]}, 422, "unknown-upload", "no upload"),
        ({"attachments": ["../../../../etc/passwd/aaaaaaaaaaaaa"]}, 422, "unknown-upload", "etc/passwd"),
        ({"attachments": [id_text(bytes(16))] * 2}, 422, "attached-twice", "twice"),
        ({"attachments": [id_text(bytes(16))] * 33}, 422, "bad-request", "`$.attachments`"),
    ],
)
def test_wrong_requests_change_nothing_and_say_what_is_right(
    api: Caller, change: dict[str, Any], status: int, code: str, says: str
) -> None:
    assert says in refused(api.send(**change), status, code).detail
    assert api.station.sent() == []
    assert not (api.station.home / "outgoing").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff", 400), (b'{"to": "\xff"}', 400), (b"[]", 422), (b"null", 422),
        (b"[" * 100_000, 422), (b'{"to":' + b"[" * 100_000, 422), (b'{"x":' * 100_000, 422),
        (b'{"subject":"\\ud800"}', 400), (b"1" * 100_000, 422),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(api: Caller, body: bytes, status: int) -> None:
    answer = api.post("/v1/messages", data=body, content_type="application/json")
    assert answer.status_code in {status, 400, 422}
    refused(answer, answer.status_code)


def test_other_content_types_are_refused(api: Caller) -> None:
    refused(api.post("/v1/messages", data=b"{}", content_type="text/plain"), 415)
    refused(api.post("/v1/messages", data={"to": "x"}), 415)
    refused(api.post("/v1/uploads", data=b"x", content_type="multipart/form-data; boundary=x"), 415)


def test_a_body_over_the_bound_is_refused(api: Caller) -> None:
    huge = b'{"body":"' + b"x" * bounds.JSON_BYTES + b'"}'
    refused(api.post("/v1/messages", data=huge, content_type="application/json"), 413)


def test_a_full_disk_refuses_before_anything_is_taken(tmp_path: Path) -> None:
    with open_station(tmp_path) as station, open_caller(station, floor_bytes=1 << 62) as api:
        refused(api.send(), 507, "no-room")
        refused(api.post("/v1/uploads", data=b"x"), 507, "no-room")
        assert station.sent() == []
        assert list((station.home / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(DatabaseLocked("locked"), 503), (StorageFailed("EIO"), 500), (ZeroDivisionError(), 500)],
)
def test_trouble_is_said_and_a_failed_disk_ends_the_daemon(
    api: Caller, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tracking, "latest", fail)
    problem = refused(api.get("/v1/messages"), status)
    assert "EIO" not in problem.detail
    assert api.fatal == ([error] if isinstance(error, StorageFailed) else [])


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_keeps_no_upload_and_ends_the_daemon(
    api: Caller, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fail_syncs(monkeypatch, call)
    refused(api.post("/v1/uploads", query_string={"name": "a"}, data=b"x"), 500)
    assert [type(error) for error in api.fatal] == [StorageFailed]
    assert not [path for path in (api.station.home / "uploads").iterdir() if path.suffix == ".json"]


def test_a_disk_that_fails_during_the_commit_leaves_the_message_its_files(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite may have committed and not have got the answer: the message must not lose what is its own."""
    upload = api.upload(b"scan")

    def failing(*arguments: Any) -> None:
        transactions.transact(*arguments)
        raise StorageFailed("EIO")

    with monkeypatch.context() as patch:
        patch.setattr("nodes.gateways.api.sending.transact", failing)
        refused(api.send(attachments=[upload]), 500)
    assert len(api.station.sent()) == 1
    assert len(list((api.station.home / "outgoing").iterdir())) == 1


# ── uploads ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "..", "a\r\nX: y", "\\\\host\\x", "x" * 255, "\u202egpj.exe"]
)
def test_hostile_names_are_made_harmless(api: Caller, name: str) -> None:
    answer = api.post("/v1/uploads", query_string={"name": name}, data=b"x")
    assert answer.status_code == 201
    assert "/" not in answer.json["name"]
    assert answer.json["name"].isprintable()
    assert not answer.json["name"].startswith(".")
    assert len(list((api.station.home / "uploads").iterdir())) == 2


def test_uploads_that_nobody_used_go_after_a_day(api: Caller) -> None:
    api.upload(b"x")
    kept = api.upload(b"y")
    part, file = api.node.uploads.begin()
    file.close()
    now_ms = api.station.clock.now_ms()
    directory = api.station.home / "uploads"
    for path in directory.iterdir():
        os.utime(path, (now_ms / 1000, now_ms / 1000))
    assert api.node.uploads.sweep(now_ms + bounds.UPLOAD_KEPT_MS - 1_000) == 0
    fresh = parse_id(kept)
    assert fresh is not None
    for path in directory.glob(f"{fresh.hex()}*"):
        os.utime(path, (now_ms / 1000 + 100, now_ms / 1000 + 100))
    assert api.node.uploads.sweep(now_ms + bounds.UPLOAD_KEPT_MS + 1_000) == 3
    assert not part.exists()
    assert api.send(attachments=[kept]).status_code == 201


# ── what was sent ──────────────────────────────────────────────────────────────────────────


def test_what_was_sent_can_be_followed(api: Caller) -> None:
    identifier = api.send(subject="first").json["id"]
    api.send(subject="second")
    raw = parse_id(identifier)
    assert raw is not None
    api.station.mark(raw, "labo@chu-oran", State.REFUSED, code="AE", answer=b"no such patient")
    shown = api.get(f"/v1/messages/{identifier}").json
    assert (shown["state"], shown["reason"]) == ("returned", "AE")
    assert base64.b64decode(shown["recipients"][0]["answer"]) == b"no such patient"
    assert [step["state"] for step in shown["history"]] == ["queued", "returned"]
    assert [one["subject"] for one in api.get("/v1/messages").json["messages"]] == ["second", "first"]
    assert len(api.get("/v1/messages?limit=1").json["messages"]) == 1
    assert [one["subject"] for one in api.get("/v1/messages?unsettled=true").json["messages"]] == ["second"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/inbox"])
@pytest.mark.parametrize("identifier", ["x", "..", "%2e%2e", "%00", "1" * 5000, "{0}", "..%2f..%2fnode.db"])
def test_ids_that_are_none_are_not_found(api: Caller, path: str, identifier: str) -> None:
    refused(api.get(f"{path}/{identifier}"), 404)
    refused(api.get(f"{path}/{id_text(new_id(1))}"), 404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=",
        "limit=9999999999999999999999",
        "x=1",
        "state=x",
        "mailbox=..",
    ],
)
def test_queries_that_are_wrong_are_refused(api: Caller, query: str) -> None:
    refused(api.get(f"/v1/inbox?{query}"), 422, "bad-query")
    refused(api.get("/v1/status?x=1"), 422, "bad-query")


# ── what arrived ───────────────────────────────────────────────────────────────────────────


def test_what_is_not_what_arrived_any_more_is_not_handed_on(api: Caller) -> None:
    seq = api.station.receive(b"x" * 70_000, body_path="body")
    attach(api.station, seq, "a.png", b"0123456789")
    identifier = id_text(api.station.inbox_row(seq).id)
    (api.station.home / "body").write_bytes(b"x" * 69_999)
    (api.station.home / f"received-{seq}-0").write_bytes(b"0123456780")
    for what in ("body", "attachments/1"):
        refused(api.get(f"/v1/inbox/{identifier}/{what}"), 500, "damaged")


def test_what_arrived_is_shown_fetched_and_acknowledged(api: Caller) -> None:
    seq = api.station.receive(hl7())
    attach(api.station, seq, 'a"\r\nX: y.png', b"0123456789")
    api.station.receive(b"other", recipient="cardio@chu-alger")
    identifier = id_text(api.station.inbox_row(seq).id)
    (shown,) = api.get("/v1/inbox?mailbox=labo&state=delivered").json["messages"]
    assert shown == api.get(f"/v1/inbox/{identifier}").json
    assert (shown["from"], shown["to"], shown["state"]) == ("labo@chu-oran", "labo@chu-alger", "delivered")
    assert api.get(f"/v1/inbox/{identifier}/body").data == hl7()
    fetched = api.get(f"/v1/inbox/{identifier}/attachments/1")
    assert fetched.data == b"0123456789"
    assert fetched.headers["Content-Disposition"].startswith("attachment")
    assert "X" not in dict(fetched.headers)
    for wrong in ("0", "2", "x", "-1", "99999999", "..", "¹"):
        refused(api.get(f"/v1/inbox/{identifier}/attachments/{wrong}"), 404)
    for _ in range(2):
        done = api.post(f"/v1/inbox/{identifier}/acknowledge", {"outcome": "processed"})
        assert done.json == {"id": identifier, "to": "labo@chu-alger", "state": "processed"}
    refused(api.post(f"/v1/inbox/{identifier}/acknowledge", {"outcome": "refused"}), 409, "concluded-before")
    assert len(api.station.receipts()) == 1
    assert api.get("/v1/inbox?mailbox=labo&state=delivered").json["messages"] == []
    assert len(api.get("/v1/inbox").json["messages"]) == 2
    assert len(api.wakes) == 3


def test_a_refusal_reaches_the_sender(api: Caller) -> None:
    seq = api.station.receive(hl7())
    identifier = id_text(api.station.inbox_row(seq).id)
    api.post(f"/v1/inbox/{identifier}/acknowledge", {"outcome": "refused", "text": "not our patient"})
    assert api.get(f"/v1/inbox/{identifier}").json["state"] == "returned"
    assert [State(row.state) for row in api.station.receipts()] == [State.REFUSED]
    refused(api.post(f"/v1/inbox/{identifier}/acknowledge", {"outcome": "maybe"}), 422)


def test_a_refusal_is_kept_although_its_text_cannot_be_sealed(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    unusable = api.station.network.unusable("chu-oran")
    monkeypatch.setattr(addressbook, "credentials_of", lambda *_: (unusable,))
    seq = api.station.receive(hl7())
    identifier = id_text(api.station.inbox_row(seq).id)
    done = api.post(f"/v1/inbox/{identifier}/acknowledge", {"outcome": "refused", "text": "not ours"})
    assert done.json["state"] == "returned"
    assert [code for code, _ in api.alarms] == ["bad-sealing-key"]


def test_one_message_for_two_mailboxes_asks_which(api: Caller) -> None:
    from sqlalchemy import update  # noqa: PLC0415 - only here

    from nodes.link import tables  # noqa: PLC0415 - only here

    seqs = [api.station.receive(b"x", recipient=f"{box}@chu-alger") for box in ("labo", "cardio")]
    raw = api.station.inbox_row(seqs[0]).id
    api.station.do(lambda c: c.execute(update(tables.inbox).values(id=raw)))
    path = f"/v1/inbox/{id_text(raw)}"
    assert "cardio@chu-alger" in refused(api.get(path), 409, "several-mailboxes").detail
    refused(api.post(f"{path}/acknowledge", {"outcome": "processed"}), 409, "several-mailboxes")
    done = api.post(f"{path}/acknowledge?mailbox=cardio", {"outcome": "processed"})
    assert done.json["to"] == "cardio@chu-alger"
    assert api.get(f"{path}?mailbox=labo").json["state"] == "delivered"
    refused(api.get(f"{path}?mailbox=urgences"), 404)


@pytest.mark.parametrize(
    ("given", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"), ("bytes=4-", 206, b"456789"), ("bytes=-2", 206, b"89"),
        ("bytes=0-999", 206, b"0123456789"), ("bytes=10-", 416, None), ("bytes=3-1", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"), ("x", 200, b"0123456789"),
    ],
)  # fmt: skip
def test_ranges(api: Caller, given: str, status: int, body: bytes | None) -> None:
    seq = api.station.receive(b"x")
    attach(api.station, seq, "a.png", b"0123456789")
    path = f"/v1/inbox/{id_text(api.station.inbox_row(seq).id)}/attachments/1"
    answer = api.get(path, headers={"Range": given})
    assert answer.status_code == status
    if body is not None:
        assert answer.data == body
        assert answer.headers["Content-Length"] == str(len(body))
    stale = api.get(path, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert stale.data == b"0123456789"
    tag = answer.headers.get("ETag", "")
    if tag:
        assert api.get(path, headers={"Range": "bytes=0-3", "If-Range": tag}).data == b"0123"
    head = api.ask("HEAD", path)
    assert (head.headers["Content-Length"], head.data) == ("10", b"")


# ── directory and status ───────────────────────────────────────────────────────────────────


def test_directory_and_status(api: Caller) -> None:
    api.send()
    entries = {entry["name"]: entry for entry in api.get("/v1/directory").json["entries"]}
    assert [box["name"] for box in entries["chu-oran"]["mailboxes"]] == ["labo", "cardio"]
    assert entries["garde"]["members"] == ["labo@chu-oran", "accueil@clinique-sud"]
    status = api.get("/v1/status").json
    assert (status["facility"], status["connected"], status["queued"]) == ("chu-alger", True, 1)
    assert status["oldest_queued"].endswith("Z")


def test_handlers_use_an_engine_of_their_own(api: Caller) -> None:
    assert api.node.engine is not api.station.engine
    assert transactions.read(api.node.engine, tracking.queue_depth) == (0, None)
