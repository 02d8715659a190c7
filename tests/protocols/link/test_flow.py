"""Credits: exactly the window passes, one more does not, and what is answered may be said again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import State
from protocols.link.errors import LocalError
from protocols.link.session import Broken, LinkSession
from protocols.link.states import Role
from tests.protocols.link.ends import Pair, opened
from tests.protocols.link.samples import ID, LABO, SAMPLE

WINDOW = 8


def submit(count: int, _first: int = 0) -> f.AnyFrame:
    return f.Submit((f.Submission(b"m", 0),) * count)


def deliver(count: int, first: int = 0) -> f.AnyFrame:
    return f.Deliver(tuple(f.Delivery(first + n, LABO, 1, b"m") for n in range(count)))


def receipts(count: int, first: int = 0) -> f.AnyFrame:
    return f.Receipts(
        tuple(f.ReceiptItem(first + n, LABO, ID, LABO, State.PROCESSED, b"") for n in range(count))
    )


def events(count: int, first: int = 0) -> f.AnyFrame:
    return f.Events(tuple(f.Event(first + n, ID, LABO, State.DELIVERED, "", 1, b"") for n in range(count)))


def taken(*sequences: int) -> f.Taken:
    return f.Taken(tuple(f.Taking(n, State.DELIVERED, "", b"") for n in sequences))


Make = Callable[..., f.AnyFrame]
ASKS: dict[str, tuple[Role, Make, int, f.AnyFrame]] = {
    "submit": (Role.NODE, submit, WINDOW, f.Accepted((ID,))),
    "deliver": (Role.HUB, deliver, WINDOW, taken(0)),
    "receipts": (Role.NODE, receipts, limits.RECEIPT_WINDOW, f.ReceiptsStored(0)),
    "events": (Role.HUB, events, limits.RECEIPT_WINDOW, f.EventsTaken(0)),
}


def both(ends: Pair, role: Role) -> tuple[LinkSession, LinkSession]:
    return (ends.node, ends.hub) if role is Role.NODE else (ends.hub, ends.node)


def force(sender: LinkSession, receiver: LinkSession, frame: f.AnyFrame) -> Broken:
    """Say a frame as a peer without manners would, and return the fault."""
    sender._writer.put(f.encode_frame(frame))
    event = receiver.receive(sender.data_to_send())[-1]
    assert isinstance(event, Broken)
    return event


@pytest.mark.parametrize("what", ASKS)
def test_the_window_passes_whole_and_not_one_more_is_said(what: str) -> None:
    role, make, window, _ = ASKS[what]
    ends = opened()
    sender, _ = both(ends, role)
    ends.say(role, make(window))
    with pytest.raises(LocalError, match=f"0 of {window} are left"):
        sender.send(make(1, window))
    ends.pump()
    assert sum(map(len, ends.heard())) == 1


@pytest.mark.parametrize("what", ASKS)
def test_a_peer_that_says_one_more_is_cut(what: str) -> None:
    role, make, window, _ = ASKS[what]
    ends = opened()
    sender, receiver = both(ends, role)
    ends.say(role, make(window))
    ends.pump()
    assert force(sender, receiver, make(1, window)).code == "window"


@pytest.mark.parametrize("what", ASKS)
def test_an_answer_gives_room_for_as_much_as_it_answers(what: str) -> None:
    role, make, window, answer = ASKS[what]
    ends = opened()
    sender, _ = both(ends, role)
    other = Role.HUB if role is Role.NODE else Role.NODE
    ends.say(role, make(window))
    ends.pump().say(other, answer)
    ends.pump().say(role, make(1, window))
    with pytest.raises(LocalError, match="are left"):
        sender.send(make(1, window + 1))
    ends.pump()
    ends.heard()


@pytest.mark.parametrize("what", ASKS)
def test_one_that_asks_too_much_at_once_loses_no_credit(what: str) -> None:
    role, make, window, _ = ASKS[what]
    ends = opened()
    sender, _ = both(ends, role)
    with pytest.raises(LocalError):
        sender.send(make(window + 1))
    sender.send(make(window))


@pytest.mark.parametrize(
    ("role", "answer"),
    [
        (Role.NODE, taken(0)),
        (Role.NODE, f.EventsTaken(5)),
        (Role.HUB, f.ReceiptsStored(5)),
        (Role.NODE, f.Resume()),
    ],
)
def test_an_answer_to_nothing_is_a_fault(role: Role, answer: f.AnyFrame) -> None:
    """Each would cost the other side a transaction, or (RESUME) be a licence to submit without end."""
    ends = opened()
    sender, receiver = both(ends, role)
    with pytest.raises(LocalError):
        sender.send(answer)
    assert force(sender, receiver, answer).code == "out-of-turn"


def test_a_delivery_is_answered_once() -> None:
    for answers in ([taken(1), taken(1)], [taken(1, 1)], [taken(0, 3)]):
        ends = opened()
        ends.say(Role.HUB, deliver(3))
        ends.pump()
        *good, bad = answers
        for answer in good:
            ends.say(Role.NODE, answer)
        ends.pump()
        with pytest.raises(LocalError):
            ends.node.send(bad)
        assert force(ends.node, ends.hub, bad).code == "out-of-turn"


def test_a_delivery_is_not_sent_twice_before_its_answer() -> None:
    ends = opened()
    ends.say(Role.HUB, deliver(3))
    ends.pump()
    with pytest.raises(LocalError, match="under way"):
        ends.hub.send(deliver(1, 2))
    assert force(ends.hub, ends.node, deliver(1, 2)).code == "out-of-turn"
    assert force(*both(opened(), Role.HUB), f.Deliver(deliver(1).deliveries * 2)).code == "out-of-turn"  # type: ignore[union-attr]  # a Deliver


@pytest.mark.parametrize("make", [receipts, events])
def test_streams_only_go_forward(make: Make) -> None:
    role = Role.NODE if make is receipts else Role.HUB
    ends = opened()
    sender, receiver = both(ends, role)
    ends.say(role, make(2, 5))
    ends.pump()
    for first in (6, 1):
        with pytest.raises(LocalError, match="after 6"):
            sender.send(make(1, first))
    assert force(sender, receiver, make(1, 6)).code == "out-of-turn"


def test_an_answer_up_to_more_than_was_said_is_a_fault() -> None:
    """It would also answer what is still on its way."""
    ends = opened()
    ends.say(Role.HUB, events(2, 7))
    ends.pump()
    with pytest.raises(LocalError):
        ends.node.send(f.EventsTaken(9))
    ends.say(Role.NODE, f.EventsTaken(7))
    ends.pump()
    assert force(ends.node, ends.hub, f.EventsTaken(9)).code == "out-of-turn"


def test_an_acceptance_too_many_is_no_credit() -> None:
    ends = opened()
    ends.say(Role.HUB, f.Accepted((ID,) * 100))
    ends.pump()
    assert ends.node.window_left == WINDOW


def test_busy_takes_nothing_and_resume_begins_anew() -> None:
    ends = opened()
    ends.say(Role.NODE, submit(5))
    ends.pump().say(Role.HUB, SAMPLE[f.Busy])
    # What crosses BUSY on the wire still counts, and so does what is said before RESUME.
    ends.say(Role.NODE, submit(2))
    ends.pump().say(Role.NODE, submit(1))
    assert ends.node.window_left == 0
    with pytest.raises(LocalError):
        ends.node.send(submit(1))
    ends.say(Role.NODE, f.Resume())
    assert ends.node.window_left == WINDOW
    ends.say(Role.NODE, submit(WINDOW))
    ends.pump()
    assert not any(isinstance(event, Broken) for event in (*ends.at_hub, *ends.at_node))
    assert force(ends.node, ends.hub, submit(1)).code == "window"


def test_busy_and_resume_take_turns() -> None:
    ends = opened()
    for _ in range(3):
        ends.say(Role.HUB, SAMPLE[f.Busy])
        with pytest.raises(LocalError, match="before RESUME"):
            ends.hub.send(SAMPLE[f.Busy])
        ends.pump().say(Role.NODE, f.Resume())
        with pytest.raises(LocalError, match="without BUSY"):
            ends.node.send(f.Resume())
        ends.pump()
    ends.say(Role.HUB, SAMPLE[f.Busy])
    ends.pump()
    assert force(ends.hub, ends.node, SAMPLE[f.Busy]).code == "out-of-turn"


def test_resume_is_no_way_around_the_window() -> None:
    """A node that says RESUME again and again would otherwise fill the hub's memory."""
    ends = opened()
    ends.say(Role.NODE, submit(WINDOW))
    ends.pump()
    assert force(ends.node, ends.hub, f.Resume()).code == "out-of-turn"


def test_the_windows_are_those_that_were_announced() -> None:
    ends = opened(window=3)
    assert ends.hub.window_left == 3
    assert ends.node.window_left == WINDOW
