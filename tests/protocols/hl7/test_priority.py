"""STAT is found where the standard puts it, and nowhere else."""

import pytest

from protocols.hl7.header import read_header
from protocols.hl7.priority import LOOK_WITHIN_BYTES, is_stat

MSH = "MSH|^~\\&|labo|chu-alger|labo|chu-oran|20260101||OML^O21|1|P|2.5.1\r"


@pytest.mark.parametrize(
    ("segments", "stat"),
    [
        ("ORC|NW|1\rTQ1|1||||||||S\r", True),
        ("ORC|NW|1\rTQ1|1||||||||S^Stat^HL70485\r", True),
        ("ORC|NW|1||||^^^^^S\rOBR|1\r", False),  # ORC-6 is no quantity/timing
        ("ORC|NW|1|||||^^^^^S\rOBR|1\r", True),
        ("OBR|1|||||||||||||||||||||||||||^^^^^S\r", False),  # OBR-28
        ("OBR|1||||||||||||||||||||||||||^^^^^stat\r", True),
        ("ORC|NW|1|||||^^^^^R\rTQ1|1||||||||R\r", False),
        ("TQ1|1||||||||A\r", False),
        ("PID|1||S\r", False),
        ("", False),
        ("NTE|1||" + "x" * LOOK_WITHIN_BYTES + "\rTQ1|1||||||||S\r", False),
    ],
)
def test_stat_where_the_standard_puts_it(segments: str, stat: bool) -> None:
    raw = (MSH + segments).encode()
    assert is_stat(read_header(raw), raw) is stat
