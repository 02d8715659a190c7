"""The parts of ``docs/link-protocol.md`` that are drawn from the code, so that they cannot differ from it.

Such a part stands between ``<!-- from the code: name -->`` and ``<!-- end -->``.
``python -m tests.protocols.link.document`` fills them in; a test checks that they are filled in as they
would be now.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from protocols.link import envelope as e
from protocols.link import frames as f
from protocols.link import joincode, limits, payloads
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.states import RECEIVES, TRANSITIONS, Phase, Role, Step
from tests.protocols.link import make_vectors
from tests.protocols.link.samples import FRAME_TYPES

PATH: Final = Path(__file__).parents[3] / "docs" / "link-protocol.md"
_PART: Final = re.compile(
    r"(<!-- from the code: ([a-z-]+)(?: ([\w./]+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL
)

ANSWERS: Final = {
    "Ready": "none",
    "Ping": "PONG with the same token; may be left out while a record's worth of answers waits",
    "Pong": "none",
    "Rekey": "none",
    "End": "END, or the end of the connection",
    "Join": "JOINED, or END with INVITATION_REFUSED or PENDING",
    "Joined": "END",
    "Again": "none",
    "Renew": "RENEWED",
    "Renewed": "none",
    "Submit": "each message: its id in ACCEPTED or REFUSED; or BUSY for all that have no answer yet",
    "Accepted": "none",
    "Refused": "none",
    "Busy": "RESUME, not before `retry_after_ms`",
    "Resume": "none",
    "Deliver": "each delivery: its sequence in TAKEN, once",
    "Taken": "none",
    "Receipts": "RECEIPTS_STORED",
    "ReceiptsStored": "none",
    "Events": "EVENTS_TAKEN",
    "EventsTaken": "none",
    "Offer": "WANT, STORED or FILE_REFUSED",
    "Want": "the CHUNKs, or FILE_REFUSED",
    "Chunk": "after some: WANT for more, or STORED",
    "Stored": "none",
    "FileRefused": "none; with `retry_after_ms` the same OFFER or WANT again, not before",
    "DirectoryWanted": "DIRECTORY, now and at every change",
    "Directory": "none",
    "Checkpoint": "WITNESSED, unless the node does not believe it",
    "Witnessed": "CHECKPOINT, now or when the log has grown",
}

GOODBYES: Final = {
    "DONE": "nothing more to say",
    "RESTARTING": "the process goes down; come back",
    "REPLACED": "the same node has a newer session",
    "PROTOCOL_FAULT": "the peer broke this protocol; `text` begins with the code (section 13)",
    "UNKNOWN_KEY": "the hub does not know the node's key",
    "REVOKED": "the node's credential was revoked",
    "SUSPENDED": "the facility is suspended",
    "TOO_MANY_SESSIONS": "the hub is full",
    "INVITATION_REFUSED": "the invitation was used by another node, or expired",
    "INTERNAL": "something failed on the side that says it",
    "PENDING": "a joining node's keys wait for an approval or a signature; ask again with the same keys",
}

LIMITS: Final = {
    "PROTOCOL_VERSION": "of the first packet and the prologue",
    "RECORD_BYTES": "a record's ciphertext, tag included",
    "TAG_BYTES": "of ChaCha20-Poly1305",
    "RECORD_PLAIN_BYTES": "a record's plaintext",
    "FRAME_HEADER_BYTES": "a frame's length",
    "FRAME_BYTES": "a frame without its length",
    "HELLO_BYTES": "the payload of HELLO, and of WELCOME",
    "HANDSHAKE_TIMEOUT_S": "from the connection to OPEN, and for a whole joining session",
    "HUB_NAME_CHARS": "the hub's name",
    "REKEY_RECORDS": "a sender changes keys after so many records",
    "REKEY_S": "or after so many seconds",
    "RECORDS_WITHOUT_REKEY": "a receiver accepts no more records under one key",
    "PING_S": "silence before PING",
    "SILENCE_S": "silence before the connection is given up",
    "GOODBYE_S": "from END to the end of the connection, at most",
    "ID_BYTES": "ids of messages, attachments and invitations",
    "ADDRESS_CHARS": "`mailbox@facility`",
    "RECIPIENTS": "of one message",
    "ATTACHMENTS": "of one message, a body outside not counted",
    "KIND_CHARS": "`kind`",
    "INLINE_BODY_BYTES": "a larger body SHOULD travel as the first attachment",
    "CONTENT_BYTES": "an encoded content",
    "MESSAGE_BYTES": "an encoded sealed message",
    "VALID_FOR_MAX_MS": "`valid_for_ms`; a hub may allow less",
    "SUBJECT_CHARS": "`subject`",
    "PATIENT_CHARS": "`patient`",
    "FILE_NAME_CHARS": "a file's name",
    "MEDIA_TYPE_CHARS": "a file's media type",
    "KEY_CHARS": "the sender's own key for a message",
    "REASON_CODE_CHARS": "a reason's code",
    "REASON_TEXT_CHARS": "a reason's text",
    "DETAIL_BYTES": "an application's answer, before it is padded and sealed",
    "RECEIPT_BYTES": "an encoded signed receipt",
    "SUBMIT_WINDOW": "what a hub offers in WELCOME, at most",
    "DELIVER_WINDOW": "what a node offers in HELLO, and what a hub uses of a larger offer",
    "RECEIPT_WINDOW": "receipts, and likewise events, without an answer",
    "WINDOW_MAX": "any window that may be offered",
    "IDS_PER_FRAME": "ids in one ACCEPTED",
    "CHUNK_WINDOW": "chunks in one WANT",
    "TRANSFERS": "attachments at once, in each direction",
    "ATTACHMENT_MAX_BYTES": "plain bytes of one attachment; a hub may allow less",
    "PENDING_BYTES": "frames that one side holds to be written (not visible on the wire)",
    "PENDING_BULK_FRAMES": "chunks likewise",
    "CHECKPOINT_BYTES": "an encoded checkpoint",
    "SIGNATURE_BYTES": "of Ed25519",
    "PROOF_HASHES": "in one consistency proof",
    "AUDIT_KEYS": "changes of the audit key in one CHECKPOINT",
    "MAILBOXES": "of one facility",
    "TITLE_CHARS": "titles and specialties",
    "FACILITY_KIND_CHARS": "what a facility is",
    "WILAYA_MAX": "number of a province",
    "STATEMENT_BYTES": "a signed statement",
    "TRUST_BYTES": "a signed change of the network's keys",
    "TRUST_CHANGES": "such changes in one frame",
    "ENTRY_BYTES": "of entries in one DIRECTORY, unless it has only one",
}


def wire_name(name: str) -> str:
    """Return a frame's name as the document writes it: ``ReceiptsStored`` is RECEIPTS_STORED."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def frame_tables() -> str:
    """Every frame: number, direction, phases, fields, meaning, answer."""
    return "\n".join(_frame(kind) for kind in FRAME_TYPES)


def _frame(kind: type) -> str:
    name, tag = kind.__name__, kind.__struct_config__.tag  # type: ignore[attr-defined]  # a Struct
    meaning = " ".join((kind.__doc__ or "").split()).replace("``", "`")
    heard = [(role, phase) for (role, phase), kinds in RECEIVES.items() if kind in kinds]
    roles = {role for role, _ in heard}
    direction = "both ways" if len(roles) > 1 else "node to hub" if Role.HUB in roles else "hub to node"
    phases = ", ".join(dict.fromkeys(phase.value for _, phase in heard))
    head = [
        f"#### {tag} {wire_name(name)}",
        "",
        f"{meaning}",
        "",
        f"Direction: {direction}. Phase of the receiver: {phases}. Answer: {ANSWERS[name]}.",
        "",
    ]
    return "\n".join(head + _fields(kind, first=1)) + "\n"


def value_tables() -> str:
    """Every array that stands inside a frame, a payload or a sealed message."""
    kinds: list[type] = [
        payloads.Hello, payloads.Welcome,
        f.AgainItem, f.Submission, f.Refusal, f.Delivery, f.Taking, f.ReceiptItem,
        f.Event, DirectoryEntry, Mailbox, e.Envelope, e.AttachmentRef, e.Content, e.NamedFile,
        e.SealedMessage, e.Wrap, e.Receipt, e.SignedReceipt, joincode.JoinCode,
    ]  # fmt: skip
    parts = []
    for kind in kinds:
        meaning = " ".join((kind.__doc__ or "").split()).replace("``", "`")
        meaning = re.sub(r":class:`~?([\w.]+)`", r"\1", meaning)
        parts.append("\n".join([f"#### {kind.__name__}", "", meaning, "", *_fields(kind, first=0)]) + "\n")
    return "\n".join(parts)


def _fields(kind: type, first: int) -> list[str]:
    info: Any = msgspec.inspect.type_info(kind)
    if not info.fields:
        return ["No fields."]
    rows = ["| element | name | type | if left out |", "| --- | --- | --- | --- |"]
    for number, field in enumerate(info.fields, start=first):
        default = "" if field.required else f"`{_default(field.default)}`"
        rows.append(f"| {number} | `{field.name}` | {_type(field.type)} | {default} |")
    return rows


def _default(value: Any) -> str:
    return json.dumps(value.decode() if isinstance(value, bytes) else value)


def _type(info: Any) -> str:  # noqa: PLR0911 - one line a kind
    inspect = msgspec.inspect
    if isinstance(info, inspect.IntType):
        assert info.le is not None  # what travels has bounds
        return f"int {info.ge} to {_power(info.le)}"
    if isinstance(info, inspect.BoolType):
        return "bool"
    if isinstance(info, inspect.EnumType):
        return "int: " + ", ".join(f"{one.value} {one.name}" for one in info.cls)
    if isinstance(info, inspect.BytesType):
        return "bin" + _length(info, "bytes")
    if isinstance(info, inspect.Metadata):
        return _type(info.type) + _matching((info.extra_json_schema or {})["pattern"])
    if isinstance(info, inspect.StrType):
        return "str" + _length(info, "characters") + (_matching(info.pattern) if info.pattern else "")
    if isinstance(info, inspect.VarTupleType):
        return "array" + _length(info, "elements") + " of " + _type(info.item_type)
    assert isinstance(info, inspect.StructType)
    return f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"


def _matching(pattern: str) -> str:
    return f" matching `{pattern[1:-2]}`"


def _length(info: Any, unit: str) -> str:
    least, most = info.min_length or 0, info.max_length
    if most is None:
        return f", at least {least} {unit}" if least else ""
    return f", {most} {unit}" if least == most else f", {least} to {most} {unit}"


def _power(number: int) -> str:
    exponent = number.bit_length() - 1
    return f"2^{exponent}" if number == 1 << exponent and exponent >= 40 else f"{number}"


def transition_table() -> str:
    """Every step from every phase."""
    rows = ["| phase | step | next phase |", "| --- | --- | --- |"]
    rows += [
        f"| {phase.value} | {_step(step)} | {TRANSITIONS[phase, step].value} |"
        for phase in Phase
        for step in Step
        if (phase, step) in TRANSITIONS and step is not Step.LOST
    ]
    return "\n".join([*rows, "| any | connection lost | closed |"]) + "\n"


def _step(step: Step) -> str:
    return step.name.lower().replace("_", " ")


def state_diagram() -> str:
    """Draw the same as a picture, faults and losses left out."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{phase.value}" as {phase.name}' for phase in Phase]
    lines += [
        f"    [*] --> {Phase.AWAITING_HELLO.name}: hub",
        f"    [*] --> {Phase.AWAITING_WELCOME.name}: node",
    ]
    lines += [
        f"    {phase.name} --> {target.name}: {_step(step)}"
        for (phase, step), target in TRANSITIONS.items()
        if step not in (Step.LOST, Step.FAULT)
    ]
    return "\n".join([*lines, f"    {Phase.CLOSED.name} --> [*]", "```"]) + "\n"


def limit_table() -> str:
    """Every bound."""
    names = [name for name in vars(limits) if name.isupper()]
    rows = ["| name | value | what |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {getattr(limits, name):,} | {LIMITS[name]} |" for name in names]
    rows.append(f"| `CODE_CHARS` | {joincode.CODE_CHARS:,} | a join code |")
    return "\n".join(rows) + "\n"


def goodbye_table() -> str:
    """Every reason in END."""
    rows = ["| reason | name | meaning |", "| --- | --- | --- |"]
    rows += [f"| {int(one)} | {one.name} | {GOODBYES[one.name]} |" for one in f.Goodbye]
    return "\n".join(rows) + "\n"


def vector(path: str) -> str:
    """One value of the vectors, by its path."""
    value: Any = make_vectors.make()
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    lines = re.findall(".{1,96}", str(value))
    return "\n".join(["```text", *lines, "```"]) + "\n"


PARTS: Final[dict[str, Callable[[], str]]] = {
    "frames": frame_tables,
    "values": value_tables,
    "transitions": transition_table,
    "diagram": state_diagram,
    "limits": limit_table,
    "goodbyes": goodbye_table,
}


def filled(text: str) -> str:
    """Return the document with every part drawn anew."""

    def part(match: re.Match[str]) -> str:
        name, path = match[2], match[3]
        body = vector(path) if name == "vector" else PARTS[name]()
        return f"{match[1]}\n{body}\n{match[5]}"

    return _PART.sub(part, text)


if __name__ == "__main__":
    PATH.write_text(filled(PATH.read_text(encoding="utf-8")), encoding="utf-8")
