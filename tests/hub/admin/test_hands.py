"""Who is a second person: nobody is two by way of accounts that were in one hand within a week."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine

from hub import home as hub_home
from hub.admin import discards, facilities, queues, users
from hub.admin.errors import AdminRefused
from hub.admin.facilities import NotApproved
from hub.admin.users import SECOND_AFTER_MS, second_from_ms
from hub.cli import console as hub_console
from hub.cli import main
from hub.directory import service
from hub.directory.requests import Request
from protocols.link.joincode import decode_joincode
from runtime.transactions import read, transact
from tests.hub.admin.consoles import PASSWORDS, Browser, open_console
from tests.hub.admin.network import PASSWORD, TWO
from tests.hub.admin.programs import add_token, done, open_program, refused
from tests.hub.hubs import DAY_MS, EPOCH_MS, NodeKeys

TINDOUF, NEW = "epsp-tindouf", "chu-bejaia"
WAYS = {
    "who asks was made by who confirms": ([("a", "b")], "b", "a"),
    "who confirms was made by one whom who asks made": ([("a", "b"), ("b", "c")], "a", "c"),
    "both were made by a third": ([("a", "b"), ("a", "c")], "b", "c"),
}
"""Who made whom, who asks and who confirms: each time one person, a, with accounts b and c."""
ways = pytest.mark.parametrize(("made", "first", "second"), WAYS.values(), ids=WAYS)
Made = list[tuple[str, str]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_console(tmp_path) as (_, _, engine):
        transact(engine, lambda c: add(c, "a", "cli:test"))
        yield engine


def add(connection: Connection, name: str, maker: str, now_ms: int = EPOCH_MS) -> None:
    hashed = PASSWORDS.hash(name, PASSWORD)
    users.add(connection, name, "administrator", hashed, actor=maker, now_ms=now_ms)


def make(engine: Engine, made: Made) -> None:
    """Have each make the other, an hour after the last."""
    for number, (maker, name) in enumerate(made):
        transact(engine, lambda c: add(c, name, f"user:{maker}", EPOCH_MS + number * 3_600_000))  # noqa: B023 - run at once


def from_ms(engine: Engine, first: str, second: str, now_ms: int = EPOCH_MS + DAY_MS) -> int | None:
    return read(engine, lambda c: second_from_ms(c, first, second, now_ms))


def asked(engine: Engine, actor: str) -> int:
    """Ask that a copy be discarded; returns the number of the question."""
    copies = [one.seq for one in read(engine, lambda c: queues.waiting(c, TINDOUF, limit=1))]
    return transact(
        engine, lambda c: discards.ask(c, TINDOUF, copies, reason="r", actor=actor, now_ms=EPOCH_MS)
    )


def waiting(engine: Engine, actor: str) -> str:
    """Invite a facility, and let its node bring keys; returns their fingerprint."""
    keys = NodeKeys.numbered(9)

    def invite(connection: Connection) -> str:
        made = facilities.invite(
            connection, TWO, NEW, title=None, kind=None, wilaya=None, mailboxes=(), valid_for_ms=DAY_MS,
            actor=actor, now_ms=EPOCH_MS,
        )  # fmt: skip
        request = service.grant(
            connection, TWO, decode_joincode(made.code).invitation, keys.link.public, keys.signing,
            keys.sealing, EPOCH_MS,
        )  # fmt: skip
        assert isinstance(request, Request)
        return request.fingerprint.hex()

    return transact(engine, invite)


# ── the services ───────────────────────────────────────────────────────────────────────────


@ways
def test_one_person_with_several_accounts_does_not_discard(
    engine: Engine, made: Made, first: str, second: str
) -> None:
    make(engine, made)
    number = asked(engine, f"user:{first}")
    until_ms = EPOCH_MS + SECOND_AFTER_MS
    assert from_ms(engine, f"user:{first}", f"user:{second}") == until_ms, "what was made first ends first"

    def confirm(actor: str, now_ms: int) -> int:
        return transact(engine, lambda c: discards.confirm(c, number, actor=actor, now_ms=now_ms))

    told = datetime.fromtimestamp(until_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for actor in (f"user:{second}", f"token:t@{second}", f"cli:{second}"):
        with pytest.raises(AdminRefused, match=f"another administrator has to do it, .* from {told} on"):
            confirm(actor, until_ms - 1)
    assert confirm(f"user:{second}", until_ms) == 1


@ways
def test_one_person_with_several_accounts_admits_nobody(
    engine: Engine, made: Made, first: str, second: str
) -> None:
    make(engine, made)
    words = waiting(engine, f"user:{first}")

    def approve(actor: str) -> facilities.Facility:
        return transact(
            engine,
            lambda c: facilities.approve(c, TWO, NEW, fingerprint=words, actor=actor, now_ms=EPOCH_MS),
        )

    with pytest.raises(NotApproved, match="in one hand") as caught:
        approve(f"user:{second}")
    assert caught.value.code == "same-person"
    assert approve("user:administrator").state is facilities.FacilityState.ACTIVE


def test_a_password_is_a_hand_as_well(engine: Engine) -> None:
    """A gives an account of another's its password, asks, and confirms as an account that this one made."""
    transact(engine, lambda c: add(c, "b", "cli:test"))
    transact(engine, lambda c: add(c, "c", "user:b"))
    assert from_ms(engine, "user:a", "user:c") == 0
    given_ms = EPOCH_MS + DAY_MS
    for actor in ("token:t@a", "user:b"):  # and that b changes it then does not take b out of a's hand
        transact(
            engine, lambda c: users.change_password(c, "b", "x", but=None, actor=actor, now_ms=given_ms)  # noqa: B023 - run at once
        )  # fmt: skip
    assert from_ms(engine, "user:a", "user:b") == given_ms + SECOND_AFTER_MS
    assert from_ms(engine, "user:a", "user:c") == EPOCH_MS + SECOND_AFTER_MS, "as long as b's hand counts"


def test_of_several_ways_the_one_that_counts_longest_is_told(engine: Engine) -> None:
    """A ring of accounts that made, and gave passwords to, each other; d was made by one of them."""
    make(engine, [("a", "b"), ("b", "c"), ("c", "d")])
    for number, (by, name) in enumerate([("c", "a"), ("a", "d"), ("d", "b")], 1):
        at_ms = EPOCH_MS + number * DAY_MS
        transact(
            engine,
            lambda c: users.change_password(c, name, "x", but=None, actor=f"user:{by}", now_ms=at_ms),  # noqa: B023 - run at once
        )
    days = [(from_ms(engine, f"user:{one}", f"user:{other}", EPOCH_MS + 4 * DAY_MS) or 0) - EPOCH_MS
            for one, other in (("a", "d"), ("a", "b"), ("b", "d"), ("c", "d"))]  # fmt: skip
    assert [ms // DAY_MS for ms in days] == [9, 9, 10, 8]
    for one, other in (("a", "d"), ("d", "a")):
        assert from_ms(engine, f"user:{one}", f"user:{other}", EPOCH_MS + 9 * DAY_MS) == 0


def test_people_who_were_in_nobodys_hand_are_two_though_each_made_others(engine: Engine) -> None:
    transact(engine, lambda c: add(c, "z", "cli:test"))
    make(engine, [("a", "b"), ("z", "y")])
    assert from_ms(engine, "user:a", "user:z") == 0
    assert from_ms(engine, "user:b", "user:y") == 0
    assert from_ms(engine, "", "user:b") == 0


def test_with_more_than_can_be_looked_at_nobody_is_a_second_person(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who makes thousands of accounts so that the first is looked at no more gains nothing."""
    make(engine, [("a", "b"), ("a", "c"), ("a", "d")])
    monkeypatch.setattr(users, "HANDS_READ", 2)
    left_out_ms = EPOCH_MS + SECOND_AFTER_MS
    assert from_ms(engine, "user:a", "user:b") == left_out_ms
    assert from_ms(engine, "user:administrator", "user:operator") == left_out_ms
    assert from_ms(engine, "user:administrator", "user:operator", left_out_ms) == 0


# ── what the command line made ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sudo", ["", "amina", "sami"])
def test_the_first_two_administrators_of_a_fresh_hub_are_two_at_once(
    tmp_path: Path, sudo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they were made: by the hub's own user, by one of them with sudo, or by a third."""
    monkeypatch.setattr(hub_console, "Passwords", lambda: PASSWORDS)
    home = tmp_path / "hub"
    env = {"WASL_HOME": str(home), "SUDO_USER": sudo or None}

    def run(*words: str) -> None:
        said = CliRunner().invoke(main, words, input="a long enough one\n", env=env)
        assert said.exit_code == 0, said.stderr

    run("init")
    for name, role in (("amina", "administrator"), ("omar", "operator"), ("karim", "administrator")):
        run("adduser", name, "--role", role)
    run("adduser", "nadia", "--role", "administrator")
    engine = hub_home.open_database(home, hub_home.load_settings(home))
    try:
        now_ms = read(engine, lambda c: users.one(c, "nadia")).created_ms
        for first, second in (("amina", "karim"), ("karim", "amina"), ("omar", "amina"), ("nadia", "karim")):
            assert from_ms(engine, f"user:{first}", f"user:{second}", now_ms) == 0
        assert from_ms(engine, "cli:root", "user:nadia", now_ms) == 0
        later_ms = from_ms(engine, "user:amina", "user:nadia", now_ms)
        assert later_ms == (now_ms + SECOND_AFTER_MS if sudo == "amina" else 0), (
            "amina is known: sudo said so"
        )
    finally:
        engine.dispose()


def test_who_is_behind_sudo_makes_no_two_accounts_either(engine: Engine) -> None:
    """Not with the hub's first two administrators: then ``cli:a`` is a, who has an account here."""
    for name, maker in (("b", "cli:a"), ("c", "cli:a"), ("d", "cli:root"), ("e", "cli:root")):
        transact(engine, lambda c: add(c, name, maker))  # noqa: B023 - run at once
    until_ms = EPOCH_MS + SECOND_AFTER_MS
    assert (from_ms(engine, "user:b", "user:c"), from_ms(engine, "user:a", "user:b")) == (until_ms, until_ms)
    assert from_ms(engine, "cli:a", "user:b") == until_ms
    assert (from_ms(engine, "user:d", "user:e"), from_ms(engine, "user:a", "user:d")) == (0, 0)


# ── the doors ──────────────────────────────────────────────────────────────────────────────


def signed_in(app: object, name: str) -> Browser:
    browser = Browser(app)  # type: ignore[arg-type]  # Flask's, as open_console gives it
    browser.sign_in(name)
    browser.get("/?lang=en")
    return browser


@ways
def test_pages_make_no_second_person(tmp_path: Path, made: Made, first: str, second: str) -> None:
    """All of it over pages: the accounts, the question, the invitation; then no button, no way past it."""
    with open_console(tmp_path) as (app, _, engine):
        transact(engine, lambda c: add(c, "a", "cli:test"))
        for maker, name in made:
            form = {"name": name, "role": "administrator", "password": PASSWORD}
            assert signed_in(app, maker).post("/users", form).status_code == 303
        copy = str(read(engine, lambda c: queues.waiting(c, TINDOUF, limit=1))[0].seq)
        form = {"seqs": copy, "reason": "spam"}
        assert signed_in(app, first).post(f"/queues/{TINDOUF}/discard", form).status_code == 303
        key = waiting(engine, f"user:{first}")
        other, admin = signed_in(app, second), signed_in(app, "administrator")
        approval = {"key": key, "compared": "1"}
        for look, path, sent, said in (
            ("/discards/1", "/discards/1/confirm", {}, "another administrator has to decide"),
            (f"/admission/{NEW}?key={key}", f"/admission/{NEW}/approve", approval, "Two people are needed"),
        ):
            page = other.get(look).text
            assert ("were in one hand within 7 days" in page, path in page) == (True, False)
            assert "or you from <time" in page
            answer = other.post(path, sent)
            assert (answer.status_code, said in answer.text) == (422, True)
            assert path in admin.get(look).text
            assert admin.post(path, sent).status_code == 303


@ways
def test_the_interface_makes_no_second_person(tmp_path: Path, made: Made, first: str, second: str) -> None:
    with open_program(tmp_path) as program:
        transact(program.engine, lambda c: add(c, "a", "cli:test"))
        for maker, name in made:
            tokens_of(program.engine, program.secrets, maker)
            program.role = maker
            body = {"name": name, "role": "administrator", "password": PASSWORD}
            done(program.post("/users", body), 201)
        for name in (first, second):
            tokens_of(program.engine, program.secrets, name)
        program.role = first
        numbers = [one["number"] for one in program.get(f"/queues/{TINDOUF}")["items"]][:1]
        wanted = {"facility": TINDOUF, "numbers": numbers, "reason": "sent twice"}
        number = done(program.post("/discards", wanted), 201)["discard"]["number"]
        program.role = second
        said = refused(program.post(f"/discards/{number}/confirm"), 409, "same-person")
        assert "or this account from 20" in said


def tokens_of(engine: Engine, secrets: dict[str, str], name: str) -> None:
    """Make a token of a user's, once."""
    if name not in secrets:
        secrets[name] = add_token(engine, name, "administrator", maker=f"user:{name}")
