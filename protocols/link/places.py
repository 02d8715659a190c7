"""What a facility is and where: the kinds of institutions and the 58 wilayas, as numbers and names.

Both travel in directory entries (``entries.DirectoryEntry``), unsigned like titles: they are for people and
for the hub's own policy. An unknown kind or number is shown as it came; a later hub may know more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class FacilityKind(StrEnum):
    """What an institution is, by the names of the Algerian health system."""

    CHU = "chu"
    EHU = "ehu"
    EHS = "ehs"
    EPH = "eph"
    EPSP = "epsp"
    POLYCLINIC = "polyclinic"
    TREATMENT_ROOM = "treatment-room"
    MINISTRY = "ministry"
    PHARMACY = "pharmacy"


class Wilaya(NamedTuple):
    """A province: its name in French and in Arabic."""

    french: str
    arabic: str


_NAMES: Final = """
Adrar|أدرار
Chlef|الشلف
Laghouat|الأغواط
Oum El Bouaghi|أم البواقي
Batna|باتنة
Béjaïa|بجاية
Biskra|بسكرة
Béchar|بشار
Blida|البليدة
Bouira|البويرة
Tamanrasset|تمنراست
Tébessa|تبسة
Tlemcen|تلمسان
Tiaret|تيارت
Tizi Ouzou|تيزي وزو
Alger|الجزائر
Djelfa|الجلفة
Jijel|جيجل
Sétif|سطيف
Saïda|سعيدة
Skikda|سكيكدة
Sidi Bel Abbès|سيدي بلعباس
Annaba|عنابة
Guelma|قالمة
Constantine|قسنطينة
Médéa|المدية
Mostaganem|مستغانم
M'Sila|المسيلة
Mascara|معسكر
Ouargla|ورقلة
Oran|وهران
El Bayadh|البيض
Illizi|إليزي
Bordj Bou Arréridj|برج بوعريريج
Boumerdès|بومرداس
El Tarf|الطارف
Tindouf|تندوف
Tissemsilt|تيسمسيلت
El Oued|الوادي
Khenchela|خنشلة
Souk Ahras|سوق أهراس
Tipaza|تيبازة
Mila|ميلة
Aïn Defla|عين الدفلى
Naâma|النعامة
Aïn Témouchent|عين تموشنت
Ghardaïa|غرداية
Relizane|غليزان
Timimoun|تيميمون
Bordj Badji Mokhtar|برج باجي مختار
Ouled Djellal|أولاد جلال
Béni Abbès|بني عباس
In Salah|عين صالح
In Guezzam|عين قزام
Touggourt|تقرت
Djanet|جانت
El M'Ghair|المغير
El Meniaa|المنيعة
"""
WILAYAS: Final[dict[int, Wilaya]] = {
    number: Wilaya(*line.split("|")) for number, line in enumerate(_NAMES.split("\n")[1:-1], start=1)
}
"""The 58 provinces by their number (law 19-12 of 2019)."""


def wilaya_name(number: int) -> str:
    """Return the French name, or nothing for a number that is none."""
    found = WILAYAS.get(number)
    return found.french if found else ""
