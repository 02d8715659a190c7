"""When what may be said: the link's states, as tables.

``TRANSITIONS`` holds every step that a session can make; what is not listed is an error.
``RECEIVES`` holds the frames that each side accepts in each state; a frame that is not
listed ends the session. One test visits every pair, and the diagram in
``docs/link-protocol.md`` is drawn from these tables.
"""

from enum import Enum, auto
from typing import Final

from protocols.link import frames as f
from protocols.link.errors import LocalError


class Role(Enum):
    """Which end this is."""

    HUB = auto()
    NODE = auto()


class Phase(Enum):
    """Where a session is."""

    AWAITING_HELLO = "awaiting hello"
    DECIDING = "deciding"
    AWAITING_WELCOME = "awaiting welcome"
    AWAITING_READY = "awaiting ready"
    OPEN = "open"
    JOINING = "joining"
    ENDING = "ending"
    CLOSED = "closed"


class Step(Enum):
    """What moves a session on."""

    HELLO_RECEIVED = auto()
    WELCOME_SENT = auto()
    JOIN_WELCOME_SENT = auto()
    REFUSED = auto()
    WELCOME_RECEIVED = auto()
    JOIN_WELCOME_RECEIVED = auto()
    READY_RECEIVED = auto()
    END_SENT = auto()
    END_RECEIVED = auto()
    FAULT = auto()
    LOST = auto()


_TALKING: Final = (Phase.OPEN, Phase.JOINING, Phase.AWAITING_READY)

TRANSITIONS: Final[dict[tuple[Phase, Step], Phase]] = {
    (Phase.AWAITING_HELLO, Step.HELLO_RECEIVED): Phase.DECIDING,
    (Phase.DECIDING, Step.WELCOME_SENT): Phase.AWAITING_READY,
    (Phase.DECIDING, Step.JOIN_WELCOME_SENT): Phase.JOINING,
    (Phase.DECIDING, Step.REFUSED): Phase.ENDING,
    (Phase.AWAITING_READY, Step.READY_RECEIVED): Phase.OPEN,
    (Phase.AWAITING_WELCOME, Step.WELCOME_RECEIVED): Phase.OPEN,
    (Phase.AWAITING_WELCOME, Step.JOIN_WELCOME_RECEIVED): Phase.JOINING,
    **{(phase, Step.END_SENT): Phase.ENDING for phase in _TALKING},
    **{(phase, Step.END_RECEIVED): Phase.CLOSED for phase in (*_TALKING, Phase.ENDING)},
    **{(phase, Step.FAULT): Phase.CLOSED for phase in Phase if phase is not Phase.CLOSED},
    **{(phase, Step.LOST): Phase.CLOSED for phase in Phase},
}

_ALWAYS: Final[frozenset[type]] = frozenset({f.Ping, f.Pong, f.Rekey, f.End})

RECEIVES: Final[dict[tuple[Role, Phase], frozenset[type]]] = {
    (Role.HUB, Phase.AWAITING_READY): frozenset({f.Ready, f.End}),
    (Role.HUB, Phase.JOINING): _ALWAYS | {f.Join},
    (Role.HUB, Phase.OPEN): _ALWAYS
    | {
        f.Again,
        f.Submit,
        f.Resume,
        f.Taken,
        f.Receipts,
        f.EventsTaken,
        f.Offer,
        f.Want,
        f.Chunk,
        f.DirectoryWanted,
        f.Witnessed,
        f.Renew,
    },
    (Role.NODE, Phase.JOINING): _ALWAYS | {f.Joined},
    (Role.NODE, Phase.OPEN): _ALWAYS
    | {
        f.Accepted,
        f.Refused,
        f.Busy,
        f.Deliver,
        f.ReceiptsStored,
        f.Events,
        f.Want,
        f.Chunk,
        f.Stored,
        f.FileRefused,
        f.Directory,
        f.Checkpoint,
        f.Renewed,
    },
}
"""In ENDING everything but End is read and dropped; in the other phases no frame is possible."""

_OWN: Final[frozenset[type]] = frozenset({f.Ready, f.Rekey, f.End})

SENDS: Final[dict[tuple[Role, Phase], frozenset[type]]] = {
    (role, phase): RECEIVES[other, phase] - _OWN
    for role, other in ((Role.HUB, Role.NODE), (Role.NODE, Role.HUB))
    for phase in (Phase.OPEN, Phase.JOINING)
}
"""What an owner may send; the session itself says READY, REKEY and END."""


def follow(phase: Phase, step: Step) -> Phase:
    """Return the phase after ``step``; :class:`LocalError` if that step does not exist there."""
    try:
        return TRANSITIONS[phase, step]
    except KeyError:
        raise LocalError(f"no step {step.name} from {phase.value!r}") from None
