"""The words of HL7's code tables, for people: one dictionary a table, texts in the reader's language.

Numbers of tables are those of HL7 v2.5.1 (appendix A). A code that is not here is shown as it stands:
:func:`word` never hides one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask_babel import lazy_gettext as _

from protocols.cda.header import Code, DocumentKind

SEX: Final[Mapping[str, Any]] = {
    "F": _("female"), "M": _("male"), "O": _("other sex"), "U": _("sex unknown"), "A": _("sex ambiguous"),
    "N": _("sex not applicable"), "UN": _("sex undetermined"),
}  # fmt: skip
FLAGS: Final[Mapping[str, tuple[str, Any]]] = {
    "LL": ("bad", _("critically low")),
    "HH": ("bad", _("critically high")),
    "<": ("bad", _("below what can be measured")),
    ">": ("bad", _("above what can be measured")),
    "AA": ("bad", _("critically abnormal")),
    "L": ("warn", _("low")),
    "H": ("warn", _("high")),
    "A": ("warn", _("abnormal")),
    "LU": ("warn", _("markedly low")),
    "HU": ("warn", _("markedly high")),
    "U": ("warn", _("clearly risen")),
    "D": ("warn", _("clearly fallen")),
    "W": ("warn", _("worse")),
    "B": ("info", _("better")),
    "N": ("ok", _("normal")),
    "S": ("ok", _("susceptible")),
    "I": ("warn", _("intermediate")),
    "R": ("warn", _("resistant")),
    "MS": ("ok", _("moderately susceptible")),
    "VS": ("ok", _("very susceptible")),
    "SDD": ("info", _("susceptible, depending on the dose")),
    "POS": ("warn", _("positive")),
    "NEG": ("ok", _("negative")),
    "IND": ("info", _("indeterminate")),
    "E": ("info", _("equivocal")),
    "DET": ("warn", _("detected")),
    "ND": ("ok", _("not detected")),
    "RR": ("warn", _("reactive")),
    "WR": ("warn", _("weakly reactive")),
    "NR": ("ok", _("not reactive")),
    "TOX": ("bad", _("toxic level")),
}
"""Table 0078: how a laboratory judges a value: kind of the mark, and the word."""
RESULT_STATUS: Final[Mapping[str, Any]] = {
    "F": _("final"), "C": _("corrected"), "P": _("preliminary"), "R": _("not verified yet"),
    "I": _("specimen in the laboratory"), "S": _("partial"), "X": _("no result can be had"),
    "D": _("withdrawn"), "W": _("wrong: belongs elsewhere"), "U": _("final, as before"),
    "N": _("not asked for"), "O": _("order detail only"), "A": _("amended"), "B": _("appended"),
    "V": _("verified"),
}  # fmt: skip
"""Table 0085."""
NOT_VALID: Final = frozenset({"D", "W", "X"})
"""Results of these statuses must not be read as values."""
REPORT_STATUS: Final[Mapping[str, Any]] = {
    "O": _("order received"), "I": _("specimen received, no result yet"), "S": _("scheduled, no result yet"),
    "A": _("some results"), "P": _("preliminary"), "C": _("corrected"), "R": _("not verified yet"),
    "F": _("final"), "X": _("cancelled"), "Y": _("no order on file"), "Z": _("no such patient on file"),
    "M": _("corrected, not final"), "N": _("final results for some"),
}  # fmt: skip
"""Table 0123."""
CONTROL: Final[Mapping[str, Any]] = {
    "NW": _("new order"), "CA": _("please cancel"), "OC": _("cancelled"), "CR": _("cancelled as asked"),
    "OK": _("accepted"), "UA": _("cannot be accepted"), "UC": _("cannot be cancelled"),
    "XO": _("please change"), "XR": _("changed as asked"), "XX": _("changed"), "RE": _("results"),
    "SC": _("status changed"), "HD": _("please hold"), "HR": _("held as asked"), "RL": _("please release"),
    "DC": _("please discontinue"), "DR": _("discontinued as asked"), "OD": _("discontinued"),
    "RP": _("please replace"), "RO": _("replacement"), "RU": _("replaced"), "SN": _("please number"),
    "NA": _("number"), "PA": _("parent order"), "CH": _("part of an order"), "SS": _("status asked for"),
    "SR": _("status"), "RR": _("request received"), "UH": _("cannot be held"), "UX": _("cannot be changed"),
    "UR": _("cannot be released"), "DE": _("data error"),
}  # fmt: skip
"""Table 0119."""
ORDER_STATUS: Final[Mapping[str, Any]] = {
    "A": _("some results"), "CA": _("cancelled"), "CM": _("completed"), "DC": _("discontinued"),
    "ER": _("not found"), "HD": _("on hold"), "IP": _("in process"), "RP": _("replaced"),
    "SC": _("scheduled"),
}  # fmt: skip
"""Table 0038."""
PRIORITY: Final[Mapping[str, Any]] = {
    "S": _("urgent (STAT)"), "STAT": _("urgent (STAT)"), "A": _("as soon as possible"), "R": _("routine"),
    "P": _("before the operation"), "C": _("call back with the result"), "T": _("at a set time"),
    "PRN": _("as needed"),
}  # fmt: skip
"""Tables 0027, 0485 and 0280."""
PATIENT_CLASS: Final[Mapping[str, Any]] = {
    "E": _("emergency"), "I": _("inpatient"), "O": _("outpatient"), "P": _("before admission"),
    "R": _("recurring patient"), "B": _("obstetrics"), "C": _("commercial account"), "N": _("not applicable"),
    "U": _("unknown"),
}  # fmt: skip
"""Table 0004."""
REFERRAL_STATUS: Final[Mapping[str, Any]] = {
    "A": _("accepted"), "P": _("waits for an answer"), "R": _("rejected"), "E": _("no longer valid"),
}  # fmt: skip
"""Table 0283."""
PROVIDER_ROLE: Final[Mapping[str, Any]] = {
    "RP": _("referred by"), "RT": _("referred to"), "PP": _("family doctor"), "CP": _("consulted"),
    "RA": _("answered by"), "AT": _("attending"),
}  # fmt: skip
"""Table 0286."""
COMPLETION: Final[Mapping[str, Any]] = {
    "DI": _("dictated"), "DO": _("written down"), "IP": _("in progress"), "IN": _("incomplete"),
    "PA": _("waits for its signature"), "AU": _("signed"), "LA": _("signed, legally binding"),
}  # fmt: skip
"""Table 0271."""
AVAILABILITY: Final[Mapping[str, Any]] = {
    "AV": _("available"), "CA": _("withdrawn"), "OB": _("outdated"), "UN": _("not available"),
}  # fmt: skip
"""Table 0273."""
DOCUMENT_TYPE: Final[Mapping[str, Any]] = {
    "AR": _("autopsy report"), "CD": _("cardiology report"), "CN": _("consultation"),
    "DI": _("imaging report"), "DS": _("discharge summary"), "ED": _("emergency report"),
    "HP": _("history and examination"), "OP": _("operation report"), "PC": _("psychiatric consultation"),
    "PH": _("psychiatric history"), "PN": _("procedure note"), "PR": _("progress note"),
    "SP": _("surgical pathology"), "TS": _("transfer summary"),
}  # fmt: skip
"""Table 0270."""
LETTERS: Final[Mapping[Code, Any]] = {
    DocumentKind.PATIENT_FILE.code: _("Patient file"),
    DocumentKind.ADVICE.code: _("Advice"),
    DocumentKind.DISCHARGE.code: _("Discharge letter"),
    DocumentKind.REFERRAL.code: _("Referral"),
}
"""Documents that a desk writes, as its writer chose them; one that a system calls otherwise is not here."""
ALLERGY: Final[Mapping[str, Any]] = {
    "DA": _("drug allergy"), "FA": _("food allergy"), "MA": _("other allergy"), "MC": _("contraindication"),
    "EA": _("environmental allergy"), "AA": _("animal allergy"), "PA": _("plant allergy"),
    "LA": _("pollen allergy"),
}  # fmt: skip
"""Table 0127."""
SEVERITY: Final[Mapping[str, Any]] = {
    "SV": _("severe"), "MO": _("moderate"), "MI": _("mild"), "U": _("severity unknown"),
}  # fmt: skip
"""Table 0128."""


def word(table: Mapping[str, Any], code: str) -> Any:
    """Return what a code is called, lazily; the code itself if the table does not know it."""
    return table.get(code.upper(), code)
