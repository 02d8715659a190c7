"""Every page of the desk by the name that the table of pages has for it, and which role sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodes.desk.roles import Role
from nodes.desk.table import PAGES
from tests.browser.day import Day

NO_PAGES: Final = {
    "stay": "nothing at all: it keeps a session alive",
    "compose_found": "a part of a page",
    "compose_files": "a part of a page",
    "compose_file": "how much of a file is there, for a script",
    "file_show": "a file, or a document within a page: looked at by itself",
    "file_keep": "a file",
    "receipt": "a PDF",
    "passkey_ask": "JSON for a script",
    "own_passkey_ask": "JSON for a script",
}
"""What a browser can get that is no page of its own."""
ANYBODY: Final = None


@dataclass(frozen=True, slots=True)
class Screen:
    """A page as somebody sees it; ``role`` None: nobody is signed in. ``name``: in the table of pages."""

    name: str
    path: str
    role: Role | None = Role.CLINICIAN


def screens(day: Day) -> tuple[Screen, ...]:
    """Return every page of a desk that has had a day, with what is different about it in other states."""
    written = [
        Screen(f"compose_{step}", f"/compose/{draft}/{step}")
        for step in ("recipient", "patient", "content", "check")
        for draft in (day.whole, day.empty)
    ]
    return (
        Screen("sign_in", "/sign-in", ANYBODY),
        Screen("sign_in", "/sign-in?ended=1", ANYBODY),
        Screen("home", "/?all=1"),
        Screen("home", "/", Role.ADMINISTRATOR),
        Screen("department", "/d/cardio"),
        Screen("department", "/d/cardio?view=mine&q=nothing+like+this&kind=ORU"),
        Screen("message", f"/m/{day.results}"),
        Screen("message", f"/m/{day.document}"),
        Screen("message", f"/m/{day.referral}"),
        Screen("message", f"/m/{day.order}"),
        Screen("message", f"/m/{day.broken}"),
        Screen("message", f"/m/{day.held}"),
        Screen("fields", f"/m/{day.results}/fields"),
        *(Screen("file", f"/m/{day.results}/file/{index}") for index in range(5)),
        Screen("sent", "/d/cardio/sent"),
        Screen("sent", "/d/urgences/sent"),
        *(Screen("track", f"/s/{one}") for one in (day.sent, day.back, day.opened)),
        Screen("day", "/d/cardio/day"),
        Screen("compose", "/compose"),
        *written,
        Screen("compose_sent", f"/compose/{day.gone}/sent"),
        Screen("patients", "/patients"),
        Screen("patients", "/patients?q=bens"),
        Screen("patient", f"/patients/{day.patient}"),
        Screen("patient_new", "/patients/new"),
        Screen("account", "/account"),
        Screen("own_code", "/account/code"),
        Screen("code", "/sign-in/code", Role.PHARMACY),
        Screen("users", "/users", Role.ADMINISTRATOR),
        Screen("user", "/users/pharmacy", Role.ADMINISTRATOR),
        Screen("journal", "/journal", Role.ADMINISTRATOR),
        Screen("", "/nowhere"),
    )


def asked() -> set[str]:
    """Return the names of everything that the desk answers to GET."""
    return {page.name for page in PAGES if page.method == "GET"}
