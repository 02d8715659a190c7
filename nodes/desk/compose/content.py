"""What a draft says, page by page, and what is still wrong with it.

A draft may be half written, so nothing is refused when it is saved; each page's rules say what has to be put
right before the next, and all of them run again before it is sent. A fault names its field and a code;
:mod:`nodes.desk.compose.words` has the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct

from crypto.identity import is_address
from nodes.desk.compose import bounds
from protocols.hl7.composing.result import FLAGS
from protocols.link import limits
from protocols.parties import Sex

EARLIEST_BIRTH: Final = date(1880, 1, 1)
CLASSES: Final = ("E", "I", "O", "U")
"""Where a patient is (HL7 table 0004): emergency, inpatient, outpatient, not said."""
LANGUAGES: Final = ("ar", "fr", "en")
_NATIONAL: Final = re.compile(rf"[0-9]{{{bounds.NATIONAL_DIGITS}}}")
_LOCAL: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z ./\-]*")


class Kind(StrEnum):
    """What a department sends to another."""

    FILE = "file"
    ADVICE = "advice"
    DISCHARGE = "discharge"
    REFERRAL = "referral"
    ORDER = "order"
    RESULT = "result"


HL7_KINDS: Final = {
    Kind.FILE: "MDM^T02",
    Kind.ADVICE: "MDM^T02",
    Kind.DISCHARGE: "MDM^T02",
    Kind.REFERRAL: "REF^I12",
    Kind.ORDER: "OML^O21",
    Kind.RESULT: "ORU^R01",
}
LETTERS: Final = frozenset({Kind.FILE, Kind.ADVICE, Kind.DISCHARGE, Kind.REFERRAL})
"""Kinds that cannot do without a text."""


class Row(Struct, frozen=True):
    """One value of a result."""

    name: str = ""
    value: str = ""
    unit: str = ""
    normal: str = ""
    flag: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was entered."""
        return not (self.name or self.value or self.unit or self.normal or self.flag)


class Content(Struct, frozen=True):
    """All fields of a draft, as they were typed.

    ``answers`` is the reference of what this answers, if anything; ``answered`` the message id (hex) of that,
    ``thread`` (hex) the conversation, ``order`` the number that an order gave its first examination.
    ``authority``: whose record number it is, if not the writer's facility's. ``several``: what it began with
    is about several patients, so none was taken over. ``searched``: what was looked for among the patients
    who are known here, since nothing of that is a second identifier.
    """

    kind: str = ""
    department: str = ""
    recipient: str = ""
    number: str = ""
    national: str = ""
    family: str = ""
    given: str = ""
    sex: str = ""
    born: str = ""
    patient_class: str = "U"
    urgent: bool = False
    language: str = "fr"
    subject: str = ""
    text: str = ""
    examinations: str = ""
    rows: tuple[Row, ...] = ()
    answers: str = ""
    answered: str = ""
    thread: str = ""
    order: str = ""
    authority: str = ""
    several: bool = False
    searched: tuple[str, ...] = ()

    @property
    def born_on(self) -> date | None:
        """The date of birth; None if there is none that can be one."""
        try:
            return date.fromisoformat(self.born)
        except ValueError:
            return None

    @property
    def values(self) -> tuple[Row, ...]:
        """The rows in which something was entered."""
        return tuple(row for row in self.rows if not row.empty)

    @property
    def examination_lines(self) -> tuple[str, ...]:
        """What is asked to be examined, one thing a line."""
        return tuple(line.strip() for line in self.examinations.splitlines() if line.strip())

    @property
    def person(self) -> str:
        """The patient's name as people say it."""
        return f"{self.given} {self.family}".strip()


@dataclass(frozen=True, slots=True)
class Fault:
    """A field that has to be put right, and a code for what is wrong with it."""

    field: str
    code: str


def recipient_faults(content: Content, departments: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong with kind, sender and recipient."""
    if content.kind not in {str(kind) for kind in Kind}:
        yield Fault("kind", "no-kind")
    if content.department not in departments:
        yield Fault("department", "no-department")
    if not content.recipient:
        yield Fault("recipient", "no-recipient")
    elif not is_address(content.recipient):
        yield Fault("recipient", "bad-recipient")


def patient_faults(content: Content, today: date) -> Iterator[Fault]:
    """Yield what is wrong with the patient: number and date of birth are the two things to know one by."""
    if not content.family:
        yield Fault("family", "no-family")
    if not content.number and not content.national:
        yield Fault("number", "no-number")
    if content.number and not _LOCAL.fullmatch(content.number):
        yield Fault("number", "bad-number")
    if content.national and not _NATIONAL.fullmatch(content.national):
        yield Fault("national", "bad-national")
    born = content.born_on
    if not content.born:
        yield Fault("born", "no-birth")
    elif born is None or not EARLIEST_BIRTH <= born <= today:
        yield Fault("born", "bad-birth")
    if content.sex not in {str(sex) for sex in Sex}:
        yield Fault("sex", "no-sex")


def text_faults(content: Content, *, files: bool) -> Iterator[Fault]:
    """Yield what is wrong with the message itself; ``files``: something is attached."""
    if not content.subject:
        yield Fault("subject", "no-subject")
    if len(content.text) > bounds.TEXT_CHARS:
        yield Fault("text", "long-text")
    elif content.kind in LETTERS and not content.text.strip():
        yield Fault("text", "no-text")
    if content.kind == Kind.ORDER:
        lines = content.examination_lines
        if not lines:
            yield Fault("examinations", "no-examination")
        elif len(lines) > bounds.EXAMINATIONS:
            yield Fault("examinations", "many-examinations")
        elif max(map(len, lines)) > bounds.LINE_CHARS:
            yield Fault("examinations", "long-examination")
    if content.kind == Kind.RESULT:
        yield from _row_faults(content)
        if not (content.values or content.text.strip() or files):
            yield Fault("row-0-name", "no-result")


def _row_faults(content: Content) -> Iterator[Fault]:
    for index, row in enumerate(content.rows):
        if row.empty:
            continue
        if not row.name:
            yield Fault(f"row-{index}-name", "no-name")
        if not row.value:
            yield Fault(f"row-{index}-value", "no-value")
        if row.flag not in FLAGS:
            yield Fault(f"row-{index}-flag", "bad-flag")


def one_line(text: str, most: int) -> str:
    """Return what stands in a field of one line: without control signs, spaces single, cut."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:most]


def many_lines(text: str, most: int) -> str:
    """Return what stands in a field of many lines: line feeds and tabs stay, other control signs go."""
    flat = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in flat if sign.isprintable() or sign in "\n\t\u200c\u200d\u200e\u200f")[
        :most
    ]


SUBJECT_CHARS: Final = limits.SUBJECT_CHARS
