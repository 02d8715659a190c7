"""The drop folder when something fails, or somebody else acts, between two of its steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection

from nodes.gateways.folder import arrivals
from nodes.gateways.folder.arrivals import MARKER
from nodes.gateways.folder.sending import Failed, Taken
from nodes.link import inbox, outbox
from nodes.link.ids import id_text
from protocols.link.envelope import State
from runtime import crash
from tests.nodes.fixtures import Station
from tests.nodes.gateways.folders import Desk, attach, hl7, open_folder, state_of


@pytest.fixture
def desk(station: Station) -> Iterator[Desk]:
    with open_folder(station) as opened:
        yield opened


def controls(desk: Desk) -> list[str]:
    return [name for name in desk.shown() if name.endswith(".json")]


# ── laid out again ─────────────────────────────────────────────────────────────────────────


def test_a_damaged_message_does_not_hold_up_what_is_laid_out_again(station: Station) -> None:
    """In a new in/: the others are laid out, and concluded once they are taken, not laid out for ever."""
    with open_folder(station) as desk:
        fine = station.receive(hl7("1"), quietly=True)
        damaged = station.receive(hl7("2"), quietly=True)
        stored = attach(station, damaged, "a.png", b"picture")
        desk.polls(1)
        assert len(controls(desk)) == 2
        shutil.rmtree(desk.root)
    stored.unlink()
    with open_folder(station) as desk:
        (control,) = (desk.root / "in").glob(f"{fine:010d}-*.json")
        control.unlink()
        desk.drop("a.hl7", hl7("3"))
        desk.polls(4)
        assert controls(desk) == []
        assert [state_of(station, seq) for seq in (fine, damaged)] == [State.PROCESSED, State.DELIVERED]
        assert len(station.sent()) == 1


def test_what_cannot_be_laid_out_again_yet_is_not_shown(station: Station) -> None:
    """Where only the marker was lost: a program would take it now, and again when there is room."""
    with open_folder(station) as desk:
        seq = station.receive(hl7(), quietly=True)
        desk.polls(1)
        (desk.root / "in" / MARKER).unlink()
    with open_folder(station, floor_bytes=1 << 62) as desk:
        desk.polls(2)
        assert controls(desk) == []
    with open_folder(station) as desk:
        (name,) = controls(desk)
        (desk.root / "in" / name).unlink()
        desk.polls(3)
        assert controls(desk) == []
        assert state_of(station, seq) is State.PROCESSED


# ── shown late, or not at all ──────────────────────────────────────────────────────────────


def test_what_could_not_be_shown_at_once_is_shown_at_the_next_poll(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted as handed out by then, so no turn would lay it out anew."""
    show = arrivals.show

    def away(*_: object) -> None:
        monkeypatch.setattr(arrivals, "show", show)
        raise OSError("the share is away")

    monkeypatch.setattr(arrivals, "show", away)
    seq = desk.station.receive(hl7(), quietly=True)
    desk.polls(1)
    assert [code for code, _ in desk.alarms] == ["folder-trouble"]
    desk.polls(2)
    (name,) = controls(desk)
    assert state_of(desk.station, seq) is State.DELIVERED
    (desk.root / "in" / name).unlink()
    desk.polls(3)
    assert controls(desk) == []
    assert state_of(desk.station, seq) is State.PROCESSED


def test_what_another_door_concludes_while_it_is_laid_out_is_not_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as ``wasl-node fetch``: whoever took it has it, and a second program must not get it too."""
    seq = desk.station.receive(hl7(), quietly=True)
    later = desk.station.receive(hl7("2"), quietly=True)

    def conclude(connection: Connection) -> None:
        now_ms = desk.station.clock.now_ms()
        inbox.conclude(connection, desk.station.post.identity, seq, State.PROCESSED, now_ms)

    def reached(place: str) -> None:
        if place == "folder-staged" and state_of(desk.station, seq) is State.DELIVERED:
            desk.station.do(conclude)

    monkeypatch.setattr(crash, "reached", reached)
    desk.polls(3)
    assert [name[:10] for name in controls(desk)] == [f"{later:010d}"]
    assert [name for name in desk.names("in") if name.startswith(".")] == [MARKER]
    assert desk.station.inbox_row(seq).handed_ms is None
    assert desk.gateway._layer.lying == 1
    assert desk.alarms == []


# ── another file under the same name ───────────────────────────────────────────────────────


def after_the_first_put(desk: Desk, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have ``act`` happen once, after a message's commit and before the gateway hears of it."""
    real = desk.station.post.put

    async def put(draft: outbox.Draft) -> outbox.Put:
        done = await real(draft)
        monkeypatch.setattr(desk.station.post, "put", real)
        act()
        return done

    monkeypatch.setattr(desk.station.post, "put", put)


def replace(desk: Desk, name: str, content: bytes | str) -> None:
    desk.drop(".new", content).rename(desk.root / "out" / name)


def test_a_file_that_replaces_one_while_it_is_put_is_sent_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_put(desk, monkeypatch, lambda: replace(desk, "a.hl7", hl7("2")))
    desk.drop("a.hl7", hl7("1"))
    desk.polls(5)
    first, second = desk.station.sent()
    assert [desk.station.body_of(sent.id) for sent in (first, second)] == [hl7("1"), hl7("2")]
    assert desk.names("out") == desk.names("failed") == []
    assert desk.names("sent") == [f"{id_text(second.id)}-a.hl7"]


def test_a_file_that_replaces_one_whose_turn_has_not_come_is_not_read_before_it_has_settled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_put(desk, monkeypatch, lambda: desk.drop("b.hl7", hl7("2")[:-10]))
    for name in ("a.hl7", "b.hl7"):
        os.utime(desk.drop(name, hl7(name[0])), ns=(1, ord(name[0])))
    desk.polls(1)
    desk.station.advance(0.5)
    assert [desk.station.body_of(sent.id) for sent in desk.station.sent()] == [hl7("a")]
    desk.drop("b.hl7", hl7("2"))
    desk.polls()
    assert [desk.station.body_of(sent.id) for sent in desk.station.sent()] == [hl7("a"), hl7("2")]


def test_a_control_file_that_replaces_one_keeps_the_files_that_it_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go with the first: an HL7 file that was left behind would be sent on its own."""
    to = 'to = "labo@chu-oran"\nfrom = "labo"\npayload = '

    def again() -> None:
        replace(desk, "p", "second")
        replace(desk, "c.toml", to + '"p"')

    after_the_first_put(desk, monkeypatch, again)
    desk.drop("p", "first")
    desk.drop("order.hl7", hl7())
    desk.drop("c.toml", to + '"order.hl7"\nattachments = ["p"]')
    desk.polls(5)
    first, second = desk.station.sent()
    assert desk.names("out") == desk.names("failed") == []
    assert desk.names("sent") == sorted(
        [f"{id_text(first.id)}-order.hl7", f"{id_text(second.id)}-p", f"{id_text(second.id)}-c.toml"]
    )


def test_a_file_that_was_touched_while_it_was_put_is_not_sent_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.drop("a.hl7", hl7())
    after_the_first_put(desk, monkeypatch, lambda: os.utime(path, ns=(1, 1)))
    desk.polls(5)
    assert len(desk.station.sent()) == 1
    assert desk.names("out") == desk.names("failed") == []


def test_a_file_that_replaces_one_which_failed_is_not_put_aside_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = desk.gateway._sender.take_message

    async def take(name: str) -> Taken | Failed:
        outcome = await real(name)
        if isinstance(outcome, Failed):
            replace(desk, name, hl7("2"))
        return outcome

    monkeypatch.setattr(desk.gateway._sender, "take_message", take)
    desk.drop("a.hl7", hl7(to="labo|nowhere"))
    desk.polls(5)
    assert len(desk.station.sent()) == 1
    assert desk.names("out") == []
    assert desk.names("failed") == ["a.hl7.reason.txt"]
    assert "nowhere" in desk.reason()
