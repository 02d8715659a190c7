"""Keys of the network in the console and its API: the next step at each moment, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, update

from crypto import trust as changes
from crypto.keys import LinkPrivateKey, SigningPrivateKey
from crypto.trust import Subject, TrustChange
from hub import home as hub_home
from hub.admin import network_keys, rotation
from hub.admin.api import network_keys as said
from hub.admin.api.app import make_api
from hub.admin.console.app import make_console
from hub.admin.network_keys import OLD_MS, Key, KeyState, Step, Where
from hub.audit import growth
from hub.cli import main
from hub.directory import trust
from hub.home import HubHomeError, PublicKeys
from hub.keys import in_force
from hub.spool.tables import presence
from runtime.transactions import read, transact
from tests.hub.admin.consoles import HELD, HOME, PUBLIC, Browser, open_console
from tests.hub.admin.programs import Program, done, last_act, open_program, refused
from tests.hub.hubs import AUDIT, AUTHORITY, EPOCH_MS, ISSUER

NEXT = LinkPrivateKey(bytes((71,)) * 32)
NEXT_AUTHORITY = SigningPrivateKey(bytes((72,)) * 32)
MOVED = replace(HELD, link=NEXT.public)
"""What the daemon leaves once the key is announced."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        yield found


def begin(connection: Connection, issuer: Any = ISSUER) -> trust.Row:
    return rotation.begin_link(connection, issuer, NEXT.public, actor="cli:a", now_ms=EPOCH_MS)


def announced(connection: Connection) -> None:
    begin(connection)
    rotation.announce_link(connection, ISSUER, actor="cli:a", now_ms=EPOCH_MS)


def all_follow(connection: Connection) -> None:
    connection.execute(update(presence).values(hub_key=NEXT.public.fingerprint(), trust=9))


def states(engine: Engine, public: PublicKeys = HELD) -> tuple[KeyState, ...]:
    return read(engine, lambda c: network_keys.look(c, public, HOME))


def lines(one: KeyState) -> list[tuple[Where, str]]:
    return [(command.where, command.text) for command in one.commands]


# ── the next step ──────────────────────────────────────────────────────────────────────────


def test_a_link_key_is_followed_step_by_step(program: Program) -> None:
    engine = program.engine
    assert lines(states(engine)[0]) == [(Where.HUB, "wasl-hub rotate link begin --home '/var/lib/wasl hub'")]
    transact(engine, lambda c: begin(c, PUBLIC))
    waits = states(engine)[0]
    assert (waits.step, [one.where for one in waits.commands]) == (
        Step.SIGN,
        [Where.HUB, Where.AUTHORITY, Where.HUB],
    )
    change = TrustChange("hub", 1, Subject.LINK, bytes(NEXT.public), EPOCH_MS)
    transact(engine, lambda c: trust.sign(c, 1, changes.issue(AUTHORITY, change)))
    assert states(engine)[0].step is Step.ANNOUNCE
    assert states(engine, replace(HELD, link_next=None))[0].step is Step.LACKING
    transact(engine, lambda c: rotation.announce_link(c, ISSUER, actor="cli:a", now_ms=EPOCH_MS))
    moving = states(engine, MOVED)[0]
    assert (moving.step, moving.since_ms) == (Step.WAIT, EPOCH_MS)
    assert {one.facility for one in moving.behind} == {
        "chu-mustapha", "chu-oran", "ehs-canastel", "epsp-tindouf",
    }  # fmt: skip
    transact(engine, all_follow)
    assert states(engine, MOVED)[0].step is Step.FINISH
    assert states(engine)[0].step is Step.LACKING, "nodes have moved, this hub's daemon has not"
    transact(engine, lambda c: rotation.finish_link(c, ISSUER, actor="cli:a", now_ms=EPOCH_MS))
    tidy = states(engine, MOVED)[0]
    assert (tidy.step, tidy.change) == (Step.TIDY, None)
    assert "link finish" in tidy.commands[0].text
    assert states(engine, replace(MOVED, link_next=None))[0].step is Step.BEGIN


def test_an_authority_is_followed_step_by_step(program: Program) -> None:
    engine, away = program.engine, replace(HELD, signs=False)
    assert "rotate authority begin" in states(engine)[1].commands[0].text
    assert "--everything" in states(engine, away)[1].commands[0].text
    transact(
        engine,
        lambda c: rotation.begin_authority(c, ISSUER, NEXT_AUTHORITY, actor="cli:a", now_ms=EPOCH_MS),
    )
    holds = replace(HELD, authority=NEXT_AUTHORITY.public)
    one = states(engine, holds)[1]
    assert (one.step, one.since_ms, one.over_web) == (Step.WAIT, EPOCH_MS, False)
    transact(engine, all_follow)
    assert states(engine, holds)[1].step is Step.FINISH
    elsewhere = replace(PUBLIC, authority=NEXT_AUTHORITY.public)
    transact(engine, lambda c: rotation.retire_authority(c, elsewhere, actor="cli:a", now_ms=EPOCH_MS))
    last = states(engine, holds)[1]
    assert (last.step, last.commands[1].where) == (Step.SIGN, Where.AUTHORITY)
    assert "--key new.key" in last.commands[1].text


def test_an_audit_key_is_as_old_as_its_first_checkpoint_or_its_change(program: Program) -> None:
    engine = program.engine
    assert states(engine, replace(HELD, audit=None))[2].step is Step.FIRST
    transact(engine, lambda c: growth.seal(c, AUDIT, "hub", EPOCH_MS + 5))
    one = states(engine)[2]
    assert (one.since_ms, one.is_old(EPOCH_MS), one.is_old(EPOCH_MS + OLD_MS + 6)) == (
        EPOCH_MS + 5,
        False,
        True,
    )
    transact(
        engine,
        lambda c: rotation.rotate_audit(
            c, "hub", AUDIT, NEXT_AUTHORITY.public, actor="cli:a", now_ms=EPOCH_MS + 9
        ),
    )
    assert states(engine)[2].since_ms == EPOCH_MS + 9


# ── the page ───────────────────────────────────────────────────────────────────────────────


def test_a_link_key_is_told_and_finished_in_the_console(tmp_path: Path) -> None:
    with open_console(tmp_path) as (_, console, engine):
        public = {"now": HELD}
        app = make_console(replace(console, public=lambda: public["now"]))
        admin, viewer = Browser(app), Browser(app)
        for browser, name in ((admin, "administrator"), (viewer, "viewer")):
            browser.sign_in(name)
            browser.get("/?lang=en")
        assert "wasl-hub rotate link begin" in viewer.get("/keys").text
        transact(engine, begin)
        assert "A change of the network’s keys" in viewer.get("/").text
        assert "Tell the nodes" not in viewer.get("/keys").text
        form = {"key": NEXT.public.fingerprint(), "backup": "1", "sure": "1"}
        for wrong in ({"backup": ""}, {"key": "00" * 8}, {"key": "<b>"}):
            page = admin.post("/keys/link/announce", {**form, **wrong}, "/keys")
            assert (page.status_code, "There is a problem" in page.text) == (422, True)
        assert admin.post("/keys/link/finish", form, "/keys").status_code == 422, "nobody was told"
        assert admin.post("/keys/link/announce", form, "/keys").status_code == 303
        public["now"] = MOVED
        told = admin.get("/keys?done=announce").text
        assert "Have not followed: 4" in told
        late = admin.post("/keys/link/finish", form, "/account")
        assert (late.status_code, "would be locked out" in late.text) == (422, True)
        transact(engine, all_follow)
        assert admin.post("/keys/link/finish", {**form, "sure": ""}, "/keys").status_code == 422
        assert admin.post("/keys/link/finish", form, "/keys").status_code == 303
        assert read(engine, lambda c: trust.open_row(c, Subject.LINK)) is None
        assert "take it out" in admin.get("/keys").text


def test_without_the_daemons_public_keys_the_page_says_so(tmp_path: Path) -> None:
    def missing() -> PublicKeys:
        raise HubHomeError("public.json is missing")

    with open_console(tmp_path) as (_, console, _):
        browser = Browser(make_console(replace(console, public=missing)))
        browser.sign_in("administrator")
        browser.get("/?lang=en")
        page = browser.get("/keys")
        assert (page.status_code, "public keys" in page.text) == (200, True)
        form = {"key": "00", "backup": "1"}
        assert browser.post("/keys/link/announce", form).status_code == 422


# ── programs ───────────────────────────────────────────────────────────────────────────────


def test_a_program_tells_and_finishes(program: Program) -> None:
    wanted = {"fingerprint": NEXT.public.fingerprint()}
    refused(program.post("/keys/link/announce", wanted), 409, "other-key")
    transact(program.engine, begin)
    found = program.get("/keys")["link"]
    assert (found["step"], found["here"]) == ("announce", True)
    assert found["change"]["fingerprint"] == wanted["fingerprint"]
    refused(program.post("/keys/link/announce", {"fingerprint": "00" * 8}), 409, "other-key")
    refused(program.post("/keys/link/finish", wanted), 422, "not-possible")
    told = done(program.post("/keys/link/announce", wanted))
    assert told["link"]["change"]["announced"] is not None
    assert (last_act(program).action, last_act(program).actor) == (
        "keys.link-announced",
        "token:administrator@root",
    )
    refused(program.post("/keys/link/finish", wanted), 409, "key-lacking")
    moved = replace(program, app=make_api(replace(program.console, public=lambda: MOVED)))
    text = refused(moved.post("/keys/link/finish", wanted), 409, "not-all-moved")
    assert "chu-oran" in text
    transact(program.engine, all_follow)
    assert done(moved.post("/keys/link/finish", wanted))["link"]["change"] is None
    assert last_act(program).action == "keys.link-finished"


def test_a_key_that_the_daemon_has_not_is_not_announced(program: Program) -> None:
    transact(program.engine, begin)
    lacking = replace(
        program, app=make_api(replace(program.console, public=lambda: replace(HELD, link_next=None)))
    )
    wanted = {"fingerprint": NEXT.public.fingerprint()}
    refused(lacking.post("/keys/link/announce", wanted), 409, "key-lacking")
    assert lacking.get("/keys")["link"]["step"] == "lacking"


def test_the_words_of_the_document_are_those_of_the_service() -> None:
    assert set(get_args(said.Step)) == {str(one) for one in Step}
    assert set(said.NetworkKeys.__struct_fields__) == {str(one) for one in Key}


# ── at the hub's home ──────────────────────────────────────────────────────────────────────


def test_the_command_line_tidies_what_the_console_finished(tmp_path: Path) -> None:
    home = tmp_path / "hub"

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, [*words, "--home", str(home)])
        assert result.exit_code == 0, result.stderr
        return result.output

    run("init")
    run("rotate", "link", "begin")
    begun = hub_home.load_keys(home)
    assert begun.link_next is not None
    settings = hub_home.load_settings(home)
    engine = hub_home.open_database(home, settings)
    hub_home.publish(home, begun, 0)  # as the daemon does
    wanted = begun.link_next.public.fingerprint()
    for act in (network_keys.announce, network_keys.finish):
        public, issuer = hub_home.public_keys(home), hub_home.public_issuer(home, settings)
        transact(
            engine, partial(act, issuer=issuer, public=public, wanted=wanted, actor="user:a", now_ms=EPOCH_MS)
        )
        holds = read(engine, lambda c: in_force(c, hub_home.load_keys(home)))
        hub_home.publish(home, holds.keys, holds.serial)
    assert read(engine, lambda c: network_keys.look(c, hub_home.public_keys(home), home))[0].step is Step.TIDY
    assert "no longer in the key file" in run("rotate", "link", "finish")
    assert hub_home.load_keys(home).link_next is None
    assert hub_home.load_keys(home).link.public.fingerprint() == wanted
    assert (
        read(engine, lambda c: network_keys.look(c, hub_home.public_keys(home), home))[0].step is Step.BEGIN
    )
    again = CliRunner().invoke(main, ["rotate", "link", "finish", "--home", str(home)])
    assert (again.exit_code, "under way" in again.stderr) == (1, True)
    engine.dispose()
