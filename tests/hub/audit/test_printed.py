"""The page to print: it carries the receipt itself, and has both languages where a font allows."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from hub.audit import printed, prove
from protocols.audit import receipt
from runtime.transactions import read
from tests.hub.audit.logs import make_history
from tests.hub.hubs import AUDIT, message_id, open_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> receipt.Receipt:
    with open_store(tmp_path_factory.mktemp("hub")) as engine:
        make_history(engine)
        return read(engine, lambda c: prove.of_message(c, message_id(3)))


def streams(pdf: bytes) -> list[bytes]:
    """Return the uncompressed streams."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return [zlib.decompress(one) if one[:1] == b"\x78" else one for one in found]


def test_the_receipt_is_attached_and_checks(made: receipt.Receipt) -> None:
    data = receipt.encode(made)
    pdf = printed.page(receipt.check(made, AUDIT.public), data)
    assert pdf.startswith(b"%PDF-")
    (attached,) = [one for one in streams(pdf) if one.startswith(b"{")]
    assert attached == data
    assert receipt.check(receipt.parse(attached), AUDIT.public).about == made.about


def test_without_a_font_it_is_in_french(made: receipt.Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.printed.FONTS", (Path("/nowhere/font.ttf"),))
    pdf = printed.page(receipt.check(made, AUDIT.public), b"{}")
    assert b"journal d'audit" in b"".join(streams(pdf)).replace(b"\\'", b"'")


def test_both_languages_say_the_same() -> None:
    assert set(printed._FRENCH) == set(printed._ARABIC)
