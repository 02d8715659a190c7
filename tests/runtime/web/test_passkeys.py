"""Passkeys: an answer counts once, for the browser, purpose, time and site that it was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine, MetaData

from runtime.transactions import open_engine, read, transact
from runtime.web import ceremonies, passkeys
from runtime.web.ceremonies import ANSWER_MS, REGISTER, SIGN_IN, Asked, Party, PasskeyRefused
from runtime.web.passkeys import Passkey, passkey_tables
from runtime.web.site import SitePlan
from tests.runtime.web.authenticator import PRESENT, VERIFIED, Authenticator, decoded, encoded

NOW_MS: Final = 1_790_000_000_000
SITE: Final = Party("console.example", "https://console.example", "Wasl")
NEW: Final = Asked(b"s" * 32, REGISTER, "session", NOW_MS)
COMING: Final = Asked(b"s" * 32, SIGN_IN, "form", NOW_MS)
TABLES: Final = passkey_tables(_METADATA := MetaData())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{tmp_path / 'keys.db'}")
    transact(made, _METADATA.create_all)
    yield made
    made.dispose()


def made_by(key: Authenticator, asked: Asked = NEW) -> Passkey:
    text = key.create(ceremonies.creation_options(SITE, asked, "amina", []))
    return ceremonies.made(SITE, asked, text, name="amina", label="blue key", handle=key.handle)


def answer_of(key: Authenticator, asked: Asked = COMING) -> str:
    return key.get(ceremonies.request_options(SITE, asked))


def refusal(key: Authenticator, passkey: Passkey, asked: Asked = COMING, text: str | None = None) -> str:
    with pytest.raises(PasskeyRefused) as told:
        ceremonies.answered(SITE, asked, answer_of(key) if text is None else text, passkey)
    return told.value.code


def test_a_passkey_is_made_and_signs_in() -> None:
    key = Authenticator(SITE.origin, uses=7)
    passkey = made_by(key)
    assert (passkey.id, passkey.uses, passkey.handle) == (key.id, 7, key.handle)
    found = ceremonies.answered(SITE, COMING, answer_of(key), passkey)
    assert (found.passkey, found.uses) == (passkey, 8)
    assert ceremonies.credential_id(answer_of(key)) == key.id


def test_the_authenticator_is_asked_for_a_passkey_that_needs_no_name() -> None:
    known = made_by(Authenticator(SITE.origin))
    asked = json.loads(ceremonies.creation_options(SITE, NEW, "amina", [known]))
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert asked["attestation"] == "none"
    assert [decoded(one["id"]) for one in asked["excludeCredentials"]] == [known.id]
    assert decoded(asked["user"]["id"]) == known.handle
    coming = json.loads(ceremonies.request_options(SITE, COMING))
    assert (coming["allowCredentials"], coming["userVerification"]) == ([], "required")


@pytest.mark.parametrize("asked", [COMING, replace(NEW, session="another"), replace(NEW, secret=b"t" * 32)])
def test_a_challenge_of_another_browser_or_purpose_makes_nothing(asked: Asked) -> None:
    with pytest.raises(PasskeyRefused) as told:
        made_by_two(asked)
    assert told.value.code == "late"


def made_by_two(asked: Asked) -> Passkey:
    key = Authenticator(SITE.origin)
    text = key.create(ceremonies.creation_options(SITE, asked, "amina", []))
    return ceremonies.made(SITE, NEW, text, name="amina", label="", handle=key.handle)


@pytest.mark.parametrize(
    "asked",
    [
        NEW,
        replace(COMING, session="another"),
        replace(COMING, now_ms=NOW_MS - ANSWER_MS - 1),
        replace(COMING, now_ms=NOW_MS + 1),
        replace(COMING, secret=b"t" * 32),
    ],
)
def test_a_challenge_of_another_browser_purpose_or_time_lets_nobody_in(asked: Asked) -> None:
    key = Authenticator(SITE.origin)
    assert refusal(key, made_by(key), text=answer_of(key, asked)) == "late"


def test_who_was_not_verified_is_not_let_in() -> None:
    with pytest.raises(PasskeyRefused):
        made_by(Authenticator(SITE.origin, flags=PRESENT))
    key = Authenticator(SITE.origin)
    passkey = made_by(key)
    for flags in (PRESENT, VERIFIED, 0):
        key.flags = flags
        assert refusal(key, passkey) == "wrong"


def test_a_page_elsewhere_gets_nobody_in() -> None:
    key = Authenticator(SITE.origin)
    passkey = made_by(key)
    key.origin = "https://console.example.evil"
    assert refusal(key, passkey) == "wrong"
    key.origin, key.rp_id = SITE.origin, "evil.example"
    assert refusal(key, passkey) == "wrong"


def test_another_key_handle_or_id_is_not_this_passkey() -> None:
    key, other = Authenticator(SITE.origin), Authenticator(SITE.origin)
    passkey, theirs = made_by(key), made_by(other)
    assert refusal(other, passkey) == "wrong", "another key"
    assert refusal(other, replace(theirs, id=key.id)) == "wrong", "another id"
    assert refusal(other, replace(theirs, handle=b"h" * 32)) == "wrong", "another user"


def test_a_copy_gives_itself_away_by_the_count() -> None:
    key = Authenticator(SITE.origin, uses=5)
    passkey = made_by(key)
    key.uses = 4  # the next one says 5, again
    assert refusal(key, passkey) == "copied"
    key.uses = 0
    assert refusal(key, passkey) == "copied", "one that counted does not stop counting"
    stranger = Authenticator(SITE.origin, uses=1, id=key.id, handle=key.handle, rp_id=SITE.id)
    assert refusal(stranger, passkey) == "wrong", "who has not the key raises no alarm"


def test_an_authenticator_that_keeps_no_count_is_good() -> None:
    key = Authenticator(SITE.origin)
    passkey = made_by(key)
    assert ceremonies.answered(SITE, COMING, answer_of(key), passkey).uses == 0


def test_each_flipped_bit_is_refused() -> None:
    key = Authenticator(SITE.origin)
    passkey, right = made_by(key), json.loads(answer_of(key))
    for part in ("authenticatorData", "signature", "clientDataJSON", "userHandle"):
        content = decoded(right["response"][part])
        for place in range(0, len(content), 3):
            spoiled = bytearray(content)
            spoiled[place] ^= 1
            response = {**right["response"], part: encoded(bytes(spoiled))}
            assert refusal(key, passkey, text=json.dumps({**right, "response": response})), (part, place)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"response": 7}', '{"response": {"clientDataJSON": 7}}', "[" * 9_000, "1" * 20_000,
     '{"response": {"clientDataJSON": "e30"}}', '{"rawId": [], "response": {"clientDataJSON": "W10"}}'],
)  # fmt: skip
def test_what_is_no_answer_is_refused(text: str) -> None:
    key = Authenticator(SITE.origin)
    assert refusal(key, made_by(key), text=text) == "malformed"
    with pytest.raises(PasskeyRefused):
        ceremonies.credential_id(text)
    with pytest.raises(PasskeyRefused):
        ceremonies.made(SITE, NEW, text, name="amina", label="", handle=b"")


def test_an_answer_counts_once(engine: Engine) -> None:
    key = Authenticator(SITE.origin)
    passkey = made_by(key)
    transact(engine, lambda c: passkeys.put(c, TABLES, passkey))
    answer = ceremonies.answered(SITE, COMING, answer_of(key), passkey)
    transact(engine, lambda c: ceremonies.settle(c, TABLES, answer, NOW_MS))
    with pytest.raises(PasskeyRefused, match="used before"):
        transact(engine, lambda c: ceremonies.settle(c, TABLES, answer, NOW_MS + 1))
    found = read(engine, lambda c: passkeys.of_user(c, TABLES, "amina"))
    assert [one.used_ms for one in found] == [NOW_MS]


def test_of_two_answers_at_once_with_one_count_one_counts(engine: Engine) -> None:
    """Both were read before either was settled: a copied key, in two hands at the same moment."""
    key, copy = Authenticator(SITE.origin, uses=1), Authenticator(SITE.origin, uses=1)
    passkey = made_by(key)
    copy.id, copy.handle, copy.rp_id, copy._key = key.id, key.handle, key.rp_id, key._key
    transact(engine, lambda c: passkeys.put(c, TABLES, passkey))
    both = [ceremonies.answered(SITE, COMING, answer_of(one), passkey) for one in (key, copy)]
    transact(engine, lambda c: ceremonies.settle(c, TABLES, both[0], NOW_MS))
    with pytest.raises(PasskeyRefused):
        transact(engine, lambda c: ceremonies.settle(c, TABLES, both[1], NOW_MS))


def test_what_was_removed_meanwhile_does_not_count(engine: Engine) -> None:
    key = Authenticator(SITE.origin)
    passkey = made_by(key)
    answer = ceremonies.answered(SITE, COMING, answer_of(key), passkey)
    transact(engine, lambda c: passkeys.put(c, TABLES, passkey))
    assert not transact(engine, lambda c: passkeys.remove(c, TABLES, "karim", passkey.id)), "another's"
    assert transact(engine, lambda c: passkeys.remove(c, TABLES, "amina", passkey.id))
    with pytest.raises(PasskeyRefused):
        transact(engine, lambda c: ceremonies.settle(c, TABLES, answer, NOW_MS))
    again = read(engine, lambda c: passkeys.find(c, TABLES, passkey.id))
    assert again is None


def test_used_challenges_are_kept_no_longer_than_they_could_be_answered(engine: Engine) -> None:
    def spend(name: bytes, now_ms: int) -> bool:
        return transact(
            engine, lambda c: passkeys.spend(c, TABLES, name, until_ms=now_ms + 1_000, now_ms=now_ms)
        )

    assert [spend(b"a", 0), spend(b"a", 500), spend(b"b", 2_000)] == [True, False, True]
    assert transact(engine, lambda c: c.execute(TABLES.spent.select()).all()) == [(b"b", 3_000)]


@pytest.mark.parametrize(
    ("origin", "port", "expected"),
    [
        ("https://console.example", 0, ("console.example", "https://console.example")),
        ("https://console.example:8443", 0, ("console.example", "https://console.example:8443")),
        (None, 7602, ("localhost", "http://localhost:7602")),
        ("http://localhost:9000", 7602, ("localhost", "http://localhost:9000")),
        (None, 0, None),
        ("http://console.example", 0, None),
        ("https://10.1.2.3", 0, None),
        ("https://[::1]", 0, None),
    ],
)
def test_where_browsers_have_passkeys(
    origin: str | None, port: int, expected: tuple[str, str] | None, tmp_path: Path
) -> None:
    plan = SitePlan("site", b"s" * 32, "UTC", tmp_path, tmp_path, origin=origin, port=port)
    found = ceremonies.party_of(plan)
    assert (None if found is None else (found.id, found.origin)) == expected
