"""What codes of composing are called, in the reader's language: kinds, faults, refusals."""

from __future__ import annotations

from typing import Final

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from nodes.desk import heavy
from nodes.desk.compose import bounds
from nodes.desk.compose.content import Fault, Kind
from nodes.desk.errors import DeskRefused
from nodes.link.errors import NodeError
from protocols.link.places import WILAYAS, FacilityKind
from protocols.parties import Sex
from runtime.storage_errors import StorageFull
from runtime.web import languages

KINDS: Final = {
    Kind.FILE: (
        _("Patient file"),
        _("What the patient has, what was done, and the scans: for another team to go on."),
    ),
    Kind.ADVICE: (_("Advice"), _("A specialist’s answer to a question.")),
    Kind.DISCHARGE: (_("Discharge letter"), _("What happened during a stay, and what comes now.")),
    Kind.REFERRAL: (_("Referral"), _("Please see this patient.")),
    Kind.ORDER: (_("Order of examinations"), _("Laboratory, imaging, other examinations.")),
    Kind.RESULT: (_("Result"), _("Values and a report, in answer to an order or unasked.")),
}
SEXES: Final = {
    Sex.FEMALE: _("Female"),
    Sex.MALE: _("Male"),
    Sex.OTHER: _("Other"),
    Sex.UNKNOWN: _("Not known"),
}
CLASSES: Final = {
    "E": _("Emergency"),
    "I": _("In hospital"),
    "O": _("Outpatient"),
    "U": _("Not said"),
}
FLAGS: Final = {
    "": _("not judged"),
    "N": _("normal"),
    "L": _("low"),
    "H": _("high"),
    "LL": _("critically low"),
    "HH": _("critically high"),
    "A": _("abnormal"),
    "AA": _("critically abnormal"),
    "POS": _("positive"),
    "NEG": _("negative"),
}
PLACES: Final = {
    FacilityKind.CHU: _("University hospital (CHU)"),
    FacilityKind.EHU: _("University hospital establishment (EHU)"),
    FacilityKind.EHS: _("Specialised hospital (EHS)"),
    FacilityKind.EPH: _("Public hospital (EPH)"),
    FacilityKind.EPSP: _("Local public health establishment (EPSP)"),
    FacilityKind.POLYCLINIC: _("Polyclinic"),
    FacilityKind.TREATMENT_ROOM: _("Treatment room"),
    FacilityKind.MINISTRY: _("Ministry"),
    FacilityKind.PHARMACY: _("Pharmacy"),
}
STEPS: Final = {
    "recipient": _("To whom"),
    "patient": _("About whom"),
    "content": _("What"),
    "check": _("Check and send"),
}
FAULTS: Final = {
    "not-your-kind": _("Your role does not send this kind of message: ask a colleague who may."),
    "no-kind": _("Choose what you are sending."),
    "no-department": _("Choose the department that you write for."),
    "no-recipient": _("Choose who is to get it."),
    "bad-recipient": _("Choose the recipient from the list."),
    "gone-recipient": _("The recipient is not in the directory any more: choose another one."),
    "no-family": _("Enter the patient’s family name."),
    "no-number": _("Enter the record number or the national number."),
    "bad-number": _("A record number has letters, digits, dots, slashes and dashes."),
    "bad-national": _("A national number has 18 digits."),
    "no-birth": _("Enter the date of birth: it is the second thing by which the patient is known."),
    "bad-birth": _("The date of birth must be a real date in the past."),
    "no-sex": _("Choose the patient’s sex."),
    "no-subject": _("Enter a subject: the recipient sees it first."),
    "no-text": _("Write the text."),
    "long-text": _("The text is too long: at most %(count)s characters fit."),
    "no-examination": _("Enter at least one examination."),
    "many-examinations": _("There are too many examinations for one order: at most %(examinations)s."),
    "long-examination": _("One line names one examination; a line is too long."),
    "no-result": _("Enter a value, a report, or attach a file."),
    "no-name": _("Say what was measured."),
    "no-value": _("Enter the value."),
    "bad-flag": _("Choose how the value is judged from the list."),
    "unfinished": _("A file has not come whole: wait, choose it again, or remove it."),
    "no-known": _("Choose one of the patients that were found."),
    "no-second": _("This is not what is known of the patient: say the date of birth or another number."),
    "not-confirmed": _("Confirm that this is the right patient."),
}
REFUSED: Final = {
    "empty-file": _("An empty file cannot be attached."),
    "too-large": _("This file is too large."),
    "too-many-files": _("There are too many attachments."),
    "no-file": _("Choose a file first."),
    "file-lost": _("A file is not here any more: remove it and attach it again."),
    "no-room": _("There is no room on the node’s disk: tell the administrator. Nothing was lost."),
    "damaged": _("What is kept here is not what arrived any more: tell the administrator."),
    heavy.CODE: heavy.SAID,
    "unready": _("Something has to be put right first."),
    "too-much": _("Your drafts hold too much already: send or discard one first, or remove files."),
    "too-many-drafts": _("You have too many drafts: send or discard one first."),
    "sent": _("This message was sent already."),
    "changed": _(
        "This message was changed after this page was opened: check it once more. Nothing was sent."
    ),
}


def place_kind(code: str) -> str:
    """Return what a kind of facility is called; one of a later version is shown as it is."""
    return str(PLACES[FacilityKind(code)]) if code in {str(one) for one in FacilityKind} else code


def wilaya(number: int) -> str:
    """Return a province's number and name in the reader's language; nothing if it is not known."""
    if number not in WILAYAS:
        return ""
    names = WILAYAS[number]
    return f"{number} {names.arabic if languages.language() == 'ar' else names.french}"


def fault(one: Fault) -> tuple[str, str]:
    """Return a field and what to say about it."""
    counts = {"count": bounds.TEXT_CHARS, "examinations": bounds.EXAMINATIONS}
    return one.field, str(FAULTS[one.code]) % counts


def refusal(error: DeskRefused | NodeError | StorageFull) -> str:
    """Return why something was not done."""
    if isinstance(error, StorageFull):
        return str(REFUSED["no-room"])
    if error.code in REFUSED:
        return str(REFUSED[error.code])
    return str(gettext("This could not be done: %(why)s", why=str(error)))
