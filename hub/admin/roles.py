"""Roles, and what each may do. The console, the API and their tests all read this one table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from hub.admin.errors import AdminRefused

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._\-]{0,62}")
"""What has a role, a user or a token, is called."""


class Role(StrEnum):
    """What somebody is to this hub."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """What a page or a call of the API needs."""

    SEE = "see"
    """The network, its queues, what became of messages."""
    SELF = "self"
    """One's own password and sessions."""
    TRAFFIC = "traffic"
    """Return messages that are never taken."""
    NETWORK = "network"
    """Facilities: suspend and let back."""
    USERS = "users"
    """Accounts, roles, everybody's sessions."""
    AUDIT = "audit"
    """Search and export the journal."""


_P = Permission
GRANTS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({_P.SEE, _P.SELF}),
    Role.OPERATOR: frozenset({_P.SEE, _P.SELF, _P.TRAFFIC}),
    Role.ADMINISTRATOR: frozenset(_P),
    Role.AUDITOR: frozenset({_P.SEE, _P.SELF, _P.AUDIT}),
}


def check_role(role: str) -> Role:
    """Return the role of that name; raises AdminRefused (bad-role)."""
    try:
        return Role(role)
    except ValueError:
        raise AdminRefused("bad-role", f"{role[:40]!r} is no role; there are {', '.join(Role)}") from None


def granted(role: str) -> frozenset[Permission]:
    """Return what ``role`` may do; one that this version does not know may do nothing."""
    return GRANTS[Role(role)] if role in {str(one) for one in Role} else frozenset()


def may(role: str, permission: str) -> bool:
    """Return whether ``role`` has ``permission``; a role that this version does not know has none."""
    return permission in granted(role)
