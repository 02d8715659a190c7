"""What is in a zip file, from its directory alone: nothing is unpacked.

The directory stands at the end and says how large it is; that is looked at before it is read, so a directory
of a gigabyte costs nothing. ZIP64, which has another record for that, is not listed. Names are made harmless;
sizes are what the archive claims, and an archive that claims to unpack to a hundred times its size is called
that.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import IO, Final

from nodes.desk.viewing.names import safe_name
from nodes.desk.viewing.pictures import CannotShow

ENTRIES: Final = 10_000
SHOWN: Final = 500
DIRECTORY_BYTES: Final = 4 * 1024 * 1024
BOMB_RATIO: Final = 100
_END: Final = struct.Struct("<4s4H2LH")
_COMMENT_BYTES: Final = 65_535
_LOCATOR_BYTES: Final = 20
"""Of a ZIP64 archive, right before the end record (APPNOTE 4.3.15)."""
_ENCRYPTED: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in an archive."""

    name: str
    size_bytes: int
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """An archive: the first ``SHOWN`` entries, how many there are, and what they claim to unpack to."""

    entries: tuple[Entry, ...]
    count: int
    unpacked_bytes: int
    bomb: bool


def listing(file: IO[bytes], size_bytes: int) -> Listing:
    """Return what is in a zip file; raises :class:`~nodes.desk.viewing.pictures.CannotShow`, OSError."""
    _check_directory(file, size_bytes)
    try:
        with zipfile.ZipFile(file) as archive:
            found = [one for one in archive.infolist() if not one.is_dir()]
    except OSError:
        raise
    except Exception as fault:
        raise CannotShow("damaged") from fault
    total = sum(one.file_size for one in found)
    entries = tuple(
        Entry(safe_name(one.filename, ""), one.file_size, bool(one.flag_bits & _ENCRYPTED))
        for one in found[:SHOWN]
    )
    return Listing(entries, len(found), total, total > max(size_bytes, 1) * BOMB_RATIO)


def _check_directory(file: IO[bytes], size_bytes: int) -> None:
    file.seek(max(0, size_bytes - _LOCATOR_BYTES - _END.size - _COMMENT_BYTES))
    tail = file.read(_LOCATOR_BYTES + _END.size + _COMMENT_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + _END.size:
        raise CannotShow("damaged")
    _, _, _, _, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if tail[max(0, at - _LOCATOR_BYTES) : at].startswith(b"PK\x06\x07"):
        # zipfile would believe the ZIP64 record and not this one, which says less: no archive within the
        # bounds needs it.
        raise CannotShow("too-large")
    if count > ENTRIES or directory_bytes > DIRECTORY_BYTES:
        raise CannotShow("too-large")
