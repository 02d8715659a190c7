"""Pages of patients: search, one patient, a new one."""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from nodes.care.patients import service, store
from nodes.care.patients.service import NewPatient
from nodes.care.patients.store import Patient
from nodes.desk import audit, places
from nodes.desk.context import Desk, visitor
from nodes.desk.errors import DeskRefused, NotThere
from nodes.desk.mail import store as mail
from nodes.desk.roles import Permission
from nodes.link.ids import id_text, parse_id
from runtime.web.site import Page

QUERY_CHARS: Final = 100
FIELDS: Final = ("family", "given", "sex", "born", "nin", "number", "authority")
SEXES: Final = {"F": _("female"), "M": _("male"), "O": _("other"), "U": _("not known")}
_SAID: Final = {
    "bad-family": ("family", _("A family name has 1 to 80 letters.")),
    "bad-given": ("given", _("A given name has at most 80 letters.")),
    "bad-sex": ("sex", _("Choose one of these.")),
    "bad-born": ("born", _("A birth date is like 1978-04-12, and not in the future.")),
    "bad-nin": ("nin", _("A national number has 18 digits.")),
    "bad-number": ("number", _("A record number has letters, digits and . / -, at most 40.")),
    "no-number": ("nin", _("Give the national number, a record number, or both.")),
    "known-nin": ("nin", _("A patient with this national number is known already: search for the number.")),
    "known-number": ("number", _("A patient with this record number is known already: search for it.")),
}


def found(desk: Desk) -> str:
    """Search."""
    text = request.args.get("q", "").strip()[:QUERY_CHARS]
    rows = desk.read(lambda c: service.search(c, text))
    more = len(rows) > store.FOUND
    return render_template("patients.html", rows=rows[: store.FOUND], more=more, text=text, id_text=id_text)


def one(desk: Desk, identifier: str) -> str:
    """Show one patient, and what came for one's departments about him or her."""
    who, now_ms, raw = visitor(), desk.clock.now_ms(), parse_id(identifier)
    if raw is None:
        raise NotThere("no-such-patient", "this is no patient's id")

    def look(connection: Connection) -> tuple[Patient, list[mail.Mail], dict[str, str]]:
        patient = service.find(connection, raw)
        audit.record(connection, who.actor, "patient.seen", id_text(raw), {}, now_ms)
        known = [number.value for number in patient.numbers] + ([patient.nin] if patient.nin else [])
        letters = mail.about(connection, who.departments, known)
        return patient, letters, places.titles(connection, [each.sender for each in letters])

    patient, letters, named = desk.change(look)
    return render_template("patient.html", patient=patient, letters=letters, places=named, sexes=SEXES)


def new(desk: Desk) -> str:
    """Show the form for a new patient."""
    return _form({"authority": desk.facility, "family": request.args.get("q", "")[:QUERY_CHARS]}, ())


def add(desk: Desk) -> Any:
    """Enter a new patient."""
    who, now_ms = visitor(), desk.clock.now_ms()
    said = {name: request.form.get(name, "")[:QUERY_CHARS] for name in FIELDS}
    try:
        made = desk.change(lambda c: service.create(c, NewPatient(**said), by=who.name, now_ms=now_ms))
    except DeskRefused as error:
        field, text = _SAID[error.code]
        return _form(said, ((field, str(text)),)), 422
    return redirect(f"/patients/{id_text(made.id)}", 303)


def _form(said: dict[str, str], errors: tuple[tuple[str, str], ...]) -> str:
    return render_template("patient_new.html", said=said, errors=errors, sexes=SEXES)


PAGES: Final = (
    Page("GET", "/patients", "patients", found, Permission.PATIENTS),
    Page("POST", "/patients", "patient_add", add, Permission.PATIENTS),
    Page("GET", "/patients/new", "patient_new", new, Permission.PATIENTS),
    Page("GET", "/patients/<identifier>", "patient", one, Permission.PATIENTS),
)
