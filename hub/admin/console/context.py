"""What every page works on, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import request

from config.hub import HubSettings
from hub.admin.health import Health
from hub.directory.service import Issuer
from hub.home import PublicKeys
from runtime.web.rooms import Room, visitor

__all__ = ["Console", "reason", "visitor"]


@dataclass(frozen=True, slots=True)
class Console(Room):
    """One console; any thread. ``health`` asks the hub's daemon.

    ``issuer`` makes invitations and notes approvals and revocations, from public keys alone: the daemon
    signs. Both it and ``public`` raise HubHomeError while the daemon has not run yet. ``home``: the hub's,
    for commands that are shown.
    """

    settings: HubSettings
    health: Callable[[], Health]
    issuer: Callable[[], Issuer]
    public: Callable[[], PublicKeys]
    home: Path


def reason() -> str:
    """Return what somebody gave as the reason in this form."""
    return request.form.get("reason", "").strip()
