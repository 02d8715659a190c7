"""Who sends an HL7 message and who is to get it, read from its own header. Pure.

The first ``[[mllp.route]]`` whose three patterns fit decides the recipients; without one, MSH-6 is the
facility and MSH-5 the mailbox. The sender is ``from`` of the settings, or else MSH-3, which must be a
mailbox of this facility, and MSH-4, which must be this facility: nobody here may speak for another
institution. Whether a recipient exists is not asked here but where the message is put.

An HD field counts by its first component, or by its second where the first is empty; ids are compared in
lower case. The bytes of the message are never changed to fit.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from config.node import Mllp, MllpRoute
from crypto.identity import is_id
from nodes.link.errors import NodeError
from protocols.hl7.header import Header, HierarchicDesignator

ANY = "*"
_SENDING_APPLICATION = 3
_SENDING_FACILITY = 4
RECEIVING_APPLICATION = 5
RECEIVING_FACILITY = 6


ADDRESSING_FIELDS: Final = (3, 4, 5, 6, 9, 18)
"""What of MSH :func:`addresses_of` reads; MSH-18 says in which characters."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """``mailbox@facility`` of both sides; ``routed``: a route chose the recipients, not MSH-5/6."""

    sender: str
    recipients: tuple[str, ...]
    routed: bool


class Misaddressed(NodeError):  # noqa: N818 - past tense states the outcome
    """The header does not address a message that may leave here.

    ``field`` is the MSH field to repair. ``foreign``: the sender is not one of this facility's mailboxes,
    which the facility's settings or the directory may put right as well as the message can.
    """

    def __init__(self, field: int, text: str, *, foreign: bool = False) -> None:
        super().__init__("misaddressed", f"MSH-{field}: {text}")
        self.field = field
        self.foreign = foreign


def addresses_of(header: Header, settings: Mllp, facility: str, own: Collection[str] | None) -> Addresses:
    """Return who sends and who gets the message of ``header``; :class:`Misaddressed` names the field.

    ``own`` are the mailboxes of this ``facility``, None while the directory does not tell.
    """
    sender = settings.sender or _sending_mailbox(header, facility, own)
    route = next((route for route in settings.routes if fits(route, header)), None)
    if route is not None:
        recipients = tuple(dict.fromkeys(str(address) for address in route.to))
    else:
        mailbox = _id(header.receiving_application, RECEIVING_APPLICATION, "the recipient's mailbox")
        other = _id(header.receiving_facility, RECEIVING_FACILITY, "the recipient's facility")
        recipients = (f"{mailbox}@{other}",)
    return Addresses(f"{sender}@{facility}", recipients, routed=route is not None)


def fits(route: MllpRoute, header: Header) -> bool:
    """Whether all three patterns of ``route`` fit; a kind pattern may name fewer parts than MSH-9 has."""
    kind = (header.message_code, header.trigger_event, header.structure)
    return (
        all(matches(part, found) for part, found in zip(route.kind.split("^"), kind, strict=False))
        and matches(route.application, name_of(header.receiving_application))
        and matches(route.facility, name_of(header.receiving_facility))
    )


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` is ``pattern``, ``*`` standing for any run of characters; case makes no difference.

    Linear, whatever the text: it comes from outside.
    """
    first, *rest = pattern.casefold().split(ANY)
    text = text.casefold()
    if not rest:
        return text == first
    last = rest.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in rest:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _sending_mailbox(header: Header, facility: str, own: Collection[str] | None) -> str:
    claimed = name_of(header.sending_facility).lower()
    if claimed != facility:
        raise Misaddressed(
            _SENDING_FACILITY,
            f"the sending facility is {_shown(claimed)}; it must be {facility!r}, or `from` set in [mllp]",
            foreign=True,
        )
    mailbox = name_of(header.sending_application).lower()
    if not is_id(mailbox) or (own is not None and mailbox not in own):
        known = "" if own is None else f" ({', '.join(sorted(own)[:12]) or 'it has none'})"
        raise Misaddressed(
            _SENDING_APPLICATION,
            f"the sending application is {_shown(mailbox)}; it must be a mailbox of {facility}{known}, "
            "or `from` set in [mllp]",
            foreign=True,
        )
    return mailbox


def _id(designator: HierarchicDesignator, field: int, meaning: str) -> str:
    found = name_of(designator).lower()
    if not is_id(found):
        raise Misaddressed(
            field, f"{_shown(found)}, but {meaning} belongs here (a-z, 0-9, '.', '-'), or a route in [mllp]"
        )
    return found


def name_of(designator: HierarchicDesignator) -> str:
    """Return what an application or facility is called in a header; empty if it is not."""
    return designator.namespace_id or designator.universal_id


def _shown(text: str) -> str:
    return repr(text[:64]) if text else "empty"
