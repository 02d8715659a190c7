"""Two nodes with a local system on the recipient's side, as most MLLP tests want them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.localsystems import Receiver
from tests.integration.network import Network

FROM, TO = "labo@chu-alger", "cardio@chu-oran"


@dataclass
class Hospital:
    """Two nodes whose local systems are ours: ``receiver`` is the recipient's."""

    network: Network
    receiver: Receiver

    def sent(self, control: str) -> tuple[str, str]:
        """Return (id, state of the copy) of the message with this MSH-10 at its sender."""
        rows = self.network.nodes["chu-alger"].rows(
            "SELECT hex(o.id), r.state, r.code FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
            " WHERE o.key LIKE ?",
            f"%/{control}",
        )
        assert len(rows) == 1, rows
        return rows[0][0], f"{rows[0][1]} {rows[0][2]}".strip()
