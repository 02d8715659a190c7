"""Tokens of programs: the rules, the page, the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, select

from hub.admin import tokens, users
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.tables import api_answers, api_tokens
from hub.audit.tables import audit
from hub.cli import main
from runtime.transactions import read, transact
from tests.hub.admin.consoles import Browser, open_console
from tests.hub.hubs import DAY_MS, EPOCH_MS


def make(connection: Connection, name: str = "nightly", **more: Any) -> tuple[str, tokens.Token]:
    wanted = {"role": "viewer", "valid_for_ms": DAY_MS, "actor": "cli:root", "now_ms": EPOCH_MS, **more}
    return tokens.create(connection, name, wanted.pop("role"), **wanted)


def refusal(connection: Connection, **more: Any) -> str:
    with pytest.raises(AdminRefused) as caught:
        make(connection, **more)
    return caught.value.code


def test_what_cannot_be_a_token_is_refused(connection: Connection) -> None:
    for name in ("", "A", "two words", "x" * 64, "-x", "a@b", "a/b"):
        assert refusal(connection, name=name) == "bad-name"
    assert refusal(connection, role="king") == "bad-role"
    for valid_for_ms in (0, -1, tokens.LONGEST_MS + 1):
        assert refusal(connection, valid_for_ms=valid_for_ms) == "bad-validity"


def test_a_name_is_never_used_twice(connection: Connection) -> None:
    make(connection)
    assert refusal(connection) == "token-exists"
    tokens.revoke(connection, "nightly", actor="cli:root", now_ms=EPOCH_MS)
    assert refusal(connection) == "token-exists"


def test_only_so_many_count_at_a_time(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    make(connection, "a")
    make(connection, "b")
    assert refusal(connection, name="c") == "too-many-tokens"
    tokens.revoke(connection, "a", actor="cli:root", now_ms=EPOCH_MS)
    make(connection, "c")
    make(connection, "d", now_ms=EPOCH_MS + DAY_MS)


def test_a_secret_counts_until_its_end_and_no_other_does(connection: Connection) -> None:
    secret, made = make(connection)
    found = tokens.holder(connection, secret, EPOCH_MS + DAY_MS - 1)
    assert found is not None
    assert found.token == made
    assert tokens.holder(connection, secret, EPOCH_MS + DAY_MS) is None
    kept = connection.execute(select(api_tokens.c.hash)).scalar_one()
    for other in ("", secret[:-1], secret + "x", secret.upper(), kept, "\ud800", "x" * 10_000):
        assert tokens.holder(connection, other, EPOCH_MS) is None


def test_revoking_is_recorded_once_and_forgets_answers(connection: Connection) -> None:
    make(connection)
    connection.execute(
        api_answers.insert().values(token="nightly", key="k", fingerprint=b"", at_ms=0, status=200, body=b"")
    )
    for _ in range(2):
        gone = tokens.revoke(connection, "nightly", actor="cli:root", now_ms=EPOCH_MS)
        assert gone.revoked_ms == EPOCH_MS
    assert connection.execute(select(api_answers)).all() == []
    actions = connection.execute(select(audit.c.action)).scalars().all()
    assert actions == ["token.created", "token.revoked"]
    with pytest.raises(NotThere):
        tokens.revoke(connection, "weekly", actor="cli:root", now_ms=EPOCH_MS)


def test_a_restored_hub_knows_no_token(connection: Connection) -> None:
    """One that was revoked since the backup must not come back."""
    secret, _ = make(connection)
    tokens.revoke_all(connection, EPOCH_MS + 1)
    assert tokens.holder(connection, secret, EPOCH_MS + 2) is None


# ── the page ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[tuple[Browser, Any]]:
    with open_console(tmp_path) as (app, _, engine):
        found = Browser(app)
        found.sign_in("administrator")
        found.get("/?lang=en")
        yield found, engine


def test_the_page_shows_a_new_token_once(browser: tuple[Browser, Any]) -> None:
    page, engine = browser
    assert "No program has a token." in page.get("/tokens").text
    made = page.post("/tokens", {"name": "nightly", "role": "viewer", "days": "30"}, "/tokens")
    (secret,) = re.findall(rf"{tokens.PREFIX}[\w-]{{43}}", made.text)
    listed = page.get("/tokens").text
    assert secret not in listed
    assert "nightly" in listed
    assert "user:administrator" in listed
    found = read(engine, lambda c: tokens.holder(c, secret, EPOCH_MS))
    assert found is not None
    assert found.token.expires_ms == EPOCH_MS + 30 * DAY_MS
    assert page.post("/tokens/nightly/revoke", {}, "/tokens").status_code == 303
    assert read(engine, lambda c: tokens.holder(c, secret, EPOCH_MS)) is None
    assert "Withdrawn" in page.get("/tokens").text


@pytest.mark.parametrize(
    ("values", "said"),
    [({"name": "Not a name"}, "small letters"), ({"role": "king"}, "no such role")],
)
def test_the_page_says_what_is_wrong(browser: tuple[Browser, Any], values: dict[str, str], said: str) -> None:
    answer = browser[0].post("/tokens", {"name": "nightly", "role": "viewer", **values}, "/tokens")
    assert answer.status_code == 422
    assert said in answer.text
    assert tokens.PREFIX not in answer.text


def test_of_who_is_switched_off_no_token_is_shown_as_valid(browser: tuple[Browser, Any]) -> None:
    page, engine = browser
    maker = {"role": "viewer", "actor": "user:viewer"}
    transact(engine, lambda c: (make(c, "nightly", **maker), make(c, "weekly", **maker), make(c, "monthly")))

    def switch(*, active: bool) -> dict[str, bool]:
        transact(
            engine, lambda c: users.switch(c, "viewer", active=active, actor="user:a", now_ms=EPOCH_MS + 1)
        )
        return {one.name: one.usable(EPOCH_MS) for one in read(engine, tokens.listing)}

    assert switch(active=False) == {"nightly": False, "weekly": False, "monthly": True}
    shown = page.get("/tokens").text
    assert (shown.count("User switched off"), shown.count("Valid<")) == (2, 1)
    assert page.post("/tokens/weekly/revoke", {}, "/tokens").status_code == 303
    assert switch(active=True) == {"nightly": True, "weekly": False, "monthly": True}
    switch(active=False)
    transact(
        engine,
        lambda c: users.change_password(c, "viewer", "x", but=None, actor="user:a", now_ms=EPOCH_MS + 1),
    )
    assert switch(active=True)["nightly"] is False, "a password set meanwhile has revoked it"


def test_who_is_put_out_meanwhile_makes_no_token(browser: tuple[Browser, Any]) -> None:
    """The form was let in before somebody else set the password, and would make a token after it."""
    page, engine = browser
    form = {"name": "nightly", "role": "viewer", "days": "30", "csrf_token": page.token("/tokens")}

    def reset(connection: Connection) -> None:
        users.change_password(
            connection, "administrator", "another", but=None, actor="user:other", now_ms=EPOCH_MS
        )

    page.client.application.before_request_funcs[None].append(lambda: transact(engine, reset))
    answer = page.client.post("/tokens", data=form, base_url=page.base)
    assert (answer.status_code, answer.location) == (303, "/tokens")
    assert read(engine, tokens.listing) == []


# ── the command line ───────────────────────────────────────────────────────────────────────


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    home = str(tmp_path / "hub")

    def run(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*words, "--home", home, "--json"])
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout) if result.stdout else result.stderr

    run("init")
    made = run("token", "create", "nightly", "--role", "auditor", "--valid-for", "30d")
    assert made["token"].startswith(tokens.PREFIX)
    (listed,) = run("token", "list")
    assert listed == {key: value for key, value in made.items() if key != "token"}
    assert listed["usable"] is True
    assert "another name" in run("token", "create", "nightly", "--role", "auditor", code=1)
    assert "no role" in run("token", "create", "weekly", "--role", "king", code=1)
    assert run("token", "revoke", "nightly")["usable"] is False
    assert "no token" in run("token", "revoke", "weekly", code=1)
    plain = CliRunner().invoke(main, ["token", "create", "weekly", "--role", "viewer", "--home", home])
    assert plain.stdout.strip().startswith(tokens.PREFIX)
    assert "Shown this once" in plain.stderr
