"""The pages that only look: overview, network, one facility, tracking, the components themselves."""

from __future__ import annotations

import uuid
from typing import Any, Final
from urllib.parse import urlencode

from flask import render_template, request
from flask_babel import gettext

from hub.admin import network, rates
from hub.admin import overview as overviews
from hub.admin.console import words
from hub.admin.console.context import Console
from hub.admin.console.tiles import tiles
from hub.admin.network import Sought
from hub.spool import tracking
from protocols.link.envelope import State
from protocols.link.places import WILAYAS

PER_PAGE: Final = 50
HOURS_SHOWN: Final = 24
QUERY_CHARS: Final = 100
NUMBER_DIGITS: Final = 19
MOST_NUMBER: Final = 1 << 62
"""Rows of a hub that was restored are numbered up to there (``hub.spool.epoch``)."""


def overview(console: Console) -> str:
    """Show what needs attention, then how the network does."""
    now_ms = console.clock.now_ms()
    seen = console.read(lambda c: overviews.look(c, now_ms))
    health = console.health()
    concerns = [
        (*words.GRADES[one.grade], words.concern(one, now_ms)) for one in overviews.attention(seen, health)
    ]
    return render_template("overview.html", seen=seen, health=health, concerns=concerns)


def network_list(console: Console) -> str:
    """Show facilities, by search and filters, and the map of what was found."""
    wilaya = number_in(request.args.get("wilaya", ""), len(WILAYAS))
    sought = Sought(
        request.args.get("q", "").strip()[:QUERY_CHARS],
        request.args.get("state", ""),
        request.args.get("kind", ""),
        wilaya,
    )
    everything = console.read(network.places)
    found = network.matching(everything, sought)
    page = number_in(request.args.get("page", ""), (len(found) - 1) // PER_PAGE)

    def address(number: int) -> str:
        asked = {"q": sought.text, "state": sought.state, "kind": sought.kind, "wilaya": wilaya or ""}
        return "/network?" + urlencode({**asked, "page": number})

    return render_template(
        "network.html", found=found[page * PER_PAGE : (page + 1) * PER_PAGE], total=len(found), sought=sought,
        tiles=tiles(everything), wilayas=sorted(WILAYAS),
        newer=address(page - 1) if page else "",
        older=address(page + 1) if (page + 1) * PER_PAGE < len(found) else "",
    )  # fmt: skip


def number_in(text: str, most: int = MOST_NUMBER) -> int:
    """Return the number that an address or a form holds, at most ``most``; 0 for anything else."""
    digits = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS
    return min(int(text), max(0, most)) if digits else 0


def one_facility(console: Console, name: str) -> str:
    """Show one facility."""
    now_ms = console.clock.now_ms()
    place, hours, taken, out, link = console.read(
        lambda c: (
            network.place(c, name),
            rates.hourly_of(c, name, HOURS_SHOWN, now_ms),
            rates.hourly_to(c, name, HOURS_SHOWN, now_ms),
            network.waiting_from(c, name),
            network.link(c, name),
        )
    )
    return render_template(
        "facility.html", place=place, one=place.of, hours=hours, taken=taken, waiting_out=out, link=link
    )


def track(console: Console) -> Any:
    """Show what became of a message."""
    asked = request.args.get("id", "").strip()[:QUERY_CHARS]
    error, found = "", []
    if asked:
        try:
            raw = uuid.UUID(asked).bytes
        except ValueError:
            error = gettext(
                "This is no message id: it has 32 hexadecimal digits, like %(example)s.", example="019a3f5e-…"
            )
        else:
            found = console.read(lambda c: tracking.track(c, raw))
            if not found:
                error = gettext("This hub has accepted no message with this id, or has forgotten it.")
    copies = [(one, [(address, _steps(one, address)) for address in one.recipients]) for one in found]
    page = render_template("track.html", asked=asked, error=error, copies=copies)
    return (page, 404) if error else page


def _steps(one: tracking.Tracked, address: str) -> list[tuple[str, str, int | None, str]]:
    """Return the way of one copy: kind, title, time and reason of each step, and what comes next."""
    steps: list[tuple[str, str, int | None, str]] = [
        ("ok", str(words.STATES[State.ACCEPTED][1]), one.accepted_ms, "")
    ]
    for news in one.news:
        if news.recipient == address and news.state in words.STATES:
            kind, title = words.STATES[news.state]
            steps.append((kind, str(title), news.at_ms, words.reason(news.code) if news.code else ""))
    states = {news.state for news in one.news if news.recipient == address}
    if address in one.waiting:
        steps.append(("next", gettext("Waits at the hub for the recipient's node"), None, ""))
    elif states & {State.DELIVERED} and not states & {State.PROCESSED, State.REFUSED, State.RETURNED}:
        steps.append(("next", gettext("Waits for the application there"), None, ""))
    return steps


def components(console: Console) -> str:
    """Show every component of the design system."""
    return render_template("components_page.html", now=console.clock.now_ms())
