"""What a restored node forgets: it went back in time, and others did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodes.keeping import _note
from nodes.link import inbox

if TYPE_CHECKING:
    from tests.nodes.fixtures import Station


def test_what_was_laid_out_before_a_restore_is_laid_out_again(station: Station) -> None:
    """Nobody can have taken it from the folder that the restored node finds, if it finds one."""
    seq = station.receive(b"MSH|^~\\&|a|b|c|d|2026||ORU^R01|1|P|2.5\r", quietly=True)
    assert station.do(lambda c: inbox.hand(c, seq, 1))
    assert station.inbox_row(seq).handed_ms == 1
    station.do(_note)
    assert station.inbox_row(seq).handed_ms is None
