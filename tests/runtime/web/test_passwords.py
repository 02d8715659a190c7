"""Passwords: what is taken, what fits, and that nobody costs as much as somebody."""

from __future__ import annotations

import time

import pytest

from runtime.web.passwords import LEAST_CHARS, MOST_CHARS, Passwords, WeakPassword

GOOD = "correct horse battery"


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


def test_the_right_one_fits_and_no_other(passwords: Passwords) -> None:
    stored = passwords.hash("amina", GOOD)
    assert stored.startswith("$argon2id$")
    assert passwords.fits(stored, GOOD)
    assert not passwords.fits(stored, GOOD + " ")
    assert not passwords.fits("no hash at all", GOOD)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("x" * (LEAST_CHARS - 1), "short"),
        ("abcd" * MOST_CHARS, "long"),
        ("aaaaaaaaaaaaaaaa", "guessable"),
        ("amina.amina.amina", None),
        ("aminaaminaamina", "guessable"),
    ],
)
def test_what_is_no_password(passwords: Passwords, password: str, code: str | None) -> None:
    if code is None:
        passwords.hash("amina", password)
        return
    with pytest.raises(WeakPassword) as found:
        passwords.hash("amina", password)
    assert found.value.code == code


def test_nobody_takes_as_long_as_somebody(passwords: Passwords) -> None:
    """Or the time of an answer would tell which names exist."""
    stored = passwords.hash("amina", GOOD)

    def took_s(kept: str | None) -> float:
        began = time.perf_counter()
        assert not passwords.fits(kept, "wrong")
        return time.perf_counter() - began

    somebody, nobody = (min(took_s(kept) for _ in range(3)) for kept in (stored, None))
    assert nobody > somebody / 3
