"""Who may ask the console's API, and what: every route in every role, tokens, rates, hosts, methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub.admin import tokens, users
from hub.admin.api import access
from hub.admin.api.app import BODY_BYTES, beside
from hub.admin.api.table import DOCUMENT, PREFIX, ROUTES
from hub.admin.roles import GRANTS, Role
from hub.admin.tables import api_answers, api_tokens
from hub.audit.journal import person_of
from hub.audit.tables import audit
from runtime.transactions import transact
from runtime.web import signin
from runtime.web.passwords import Passwords
from runtime.web.problems import ApiError
from tests.hub.admin.programs import MAKER, Program, add_token, open_program, refused
from tests.hub.hubs import DAY_MS, EPOCH_MS

PARTS = {"facility": "nobody", "name": "nobody", "id": "00000000-0000-0000-0000-000000000000", "number": "7"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with open_program(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
def shared(opened: Program) -> Program:
    """For tests that change nothing but the role."""
    opened.role = "administrator"
    return _later(opened)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        yield found


def paths() -> list[tuple[str, str, str]]:
    return [(one.method, one.path.removeprefix(PREFIX).format(**PARTS), one.needs) for one in ROUTES]


@pytest.mark.parametrize("role", Role)
def test_nobody_gets_what_the_role_does_not_grant(shared: Program, role: Role) -> None:
    shared.role = str(role)
    for method, path, needs in paths():
        answer = shared.ask(method, path)
        if needs in GRANTS[role]:
            assert answer.status_code not in {401, 403, 500}, (method, path, answer.text)
        else:
            refused(answer, 403, "forbidden")


def test_every_route_needs_a_permission() -> None:
    assert all(one.needs for one in ROUTES)
    assert {one.changes for one in ROUTES if one.method != "GET"} == {True, False}
    looked = {one.name for one in ROUTES if one.method == "POST" and not one.changes}
    assert looked == {"diffPolicy", "tryPolicy"}, "whatever else is posted changes something"


@pytest.mark.parametrize(("method", "path", "needs"), paths(), ids=str)
def test_strangers_get_nothing(shared: Program, method: str, path: str, needs: str) -> None:
    del needs
    for header in ("", "Bearer", "Bearer nonsense", "Basic dTpw", f"Token {shared.secrets['viewer']}"):
        shared.console.clock._task_clock.advance(120)  # type: ignore[attr-defined]  # a simulated one
        answer = shared.ask(method, path, headers={"Authorization": header})
        assert answer.status_code in {401, 429}
    assert "wasl-hub token create" in refused(
        _later(shared).ask(method, path, headers={"Authorization": ""}), 401, "unauthorized"
    )


def _later(program: Program) -> Program:
    program.console.clock._task_clock.advance(signin.LONGEST_WAIT_S)  # type: ignore[attr-defined]  # likewise
    return program


def test_only_the_document_is_shown_to_strangers(shared: Program) -> None:
    answer: Any = shared.app.test_client().get(DOCUMENT, base_url="http://localhost")
    assert answer.status_code == 200
    assert answer.json["openapi"] == "3.1.0"
    assert "wasl_" not in answer.text


def test_a_token_that_ended_or_was_revoked_counts_no_more(program: Program) -> None:
    program.role = "viewer"
    assert program.ask("GET", "/overview").status_code == 200
    transact(program.engine, lambda c: tokens.revoke(c, "viewer", actor=MAKER, now_ms=EPOCH_MS))
    refused(program.ask("GET", "/overview"), 401, "unauthorized")
    program.role = "auditor"
    program.console.clock._task_clock.advance(DAY_MS / 1000)  # type: ignore[attr-defined]  # a simulated one
    refused(program.ask("GET", "/audit"), 401, "unauthorized")


def test_a_token_is_kept_as_a_hash_and_shown_once(program: Program) -> None:
    rows = program.sql(lambda c: c.execute(api_tokens.select()).all())
    kept = repr(rows) + repr(program.sql(lambda c: c.execute(audit.select()).all()))
    assert len(rows) == len(program.secrets)
    for secret in program.secrets.values():
        assert secret.startswith(tokens.PREFIX)
        assert secret not in kept
        assert secret not in program.ask("GET", "/tokens").text


def test_a_token_may_do_no_more_than_the_user_who_made_it(program: Program) -> None:
    """Who is switched off, or gets a lesser role, takes the tokens along."""

    def make(connection: Any) -> str:
        users.add(connection, "lila", "administrator", "hash", actor=MAKER, now_ms=EPOCH_MS)
        secret, _ = tokens.create(
            connection, "nightly", "administrator", valid_for_ms=DAY_MS, actor="user:lila", now_ms=EPOCH_MS
        )
        return secret

    program.secrets["lila"] = transact(program.engine, make)
    program.role = "lila"
    assert program.ask("GET", "/users").status_code == 200
    transact(program.engine, lambda c: users.change_role(c, "lila", "viewer", actor=MAKER, now_ms=EPOCH_MS))
    refused(program.ask("GET", "/users"), 403, "forbidden")
    assert program.ask("GET", "/queues").status_code == 200
    transact(program.engine, lambda c: users.switch(c, "lila", active=False, actor=MAKER, now_ms=EPOCH_MS))
    refused(program.ask("GET", "/queues"), 401, "unauthorized")


@pytest.mark.parametrize(
    ("change", "code"), [("revoked", "unauthorized"), ("asleep", "unauthorized"), ("lesser", "forbidden")]
)
@pytest.mark.parametrize("path", ["/users", "/users/viewer/password"])
def test_a_token_that_counts_no_more_when_the_change_begins_changes_nothing(
    program: Program, path: str, change: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing a password takes its time, and waits for others': the token is taken away meanwhile."""
    transact(
        program.engine,
        lambda c: users.add(c, "lila", "administrator", "hash", actor=MAKER, now_ms=EPOCH_MS),
    )
    program.secrets["lila"] = add_token(program.engine, "nightly", "administrator", maker="user:lila")
    program.role = "lila"

    def take_away(connection: Any) -> None:
        if change == "revoked":
            tokens.revoke(connection, "nightly", actor=MAKER, now_ms=EPOCH_MS)
        elif change == "asleep":
            users.switch(connection, "lila", active=False, actor=MAKER, now_ms=EPOCH_MS)
        else:
            users.change_role(connection, "lila", "viewer", actor=MAKER, now_ms=EPOCH_MS)

    def then_hash(_self: Passwords, _name: str, _password: str) -> str:
        program.console.change(take_away)
        return "hash of hers"

    monkeypatch.setattr(Passwords, "hash", then_hash)
    body = {"password": "a long enough one"}
    new = {"name": "mine", "role": "administrator", **body}
    refused(
        program.post(path, new if path == "/users" else body), 401 if code == "unauthorized" else 403, code
    )
    found = program.sql(users.everybody)
    assert "mine" not in {user.name for user in found}
    assert "hash of hers" not in {user.password for user in found}
    assert program.sql(lambda c: c.execute(select(api_answers)).all()) == []


@pytest.mark.parametrize("who", ["administrator", "lila"])
def test_a_password_that_a_program_sets_revokes_the_users_tokens(program: Program, who: str) -> None:
    """Its own as well: a program is not its user, who would have said the password before."""
    transact(
        program.engine,
        lambda c: users.add(c, "lila", "administrator", "hash", actor=MAKER, now_ms=EPOCH_MS),
    )
    program.secrets["lila"] = add_token(program.engine, "nightly", "administrator", maker="user:lila")
    program.role = who
    answer = program.post("/users/lila/password", {"password": "something else entirely"})
    assert answer.status_code == 200
    program.role = "lila"
    refused(program.ask("GET", "/queues"), 401, "unauthorized")
    program.role = "administrator"
    assert program.ask("GET", "/queues").status_code == 200


def test_when_a_token_was_last_used_is_known(program: Program) -> None:
    program.role = "viewer"
    program.ask("GET", "/overview")
    (found,) = program.sql(lambda c: [tokens.one(c, "viewer").used_ms])
    assert found is not None
    assert found > EPOCH_MS


def test_who_acts_is_the_token_and_its_person() -> None:
    assert tokens.Token("nightly", "viewer", "user:lila", 0, 1, None, None).actor == "token:nightly@lila"
    people = {person_of(one) for one in ("user:lila", "cli:lila", "token:nightly@lila")}
    assert people == {"lila"}
    assert person_of("token:a@lila@domain") == "lila@domain"


def test_wrong_tokens_are_slowed_down_and_right_ones_are_not(program: Program) -> None:
    client = program.app.test_client()

    def wrong() -> Any:
        return client.get(
            f"{PREFIX}/overview", base_url="http://localhost", headers={"Authorization": "Bearer guess"}
        )

    statuses = [wrong().status_code for _ in range(signin.FREE_TRIES_OF_ADDRESS + 1)]
    assert statuses == [401] * signin.FREE_TRIES_OF_ADDRESS + [429]
    late = wrong()
    refused(late, 429, "too-many-tries")
    assert int(late.headers["Retry-After"]) >= 1
    assert program.ask("GET", "/overview").status_code == 200, "from the same address"
    _later(program)
    assert wrong().status_code == 401


def test_addresses_that_are_remembered_are_few(program: Program) -> None:
    gate = access.Gate(program.console)
    for number in range(access.ADDRESSES + 50):
        with pytest.raises(ApiError):
            gate.admit("Bearer guess", f"10.0.{number // 256}.{number % 256}")
    assert len(gate._failures) == access.ADDRESSES


def test_nobody_asks_too_fast_for_long(program: Program) -> None:
    gate = access.Gate(program.console)
    header = f"Bearer {program.secrets['viewer']}"
    for _ in range(int(access.BURST)):
        gate.admit(header, "127.0.0.1")
    with pytest.raises(ApiError, match="20 times a second") as caught:
        gate.admit(header, "127.0.0.1")
    assert (caught.value.status, caught.value.headers()) == (429, {"Retry-After": "1"})
    gate.admit(f"Bearer {program.secrets['auditor']}", "127.0.0.1")
    program.console.clock._task_clock.advance(1)  # type: ignore[attr-defined]  # a simulated one
    gate.admit(header, "127.0.0.1")


def test_other_names_of_this_host_get_nothing(shared: Program) -> None:
    for host in ("evil.example", "localhost.evil.example", ""):
        answer = shared.app.test_client().get(DOCUMENT, headers={"Host": host})
        refused(answer, 421, "wrong-host")


@pytest.mark.parametrize("path", ["", "/", "/nowhere", "/overview/", "//overview", "/v2/overview"])
def test_there_is_nothing_elsewhere(shared: Program, path: str) -> None:
    assert DOCUMENT in refused(shared.ask("GET", path), 404, "no-such-path")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_what_is_read_cannot_be_written(shared: Program, method: str) -> None:
    answer = shared.ask(method, "/overview")
    assert "GET" in refused(answer, 405, "wrong-method")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_another_method_of_one(shared: Program, header: str) -> None:
    path = "/facilities/chu-oran/suspend"
    refused(shared.ask("GET", path, headers={header: "POST"}), 405, "wrong-method")
    refused(shared.ask("POST", "/overview?_method=GET", headers={header: "GET"}), 405, "wrong-method")
    assert shared.get("/facilities/chu-oran")["facility"]["state"] == "active"


def test_a_cookie_is_no_token(shared: Program) -> None:
    client = shared.app.test_client()
    client.set_cookie("wasl-session", shared.secrets["administrator"], domain="localhost")
    refused(client.get(f"{PREFIX}/overview", base_url="http://localhost"), 401, "unauthorized")
    assert "Set-Cookie" not in shared.ask("GET", "/overview").headers


def test_parts_of_a_path_that_cannot_be_are_not_looked_up(shared: Program) -> None:
    for path in (
        "/facilities/CHU-Oran", "/facilities/%00", "/facilities/a%2Fb", "/users/A", "/users/%ff",
        "/messages/nonsense", "/audit/0", "/audit/99999999999999999999", "/policy/versions/-1",
    ):  # fmt: skip
        answer: Any = shared.ask("GET", path)
        assert (answer.status_code, answer.json["code"]) in {(404, "not-found"), (404, "no-such-path")}, path


def test_pages_and_api_share_a_server_and_nothing_else() -> None:
    def pages(_environ: Any, _start: Any) -> list[bytes]:
        return [b"pages"]

    def api(environ: Any, _start: Any) -> list[bytes]:
        assert environ["wsgi.input_terminated"]
        return [b"api"]

    both = beside(pages, api)
    for path, whose in (("/", b"pages"), ("/apis", b"pages"), ("/api", b"api"), ("/api/v1/x", b"api")):
        assert list(both({"PATH_INFO": path}, lambda *_: None)) == [whose]  # type: ignore[arg-type]  # start_response is not called
    assert BODY_BYTES
