"""Any message as it stands: segment by segment, field by field, for what has no view of its own.

It is also behind every other view, closed, so that nothing a sender wrote is out of reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flask_babel import lazy_gettext as _

from nodes.desk.viewing.blocks import Row, SegmentRows
from nodes.desk.viewing.written import CUT, Line, plain

SEGMENTS: Final = 2_000
ROWS: Final = 200
"""Of one segment."""
TEXT_CHARS: Final = 2_000
TITLES: Final[dict[str, Any]] = {
    "MSH": _("Message header"), "EVN": _("Event"), "PID": _("Patient"), "PD1": _("More about the patient"),
    "NK1": _("Relative or contact"), "PV1": _("Stay"), "PV2": _("More about the stay"), "AL1": _("Allergy"),
    "DG1": _("Diagnosis"), "PR1": _("Procedure"), "ORC": _("Order"), "OBR": _("Examination"),
    "OBX": _("Result"), "NTE": _("Comment"), "SPM": _("Specimen"), "TXA": _("Document"),
    "RF1": _("Referral"), "PRD": _("Takes part"), "TQ1": _("Time and priority"),
    "MSA": _("Acknowledgement"), "ERR": _("Error"), "IN1": _("Insurance"), "SCH": _("Appointment"),
    "RXO": _("Prescription"), "RXE": _("Prescription"), "RXA": _("Administration"), "RQD": _("Supply"),
    "MRG": _("Formerly known as"), "GT1": _("Guarantor"), "QPD": _("Query"),
}  # fmt: skip


def segment_rows(lines: Iterable[Line]) -> list[SegmentRows]:
    """Return the segments with every value that is said, at most ``SEGMENTS`` of them."""
    found = []
    for number, one in enumerate(lines):
        if number >= SEGMENTS:
            break
        found.append(SegmentRows(one.name, TITLES.get(one.name, ""), tuple(_rows(one))))
    return found


def _rows(one: Line) -> list[Row]:
    rows: list[Row] = []
    for leaf in one.segment.leaves(one.name):
        if len(rows) >= ROWS:
            rows.append(Row("", CUT.strip()))
            break
        text = plain(one.message, leaf.value)
        if text:
            rows.append(Row(leaf.path, text if len(text) <= TEXT_CHARS else text[:TEXT_CHARS] + CUT))
    return rows
