"""Roles, and what each may do. Pages and their tests read these tables.

``GRANTS`` says which pages, ``SENDS`` which kinds of message, ``CARE`` what a secretary does not open first.
They are drawn narrowly: who treats orders, refers and discharges; a laboratory answers, and orders what it
passes on to another one; a secretary sends the letters that were dictated. To whom an order goes, and that a
letter was dictated, nothing checks: the letter says by whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from nodes.desk.compose.content import HL7_KINDS, LETTERS, Kind


class Role(StrEnum):
    """What somebody is in this facility."""

    CLINICIAN = "clinician"
    NURSE = "nurse"
    LABORATORY = "laboratory"
    PHARMACY = "pharmacy"
    SECRETARY = "secretary"
    ADMINISTRATOR = "administrator"


class Permission(StrEnum):
    """What a page needs."""

    SELF = "self"
    """One's own account."""
    READ = "read"
    """The departments' messages and what is in them."""
    SEND = "send"
    """Write, answer, forward; say who is on duty."""
    PATIENTS = "patients"
    """Look patients up, and enter new ones."""
    USERS = "users"
    """Accounts, roles, and who belongs to which department."""
    AUDIT = "audit"
    """Who read and sent what."""


_P = Permission
_TEAM: Final = frozenset({_P.SELF, _P.READ, _P.SEND, _P.PATIENTS})
GRANTS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.CLINICIAN: _TEAM,
    Role.NURSE: _TEAM,
    Role.LABORATORY: _TEAM,
    Role.PHARMACY: _TEAM,
    Role.SECRETARY: _TEAM,
    Role.ADMINISTRATOR: frozenset({_P.SELF, _P.USERS, _P.AUDIT}),
}
"""The administrator of a facility keeps accounts and reads no patient's file."""

SENDS: Final[Mapping[Role, frozenset[Kind]]] = {
    Role.CLINICIAN: frozenset(Kind),
    Role.NURSE: frozenset({Kind.FILE}),
    Role.LABORATORY: frozenset({Kind.RESULT, Kind.ADVICE, Kind.ORDER}),
    Role.PHARMACY: frozenset({Kind.ADVICE}),
    Role.SECRETARY: LETTERS,
    Role.ADMINISTRATOR: frozenset(),
}
CARE: Final = frozenset(
    {"ORU", "OUL", "ORL", "ORG", "ORR", "OML", "OMG", "OMI", "OMP", "OMD", "OMS", "OMN", "ORM", "RDE"}
)
"""Orders, results and what answers them. Opening one tells its sender that the department knows of it, so the
first to do so is somebody who treats, nurses or measures; a secretary reads it after that.
"""


def may(role: str, permission: str) -> bool:
    """Return whether ``role`` has ``permission``; a role that this version does not know has none."""
    return role in {str(one) for one in Role} and permission in GRANTS[Role(role)]


def sends(role: str) -> frozenset[Kind]:
    """Return the kinds of message that ``role`` writes; one that this version does not know, none."""
    return SENDS[Role(role)] if role in {str(one) for one in Role} else frozenset()


def resends(role: str, hl7_kind: str, by: str) -> bool:
    """Return whether ``role`` sends again, or takes back, what ``by`` sent as ``hl7_kind`` (``MDM^T02``).

    Several kinds go out as one kind of HL7, and which one it was is not kept: it takes a role that writes all
    of them. What no account sent (``by`` is empty: a hospital system did), and what the desk does not write,
    is for those who may write everything.
    """
    named = {kind for kind, one in HL7_KINDS.items() if one == hl7_kind}
    return (named if named and by else set(Kind)) <= sends(role)


def opens_first(role: str, hl7_kind: str) -> bool:
    """Return whether ``role`` may be the first to open a message of this kind."""
    return role != Role.SECRETARY or hl7_kind.partition("^")[0] not in CARE
