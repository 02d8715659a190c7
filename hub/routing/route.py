"""One envelope, taken apart into deliveries and returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from config.fields import duration_text
from hub.routing.policy import Rules
from protocols.link.envelope import Envelope, facility_of, mailbox_of
from protocols.link.errors import RemoteError

ROUTES_KEPT: Final = 16_384
"""Answers kept, some 10 MiB; beyond, all are forgotten."""
FEW_RECIPIENTS: Final = 4
"""Who writes to more is not remembered: no facility's messages may fill the memory."""


class Reason(StrEnum):
    """Why a message comes back. Stable codes, listed in ``docs/delivery.md``."""

    UNKNOWN_FACILITY = "unknown-facility"
    UNKNOWN_MAILBOX = "unknown-mailbox"
    INACTIVE = "facility-inactive"
    NOT_ALLOWED = "not-allowed"
    EXPIRED = "expired"
    DAMAGED = "damaged-in-store"
    GIVEN_UP = "given-up"
    RETURNED_BEFORE = "returned-before"


class Delay(StrEnum):
    """Why a sender is warned that a message is late."""

    OFFLINE = "recipient-offline"
    WAITING = "recipient-slow"
    IN_DOUBT = "in-doubt"
    PAUSED = "queue-paused"


class Places(Protocol):
    """What routing asks of the directory."""

    def mailboxes_of(self, facility: str) -> frozenset[str] | None:
        """Return the facility's mailbox names, None if there is no such facility."""

    def kind_of(self, facility: str) -> str:
        """Return what kind of institution the facility is, empty if that was not said."""

    def is_active(self, facility: str) -> bool:
        """Return whether the facility may send and receive now."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Where one message goes: addresses to deliver to, and addresses that come back with a reason."""

    deliveries: tuple[str, ...]
    returns: tuple[tuple[str, Reason], ...]


def check_sender(envelope: Envelope, facility: str, max_valid_for_ms: int) -> None:
    """Raise :class:`RemoteError` unless ``facility``, whose session it is, may submit this envelope."""
    if envelope.sender_facility != facility:
        raise RemoteError("not-yours", f"the sender is {envelope.sender}, the session is {facility}'s")
    if envelope.valid_for_ms > max_valid_for_ms:
        raise RemoteError(
            "valid-for",
            f"valid for {duration_text(envelope.valid_for_ms)}, this hub keeps messages for at most "
            f"{duration_text(max_valid_for_ms)}",
        )


def route(envelope: Envelope, places: Places, rules: Rules) -> Routed:
    """Decide for each recipient."""
    deliveries: list[str] = []
    returns: list[tuple[str, Reason]] = []
    for recipient in dict.fromkeys(envelope.recipients):
        reason = _obstacle(envelope, recipient, places, rules)
        if reason is None:
            deliveries.append(recipient)
        else:
            returns.append((recipient, reason))
    return Routed(tuple(deliveries), tuple(returns))


class Routes:
    """Routing by one directory and one set of rules; what was asked before is looked up."""

    def __init__(self, places: Places, rules: Rules) -> None:
        self._places, self._rules = places, rules
        self._known: dict[tuple[str, str, tuple[str, ...]], Routed] = {}

    def of(self, envelope: Envelope) -> Routed:
        """Return what :func:`route` says."""
        if len(envelope.recipients) > FEW_RECIPIENTS:
            return route(envelope, self._places, self._rules)
        asked = envelope.sender, envelope.kind, envelope.recipients
        routed = self._known.get(asked)
        if routed is None:
            if len(self._known) >= ROUTES_KEPT:
                self._known.clear()
            routed = self._known[asked] = route(envelope, self._places, self._rules)
        return routed


def _obstacle(envelope: Envelope, recipient: str, places: Places, rules: Rules) -> Reason | None:
    facility = facility_of(recipient)
    names = places.mailboxes_of(facility)
    if names is None:
        return Reason.UNKNOWN_FACILITY
    if not places.is_active(facility):
        return Reason.INACTIVE
    if mailbox_of(recipient) not in names:
        return Reason.UNKNOWN_MAILBOX
    kinds = places.kind_of(envelope.sender_facility), places.kind_of(facility)
    if not rules.allows(envelope.sender, envelope.kind, recipient, *kinds):
        return Reason.NOT_ALLOWED
    return None
