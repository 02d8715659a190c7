"""The drop folder when something fails, or somebody else acts, between two of its steps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from nodes.gateways.folder.arrivals import MARKER
from protocols.link.envelope import State
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
