"""The invented people and facilities of the demo.

National identification numbers (NIN) have 18 digits; those here begin with 9999 and are plainly samples.
"""

from dataclasses import dataclass
from typing import Final

from demo.network import Site

CHU: Final = Site(
    "chu-alger",
    "CHU d'Alger (invented)",
    ("admissions", "cardio", "imagerie", "labo", "garde"),
    "Dr Amina Bensample",
)
EPSP: Final = Site(
    "epsp-bab-el-oued", "EPSP Bab El Oued (invented)", ("medecin", "urgences", "garde"), "Dr Yacine Testaoui"
)
EPH: Final = Site("eph-tizi", "EPH Tizi Ouzou (invented)", ("medecine",))
SITES: Final = (CHU, EPSP, EPH)

OID_ROOT: Final = "2.999.12"
"""Below ``{joint-iso-itu-t(2) example(999)}``: object identifiers for examples alone."""


@dataclass(frozen=True, slots=True)
class Patient:
    """An invented person; ``birth`` is YYYYMMDD, ``sex`` F or M."""

    nin: str
    record: str
    family: str
    given: str
    family_ar: str
    given_ar: str
    birth: str
    sex: str

    @property
    def arabic(self) -> str:
        """The whole name in Arabic."""
        return f"{self.given_ar} {self.family_ar}"


PATIENTS: Final = (
    Patient("999900001111222233", "D-10017", "BENSAMPLE", "Amina", "بن مثال", "أمينة", "19780412", "F"),
    Patient("999900004444555566", "D-10018", "TESTAOUI", "Yacine", "تستاوي", "ياسين", "19910923", "M"),
    Patient("999900007777888899", "D-10019", "DEMOUCHE", "Lynda", "دموش", "ليندة", "20030130", "F"),
    Patient("999900002222333344", "D-10020", "EXEMPLI", "Karim", "إكسمبلي", "كريم", "19650707", "M"),
)
