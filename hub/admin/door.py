"""The door of the console: whose accounts, and what is written down of who came."""

from __future__ import annotations

from typing import Final

from hub.admin.tables import ACCOUNTS, PASSKEYS
from hub.audit.journal import HUB, write
from runtime.web.entrance import Door

DOOR: Final = Door(ACCOUNTS, PASSKEYS, write, HUB)
