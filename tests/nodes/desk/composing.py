"""What somebody does who writes a message at the desk: page by page, as the forms are."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from typing import Any, Final

from werkzeug.test import TestResponse

from nodes.desk.compose import bounds
from protocols.hl7.er7 import Message
from tests.nodes.desk.desks import Browser, Ward

RECIPIENT: Final = {"kind": "file", "department": "urgences", "recipient": "cardio@chu-oran"}
PATIENT: Final = {
    "number": "2026-00417", "national": "109880123456789012", "family": "بن يوسف", "given": "أمينة",
    "sex": "F", "born": "1988-02-29", "patient_class": "E",
}  # fmt: skip
CONTENT: Final = {
    "subject": "Douleur thoracique",
    "text": "Depuis 2 h.\nTA 15/9 | pouls 92.\n\nAvis ?",
    "language": "fr",
    "urgent": "1",
}
ADDRESS: Final = re.compile(r"/compose/([0-9a-f\-]{36})/recipient")
SHOWN: Final = re.compile(r'name="shown" value="([0-9a-f]{64})"')
RESULT: Final = {
    "kind": "result", "text": "", "row-0-name": "2823-3 Potassium", "row-0-value": "5.9",
    "row-0-unit": "mmol/L", "row-0-normal": "3.5-5.1", "row-0-flag": "H",
    "row-1-name": "", "row-1-value": "", "row-1-unit": "", "row-1-normal": "", "row-1-flag": "",
}  # fmt: skip


def begun(browser: Browser, **values: str) -> str:
    """Begin a draft; returns its id."""
    answer = browser.post("/compose", values)
    found = ADDRESS.fullmatch(answer.location or "")
    assert found is not None, (answer.status_code, answer.text)
    return found[1]


def filled(browser: Browser, draft: str, page: str, values: dict[str, Any], do: str = "next") -> TestResponse:
    """Fill in one page."""
    return browser.post(f"/compose/{draft}/{page}", {**values, "do": do})


def written(browser: Browser, **changed: Any) -> str:
    """Write a whole draft, up to the check; returns its id."""
    draft = begun(browser)
    for page, values in (("recipient", RECIPIENT), ("patient", PATIENT), ("content", CONTENT)):
        answer = filled(browser, draft, page, {**values, **changed})
        assert answer.status_code == 303, answer.text
    return draft


def sent(browser: Browser, draft: str) -> TestResponse:
    """Send a draft that was checked."""
    return browser.post(f"/compose/{draft}/check", {"confirmed": "1", "shown": shown(browser, draft)})


def shown(browser: Browser, draft: str) -> str:
    """Return what the form of the check page says that it shows; empty if it has no form."""
    found = SHOWN.search(browser.get(f"/compose/{draft}/check").text)
    return "" if found is None else found[1]


class Uploading:
    """One file as ``upload.js`` sends it."""

    def __init__(self, browser: Browser, draft: str, name: str, data: bytes, mark: str = "") -> None:
        self.browser, self.data = browser, data
        self.answer = browser.post(
            f"/compose/{draft}/files", {"name": name, "size": str(len(data)), "mark": mark}
        )
        self.at = ""
        if self.answer.status_code == 201:
            told = json.loads(self.answer.data)
            self.at, self.received = told["at"], told["received"]

    def piece(self, offset: int, data: bytes | None = None, checksum: str | None = "") -> TestResponse:
        """Send the piece at ``offset``; its own hash, unless another or None is given."""
        sending = self.data[offset : offset + bounds.PIECE_BYTES] if data is None else data
        headers = {"Upload-Offset": str(offset), "X-CSRFToken": self.browser.token("/account")}
        if checksum is not None:
            headers["Upload-Checksum"] = checksum or checksum_of(sending)
        return self.browser.client.patch(
            self.at, data=sending, headers=headers, base_url=self.browser.base,
            content_type="application/offset+octet-stream",
        )  # fmt: skip

    def finish(self, root: str | None = "") -> TestResponse:
        """Say that all of it was sent, with its root unless another or None is given."""
        values = {} if root is None else {"root": root or root_of(self.data)}
        return self.browser.post(f"{self.at}/finish", values)

    def all(self) -> TestResponse:
        """Send everything that is missing, and finish."""
        for offset in range(self.received, len(self.data), bounds.PIECE_BYTES):
            assert self.piece(offset).status_code == 204
        return self.finish()


def checksum_of(data: bytes) -> str:
    """Return what ``Upload-Checksum`` says."""
    return "sha256 " + b64encode(hashlib.sha256(data).digest()).decode()


def root_of(data: bytes) -> str:
    """Return the hash over the hashes of all pieces."""
    whole = hashlib.sha256()
    for start in range(0, len(data), bounds.PIECE_BYTES):
        whole.update(hashlib.sha256(data[start : start + bounds.PIECE_BYTES]).digest())
    return whole.hexdigest()


def only_message(ward: Ward) -> tuple[Any, Message]:
    """Return the one message that the node has sent: its row, and what it says."""
    (one,) = ward.station.sent()
    return one, Message(ward.station.body_of(one.id))
