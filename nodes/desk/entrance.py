"""The desk's door: whose accounts, who is asked for a code as well, and staying signed in."""

from __future__ import annotations

from typing import Any, Final

from nodes.desk import account, audit, second, totp
from nodes.desk.context import Desk
from nodes.desk.roles import Permission
from nodes.desk.tables import ACCOUNTS, PASSKEYS
from runtime.web.accounts import User
from runtime.web.entrance import Door
from runtime.web.keys import KeyPages
from runtime.web.site import Page


def _second(desk: Desk, user: User, target: str) -> Any:
    asked = desk.read(lambda c: totp.wanted(c, user.name))
    return second.hold(desk, user, target) if asked else None


def stay(desk: Desk) -> Any:
    """Keep a session alive: whoever asks was here, and the application has noted it."""
    del desk
    return "", 204


DOOR: Final = Door(ACCOUNTS, PASSKEYS, audit.record, "desk", _second)
_KEYS: Final = KeyPages(DOOR, account.own, account.refused, account.require_password)
PAGES: Final = (
    *DOOR.pages(Permission.SELF),
    *_KEYS.pages(Permission.SELF, Permission.USERS),
    Page("GET", "/stay", "stay", stay, Permission.SELF),
)
