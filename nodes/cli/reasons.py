"""Reason codes in sentences, for people; the codes are what scripts read (``docs/delivery.md``)."""

from __future__ import annotations

from typing import Final

SENTENCES: Final = {
    "unknown-facility": "the hub's directory has no such facility",
    "unknown-mailbox": "the facility has no such mailbox",
    "facility-inactive": "the facility has not joined, is suspended or revoked",
    "not-allowed": "the hub's policy forbids it",
    "expired": "its time was up before it was delivered",
    "damaged-in-store": "it was damaged on the hub's disk: send it again",
    "given-up": "the hub's administrator gave it up, or the hub long after a restore; it may be delivered",
    "returned-before": "it had come back before the hub was restored, and stays so",
    "queue-paused": "the hub's administrators hold the recipient's queue; it waits",
    "not-yours": "the sender's address is another facility's",
    "valid-for": "it was to be kept for longer than the hub keeps messages",
    "too-large": "body or attachment is over the hub's limit",
    "no-file": "the hub does not have an attachment",
    "id-conflict": "its id was used before with another content",
    "bad-attachment": "an attachment is not what was announced",
    "damaged": "this node's disk has spoiled it, and it was not sent: send it again",
    "file-lost": "this node cannot read its own sealed file any more: send it again",
    "recalled": "it was taken back at the desk, before it left this facility",
    "no-key": "the recipient had no key of this facility that is valid: it has to renew its credential",
    "wrong-key": "it was sealed for keys that the recipient's node does not hold",
    "unknown-signer": "the recipient's node does not trust this facility's credential",
    "bad-signature": "the recipient's node found another's signature",
    "cannot-open": "the recipient's node could not open it",
    "malformed": "the recipient's node could not read it",
    "not-for-us": "it does not name the mailbox that it came to",
    "AE": "the local system there refused it",
    "CE": "the local system there refused it",
    "refused": "a program there refused it",
    "not-for-mllp": "the recipient takes messages over MLLP only, which cannot carry this body",
}


def sentence(code: str) -> str:
    """Return the code with what it means, as far as this version knows it."""
    said = SENTENCES.get(code)
    return code if said is None else f"{code}: {said}"
