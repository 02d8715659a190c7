"""One valid sample of every frame, and strategies for all values that the wire can carry.

The strategies are derived from the declarations themselves, bounds included, so that no new field is
forgotten; the samples are written out by hand.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, get_args

import msgspec
from hypothesis import strategies as st

from protocols.link import frames as f
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.envelope import AttachmentRef, Envelope, Priority, State

ID: Final = bytes(range(16))
D32: Final = bytes(range(32))
LABO: Final = "labo@chu-oran"
FRAME_TYPES: Final[tuple[type, ...]] = get_args(f.AnyFrame)
_ENTRY: Final = DirectoryEntry(
    version=3,
    name="chu-oran",
    title="CHU d'Oran",
    active=True,
    statements=(b"statement",),
    mailboxes=(Mailbox("labo"),),
)

SAMPLES: Final[tuple[f.AnyFrame, ...]] = (
    f.Ready(),
    f.Ping(7),
    f.Pong(7, 1_790_000_000_000),
    f.Rekey(),
    f.End(f.Goodbye.DONE, "bye", 3),
    f.Join(D32, D32, bytes(64)),
    f.Joined("chu-oran", b"credential", _ENTRY),
    f.Renew(D32, D32, D32, bytes(64), bytes(64)),
    f.Renewed(b"credential"),
    f.Again((f.AgainItem(ID, (LABO,)),)),
    f.Submit((f.Submission(b"sealed", 12),)),
    f.Accepted((ID,)),
    f.Refused((f.Refusal(ID, "no-file", "why"),)),
    f.Busy(1_000, "disk"),
    f.Resume(),
    f.Deliver((f.Delivery(4, LABO, 60_000, b"sealed"),)),
    f.Taken((f.Taking(4, State.DELIVERED, "", b"receipt"),)),
    f.Receipts((f.ReceiptItem(9, "cardio@chu-alger", ID, LABO, State.PROCESSED, b"receipt"),)),
    f.ReceiptsStored(9),
    f.Events((f.Event(11, ID, LABO, State.DELIVERED, "", 1_790_000_000_000, b"receipt"),)),
    f.EventsTaken(11),
    f.Offer(ID, 100_000, D32),
    f.Want(ID, 0, 2),
    f.Chunk(ID, 0, b"chunk"),
    f.Stored(ID),
    f.FileRefused(ID, "try-later", "why", 1_000),
    f.DirectoryWanted(2),
    f.Directory((_ENTRY,), complete=True),
    f.Checkpoint(b"checkpoint", (D32,)),
    f.Witnessed(b"checkpoint", 1, bytes(64)),
)

SAMPLE: Final[dict[type, Any]] = {type(frame): frame for frame in SAMPLES}

ENVELOPE: Final = Envelope(
    version=1,
    id=ID,
    sender="cardio@chu-alger",
    recipients=(LABO,),
    kind="ORU^R01",
    priority=Priority.STAT,
    created_ms=1_790_000_000_000,
    valid_for_ms=432_000_000,
    commitment=D32,
    attachments=(AttachmentRef(ID, 100_000, D32),),
)

MOST_BYTES: Final = 200
MOST_ITEMS: Final = 4


@cache
def values_of(declared: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a declared type (a Struct, an Annotated, a union of Structs)."""
    return _of(msgspec.inspect.type_info(declared))


def _of(info: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line a kind
    inspect = msgspec.inspect
    if isinstance(info, inspect.IntType):
        return st.integers(info.ge, info.le)
    if isinstance(info, inspect.BoolType):
        return st.booleans()
    if isinstance(info, inspect.EnumType):
        return st.sampled_from(list(info.cls))
    if isinstance(info, inspect.BytesType):
        least = info.min_length or 0
        most = MOST_BYTES if info.max_length is None else min(info.max_length, MOST_BYTES)
        return st.binary(min_size=least, max_size=max(least, most))
    if isinstance(info, inspect.Metadata):
        return _PATTERNED[info.extra_json_schema["pattern"]]  # type: ignore[index]  # nothing else has any
    if isinstance(info, inspect.StrType):
        return _texts(info)
    if isinstance(info, inspect.VarTupleType):
        most = MOST_ITEMS if info.max_length is None else min(info.max_length, MOST_ITEMS)
        items = st.lists(_of(info.item_type), min_size=info.min_length or 0, max_size=most)
        return items.map(tuple)
    if isinstance(info, inspect.StructType):
        return st.builds(info.cls, *(_of(one.type) for one in info.fields))
    if isinstance(info, inspect.UnionType):
        return st.one_of([_of(one) for one in info.types])
    raise AssertionError(f"no strategy for {info}")


_FIRST: Final = "abcxyz019"
_NAME: Final = st.builds(str.__add__, st.sampled_from(_FIRST), st.text(_FIRST + "-.", max_size=62))
_NAME_PATTERN: Final = r"[a-z0-9][a-z0-9.\-]{0,62}"
_PATTERNED: Final = {
    r"^[A-Za-z0-9^_.\-]+\Z": st.text("AZaz09^_.-", min_size=1, max_size=32),
    rf"^{_NAME_PATTERN}\Z": _NAME,
    rf"^{_NAME_PATTERN}@{_NAME_PATTERN}\Z": st.builds("{}@{}".format, _NAME, _NAME),
    r"^.+:[0-9]{1,5}\Z": st.builds("{}:{}".format, _NAME, st.integers(0, 65_535)),
}
"""Strategies by hand for the patterns in use: Hypothesis takes a second to begin with each of them."""


def _texts(info: Any) -> st.SearchStrategy[str]:
    if info.pattern is not None:
        return _PATTERNED[info.pattern]
    most = MOST_BYTES if info.max_length is None else min(info.max_length, MOST_BYTES)
    letters = st.characters(exclude_categories=["Cs"])
    return st.text(letters, min_size=info.min_length or 0, max_size=most)


ANY_FRAME: Final = values_of(f.AnyFrame)
