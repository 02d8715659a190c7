"""Orders (OML, OMG, ORL, …), referrals (REF, RRI), documents (MDM) and movements (ADT) as labelled values.

Each function takes the segments of one patient's part of a message and returns blocks in the order in which
somebody needs them: what is asked, how urgent it is, by whom; then the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flask_babel import lazy_gettext as _
from markupsafe import Markup

from nodes.desk.viewing import codes, results
from nodes.desk.viewing.blocks import Block, Facts, Panel, Paper, Prose, facts
from nodes.desk.viewing.written import Line
from protocols.cda.header import Code
from protocols.hl7.composing.document import REPORT_TYPES

_LINES_OF_TEXT: Final = 2
VISIT_FIELDS: Final = 52
"""PV1 has no more (3.4.3)."""
_BREAK: Final = Markup("<br>")


def order_blocks(lines: Sequence[Line]) -> list[Block]:
    """Return each order: what, how urgent, why, of which specimen; results that came with it."""
    found: list[Block] = []
    for group in _groups(lines, "ORC", "OBR"):
        by = {name: next((one for one in group if one.name == name), None) for name in ("ORC", "OBR", "TQ1")}
        title = by["OBR"].coded(4) if by["OBR"] else ""
        found.append(Facts(title or _("Order"), _order_facts(by["ORC"], by["OBR"], by["TQ1"])))
        comments = [one.prose(3) for one in group if one.name == "NTE"]
        found += [Prose(_("Comment"), text) for text in comments if text and not _has(group, "OBX")]
        specimens = [one for one in group if one.name == "SPM"]
        found += [
            Facts(
                _("Specimen"),
                facts(
                    (_("Specimen"), one.coded(4)),
                    (_("Taken from"), one.coded(8)),
                    (_("Amount"), one.quantity(12)),
                    (_("Specimen taken"), one.moment(17)),
                    (_("Specimen number"), one.text(2)),
                ),
            )
            for one in specimens
        ]
        if _has(group, "OBX"):
            found += results.panels(one for one in group if one.name in {"OBX", "NTE"})
    return found


def _order_facts(order: Line | None, asked: Line | None, timing: Line | None) -> tuple[Any, ...]:
    pairs: list[tuple[Any, Any]] = []
    if order is not None:
        pairs += [
            (_("Says"), codes.word(codes.CONTROL, order.code(1))),
            (_("State"), codes.word(codes.ORDER_STATUS, order.code(5))),
        ]
    urgency = timing.code(9) if timing is not None else ""
    urgency = urgency or (asked.part(27, 6).upper() or asked.code(5) if asked is not None else "")
    pairs.append((_("Priority"), codes.word(codes.PRIORITY, urgency)))
    if asked is not None:
        pairs += [
            (_("Reason"), asked.coded(31)),
            (_("Clinical information"), asked.prose(13)),
            (_("Wanted at"), asked.moment(36)),
        ]
    if order is not None:
        pairs += [(_("Requested by"), order.people(12)), (_("Requested"), order.moment(9))]
    if asked is not None:
        pairs += [
            (_("Requested by"), "" if order is not None and order.people(12) else asked.people(16)),
            (_("Order number"), asked.text(2) or (order.text(2) if order else "")),
            (_("Number at the laboratory"), asked.text(3) or (order.text(3) if order else "")),
        ]
    return facts(*pairs)


def referral_blocks(lines: Sequence[Line]) -> list[Block]:
    """Return a referral: what is asked of whom and why; diagnoses, allergies, results, letters."""
    found: list[Block] = []
    for one in _named(lines, "RF1"):
        shown = facts(
            (_("State"), codes.word(codes.REFERRAL_STATUS, one.code(1))),
            (_("Priority"), codes.word(codes.PRIORITY, one.code(2))),
            (_("Kind"), one.coded(3)),
            (_("What is asked"), one.coded(4)),
            (_("Reason"), one.coded(10)),
            (_("Since"), one.moment(7)),
            (_("Until"), one.moment(8)),
            (_("Referral number"), one.text(6)),
        )
        found.append(Facts(_("Referral"), shown))
    for one in _named(lines, "PRD"):
        role = one.code(1)
        shown = facts(
            (_("Name"), one.person_name(one.first(2))),
            (_("Role"), "" if role in codes.PROVIDER_ROLE else one.coded(1)),
            (_("Place"), one.place(4)),
            (_("Telephone"), one.telephone(one.first(5))),
        )
        found.append(Facts(codes.PROVIDER_ROLE.get(role, _("Takes part")), shown))
    found += clinical_blocks(lines)
    found += _visit(_told(lines))
    return found + _papers_and_results(lines)


def document_blocks(lines: Sequence[Line]) -> list[Block]:
    """Return a document's notice: what it is, who answers for it, its state, and the document."""
    found: list[Block] = []
    for one in _named(lines, "TXA"):
        shown = facts(
            (_("Kind"), _document_kind(one, lines)),
            (_("Author"), one.people(9) or one.people(5)),
            (_("Written"), one.moment(6) or one.moment(4)),
            (_("State"), codes.word(codes.COMPLETION, one.code(17))),
            (_("Availability"), codes.word(codes.AVAILABILITY, one.code(19))),
            (_("Document number"), one.text(12)),
            (_("Replaces or adds to"), one.text(13)),
        )
        found.append(Facts(_("Document"), shown))
    return found + _papers_and_results(lines) + _visit(_told(lines))


def _document_kind(notice: Line, lines: Sequence[Line]) -> Any:
    """Return what a document is: as its writer chose it, if a desk wrote it; else as TXA-2 says."""
    kind = notice.code(2)
    for one in lines:
        if one.files and _letter(one) and REPORT_TYPES.get(one.text(3)) == kind:
            return _letter(one)
    return codes.word(codes.DOCUMENT_TYPE, kind) if kind else notice.coded(2)


def _letter(one: Line) -> Any:
    return codes.LETTERS.get(Code(one.part(3, 1), one.part(3, 2)), "")


def movement_blocks(lines: Sequence[Line]) -> list[Block]:
    """Return an ADT message: where the patient is, since when, with whom; diagnoses, allergies, relatives."""
    found: list[Block] = [
        Facts(
            _("What happened"),
            facts(
                (_("When"), one.moment(6) or one.moment(2)),
                (_("Why"), one.coded(4)),
                (_("Where"), one.text(7)),
            ),
        )
        for one in _named(lines, "EVN")
    ]
    found += _visit(lines)
    found += [
        Facts(
            _("Formerly known as"),
            facts((_("Number"), one.text(1)), (_("Name"), one.person_name(one.first(7)))),
        )
        for one in _named(lines, "MRG")
    ]
    found += clinical_blocks(lines)
    found += [
        Facts(
            _("Relative or contact"),
            facts(
                (_("Name"), one.person_name(one.first(2))),
                (_("Relation"), one.coded(3)),
                (_("Telephone"), one.telephone(one.first(5))),
            ),
        )
        for one in _named(lines, "NK1")
    ]
    return found + _papers_and_results(lines)


def clinical_blocks(lines: Sequence[Line]) -> list[Block]:
    """Return allergies, then diagnoses and procedures."""
    found: list[Block] = [
        Facts(
            codes.ALLERGY.get(one.code(2), _("Allergy")),
            facts(
                (_("To"), one.coded(3)),
                (_("Severity"), codes.word(codes.SEVERITY, one.code(4))),
                (_("Reaction"), one.coded(5)),
                (_("Since"), one.moment(6)),
            ),
        )
        for one in _named(lines, "AL1")
    ]
    found += [
        Facts(
            _("Diagnosis"),
            facts(
                (_("Diagnosis"), one.coded(3) or one.text(4)),
                (_("Code"), one.text(3)),
                (_("Since"), one.moment(5)),
                (_("Made by"), one.people(16)),
            ),
        )
        for one in _named(lines, "DG1")
    ]
    return found + [
        Facts(_("Procedure"), facts((_("Procedure"), one.coded(3)), (_("When"), one.moment(5))))
        for one in _named(lines, "PR1")
    ]


def _told(lines: Sequence[Line]) -> list[Line]:
    """Leave out a PV1 that says nothing: of an unknown class, at the sender's own address."""
    return [one for one in lines if one.name != "PV1" or not _says_nothing(one)]


def _says_nothing(visit: Line) -> bool:
    head = visit.message.header
    address = [head.sending_application.field, b"", b"", head.sending_facility.field]
    place = visit.first(3).split(head.delimiters.component)
    others = (number for number in range(4, VISIT_FIELDS + 1) if visit.segment.field(number))
    return visit.code(2) in {"", "U"} and place == address and not any(others)


def _visit(lines: Sequence[Line]) -> list[Block]:
    return [
        Facts(
            _("Stay"),
            facts(
                (_("Kind"), codes.word(codes.PATIENT_CLASS, one.code(2))),
                (_("Place"), one.place(3)),
                (_("Came from"), one.place(6)),
                (_("Attending"), one.people(7)),
                (_("Referred by"), one.people(8)),
                (_("Service"), one.coded(10)),
                (_("Since"), one.moment(44)),
                (_("Until"), one.moment(45)),
                (_("Visit number"), one.text(19)),
            ),
        )
        for one in _named(lines, "PV1")
    ]


def _papers_and_results(lines: Sequence[Line]) -> list[Block]:
    """Return files as papers; what else is observed as panels; comments that belong to neither as text."""
    papers = [
        Paper(_letter(one) or one.coded(3), file) for one in lines if one.name == "OBX" for file in one.files
    ]
    rest = [
        one
        for one in lines
        if one.name in {"ORC", "OBR", "NTE", "SPM"} or (one.name == "OBX" and not one.files)
    ]
    found: list[Block] = list(papers)
    if not _has(rest, "OBX", "OBR"):
        texts = [one.prose(3) for one in _named(rest, "NTE")]
        return found + [Prose(_("Comment"), text) for text in texts if text]
    panels = results.panels(rest)
    return found + [_as_prose(panel) for panel in panels]


def _as_prose(panel: Panel) -> Block:
    """Return a panel that is nothing but lines of one text (as MDM sends a report) as that text."""
    texts = [one for one in panel.results if one.unit or one.reference or one.flags or one.number is not None]
    titles = {one.name for one in panel.results}
    if texts or panel.facts or panel.notes or len(titles) != 1 or len(panel.results) < _LINES_OF_TEXT:
        return panel
    return Prose(panel.results[0].name, _BREAK.join(one.value for one in panel.results))


def _named(lines: Sequence[Line], name: str) -> list[Line]:
    return [one for one in lines if one.name == name]


def _has(lines: Sequence[Line], *names: str) -> bool:
    return any(one.name in names for one in lines)


def _groups(lines: Sequence[Line], *heads: str) -> list[list[Line]]:
    """Cut segments into groups that begin with the first of ``heads``, or with the second without it."""
    found: list[list[Line]] = []
    for one in lines:
        alone = one.name == heads[1] and found and not _has(found[-1], heads[1])
        if one.name == heads[0] or (one.name == heads[1] and not alone):
            found.append([one])
        elif found:
            found[-1].append(one)
    return found
