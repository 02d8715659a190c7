"""Out of ``out/``: several files that belong together move as if at once.

Renaming is atomic for one file only. So what is about to move is first noted, durably, in ``.moving`` beside
the four directories (where no producer writes); then it moves, the control file last, and the note goes away.
After a crash :func:`finish` reads the note and does the rest. Without it, a crash between two renames would
leave an HL7 payload without its control file, to be taken for a message of its own.

A single file needs no note.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from nodes.gateways.folder import bounds
from nodes.gateways.folder.places import Place, Places, Unfit, check_name
from nodes.link.files import safe_name
from runtime import crash

NOTE: Final = ".moving"
REASON_SUFFIX: Final = ".reason.txt"
_SHORT_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Move:
    """Files (old name, new name) that leave ``out/``, and for ``failed`` the reason and its file's name."""

    to: Literal["sent", "failed"]
    files: tuple[tuple[str, str], ...]
    reason_name: str = ""
    reason: str = ""


def to_sent(names: tuple[str, ...], message_id: str) -> Move:
    """Return the move of a message's files: new names begin with its id."""
    return Move("sent", _distinct(names, f"{message_id}-"))


def to_failed(places: Places, names: tuple[str, ...], reason: str) -> Move:
    """Return the move of what could not be sent; nothing that failed earlier is overwritten."""
    last = names[-1]
    for number in range(bounds.TRIES_FOR_A_NAME):
        files = _distinct(names, f"{number}-" if number else "")
        reason_name = files[-1][1] + REASON_SUFFIX
        taken = [places.failed.look(name) for name in (reason_name, *(new for _, new in files))]
        if not any(taken):
            return Move("failed", files, reason_name, reason)
    raise Unfit("failed/", f"holds {bounds.TRIES_FOR_A_NAME} files named like {last!r}", "clear it up")


def perform(places: Places, move: Move) -> None:
    """Do it; a crash anywhere in between is finished by :func:`finish`. OSError leaves the note."""
    alone = len(move.files) == 1 and not move.reason
    if not alone:
        places.root.write(NOTE, [_encode(move)])
        places.root.sync()
        crash.reached("folder-move-noted")
    _perform_noted(places, move)
    if not alone:
        places.root.remove(NOTE)


def finish(places: Places) -> None:
    """Finish the move that a crash interrupted, if there is one."""
    if places.root.look(NOTE) is None:
        return
    try:
        move = _decode(places.root.read(NOTE, NOTE, bounds.JOURNAL_BYTES))
    except Unfit:
        move = Move("sent", ())  # not written by us, so nothing was begun
    _perform_noted(places, move)
    places.root.remove(NOTE)


def _perform_noted(places: Places, move: Move) -> None:
    to: Place = places.sent if move.to == "sent" else places.failed
    if move.reason:
        to.write(move.reason_name, [move.reason.encode("utf-8", "backslashreplace")])
    for name, new_name in move.files:
        places.out.move(name, to, new_name)
        crash.reached("folder-moved-one")
    to.sync()
    places.out.sync()


def _distinct(names: tuple[str, ...], prefix: str) -> tuple[tuple[str, str], ...]:
    """Return (name, harmless new name), no two of the new ones alike."""
    found: dict[str, str] = {}
    for name in names:
        short = safe_name(name.encode("utf-8", "replace").decode("utf-8"))
        if len(short) > _SHORT_CHARS:
            short = short[: _SHORT_CHARS // 2] + "~" + short[-_SHORT_CHARS // 2 :]
        while len((prefix + short + REASON_SUFFIX).encode("utf-8")) > bounds.NAME_BYTES - len(".") - len(
            ".tmp"
        ):
            short = short[1:]
        new, number = prefix + short, 1
        while new in found.values():
            number += 1
            new = f"{prefix}{number}~{short}"
        found[name] = new
    return tuple(found.items())


def _encode(move: Move) -> bytes:
    # The standard library's JSON: it keeps names that are not UTF-8 (as surrogates), msgspec refuses them.
    plain = {"to": move.to, "files": move.files, "reason_name": move.reason_name, "reason": move.reason}
    return json.dumps(plain).encode("ascii")


def _decode(raw: bytes) -> Move:
    try:
        move = msgspec.convert(json.loads(raw), Move)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Unfit(NOTE, f"is not a note of ours ({error})", "remove it") from None
    for name in (name for pair in move.files for name in pair):
        check_name(name, NOTE)
    if move.reason:
        check_name(move.reason_name, NOTE)
    return move
