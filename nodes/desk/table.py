"""Every page of the desk, and what it needs: the one table that the application is made from.

A test asks each of them as nobody, in each role and from each department, so what is missing here cannot be
reached. A new room adds its ``PAGES`` here, and its directory to ``ROOMS``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nodes.care.patients import views as patients
from nodes.desk import account, admin, entrance, second
from nodes.desk.compose import upload_views
from nodes.desk.compose import views as compose
from nodes.desk.mail import views as mail
from nodes.desk.sent import views as sent
from nodes.desk.viewing import pages as viewing
from runtime.web.site import Page

HERE: Final = Path(__file__).parent
ROOMS: Final[tuple[Path, ...]] = (HERE / "compose", HERE / "viewing", HERE.parent / "care" / "patients")
"""Directories of rooms that have ``templates``, ``translations`` or ``static`` of their own."""
POLLS: Final = frozenset({"department", "track"})
"""Pages that ask for themselves again (htmx): such a request does not keep a session alive."""
PAGES: Final[tuple[Page, ...]] = (
    *entrance.PAGES,
    *mail.PAGES,
    *compose.PAGES,
    *upload_views.PAGES,
    *viewing.PAGES,
    *sent.PAGES,
    *patients.PAGES,
    *account.PAGES,
    *second.PAGES,
    *admin.PAGES,
)
