"""The header of a DICOM file: who and what it shows, and its elements as a table.

The file's own first part (group 2) is read here, for two reasons: it says how the rest is written, and one
way of writing it (deflated) unpacks without a bound, so that is not read. The rest is :mod:`pydicom`'s, which
sees the first ``WINDOW_BYTES`` of the file and no more, and may read ``READS`` times in it: a header of half
a million elements would hold the process for half a minute. Long values are left out, private elements are
counted and not shown (what is in them only their maker knows), sequences are shown two levels deep.

After DICOM PS3.10 section 7 and PS3.5 section 7. pydicom's log and warnings quote values; they are silenced.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

import pydicom
from flask_babel import lazy_gettext as _
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from nodes.desk.viewing.blocks import Fact, facts
from nodes.desk.viewing.people import Identifier, Identity
from nodes.desk.viewing.pictures import CannotShow, quiet
from nodes.desk.viewing.pixels import BIG_ENDIAN, IMPLICIT
from nodes.desk.viewing.written import cleaned
from protocols.hl7.moments import Moment, read_moment

WINDOW_BYTES: Final = 4 * 1024 * 1024
READS: Final = 150_000
"""Of parts of elements: 75,000 elements or so, at any depth. Each costs time that nobody else has."""
VALUE_BYTES: Final = 1_024
"""A value longer than this is not read, only measured."""
ROWS: Final = 400
DEPTH: Final = 2
TEXT_CHARS: Final = 200
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_META_ELEMENTS: Final = 64
_META_AT: Final = 132
_SYNTAX: Final = 0x0010
_LONG: Final = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UT", b"UN", b"UC", b"UR"})
_BINARY: Final = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "OB/OW"})
_PIXELS: Final = 0x7FE0
_HEAD: Final = struct.Struct("<HH2sH")

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
_LOG: Final = logging.getLogger("pydicom")
_LOG.propagate = False
_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Element:
    """One row of the table; ``depth`` is how many sequences it is within."""

    tag: str
    name: str
    text: str
    depth: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A DICOM file. ``syntax`` is its transfer syntax, ``pixels_at`` where its pixel data begin (their tag).

    ``dataset`` is what was read of it, for the frame.
    """

    identity: Identity
    facts: tuple[Fact, ...]
    elements: tuple[Element, ...]
    private: int
    cut: bool
    syntax: str
    pixels_at: int | None
    dataset: Any = field(repr=False)


def scan(file: IO[bytes]) -> Scan:
    """Return a file's header; raises :class:`~nodes.desk.viewing.pictures.CannotShow`, OSError."""
    file.seek(0)
    window = file.read(WINDOW_BYTES)
    syntax, at = _meta(window)
    if syntax == DEFLATED:
        raise CannotShow("unknown")
    with quiet():
        try:
            return _scan(window, syntax, at)
        except CannotShow:
            raise
        except Exception as fault:
            raise CannotShow("damaged") from fault


def _meta(window: bytes) -> tuple[str, int]:
    """Return the transfer syntax and where the dataset begins."""
    at, syntax = _META_AT, ""
    for _number in range(_META_ELEMENTS):
        if len(window) < at + _HEAD.size:
            break
        group, number, kind, length = _HEAD.unpack_from(window, at)
        if group != 2:  # noqa: PLR2004 (the group of the file's own first part)
            return syntax or IMPLICIT, at
        at += _HEAD.size
        if kind in _LONG:
            if len(window) < at + 4:
                break
            length = int.from_bytes(window[at : at + 4], "little")
            at += 4
        if number == _SYNTAX:
            syntax = window[at : at + min(length, 64)].decode("ascii", "replace").strip("\0 ")
        at += length
    raise CannotShow("damaged")


class _Counted(io.BytesIO):
    """Bytes that are read so often and no more."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raises CannotShow at one time too many."""
        self.reads += 1
        if self.reads > READS:
            raise CannotShow("too-large")
        return super().read(size)


def _scan(window: bytes, syntax: str, at: int) -> Scan:
    buffer = _Counted(window)
    buffer.seek(at)
    dataset = read_dataset(
        buffer,
        syntax == IMPLICIT,
        syntax != BIG_ENDIAN,
        stop_when=lambda tag, _vr, _length: tag.group >= _PIXELS,
        defer_size=VALUE_BYTES,
    )
    elements: list[Element] = []
    private = 0
    for found in _walk(dataset, 0):
        if found is None:
            private += 1
        elif len(elements) == ROWS:
            break  # before the values of the others are looked at
        else:
            elements.append(found)
    stopped = buffer.tell()
    mark = struct.pack(">HH" if syntax == BIG_ENDIAN else "<HH", _PIXELS, 0x0010)
    return Scan(
        identity=_identity(dataset),
        facts=_facts(dataset),
        elements=tuple(elements),
        private=private,
        cut=len(elements) >= ROWS,
        syntax=syntax,
        pixels_at=stopped if window[stopped : stopped + 4] == mark else None,
        dataset=dataset,
    )


def _walk(dataset: Dataset, depth: int) -> Iterator[Element | None]:
    """Yield the elements in order of their tags; None for each private one."""
    for tag in sorted(dataset.keys()):
        if tag.is_private:
            yield None
            continue
        where = f"({tag.group:04x},{tag.element:04x})"
        raw: Any = dataset.get_item(tag, keep_deferred=True)
        if raw is None or (getattr(raw, "is_raw", False) and raw.value is None and raw.length):
            yield Element(where, _name(tag), f"[{raw.length if raw else 0} B]", depth)
            continue
        try:
            element = dataset[tag]
            kind = str(element.VR)
            value = element.value
        except Exception:  # noqa: BLE001 - one value that cannot be read does not hide the others
            yield Element(where, _name(tag), "?", depth)
            continue
        if kind == "SQ":
            yield Element(where, _name(tag), f"[{len(value)}]", depth)
            for item in value if depth < DEPTH else ():
                yield from _walk(item, depth + 1)
        elif kind in _BINARY:
            yield Element(where, _name(tag), f"[{len(value or b'')} B]", depth)
        else:
            yield Element(where, _name(tag), _shown(value), depth)


def _name(tag: Any) -> str:
    try:
        return str(pydicom.datadict.dictionary_description(tag))
    except KeyError:
        return ""


def _shown(value: Any) -> str:
    if value is None:
        return ""
    several = isinstance(value, pydicom.multival.MultiValue)
    text = cleaned("\\".join(map(str, value)) if several else str(value))
    return text if len(text) <= TEXT_CHARS else text[:TEXT_CHARS] + "…"


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return _shown(dataset.get(keyword))
    except Exception:  # noqa: BLE001 - as above: a value that cannot be read is none
        return ""


def _person(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return a person's names: DICOM may give it in letters, ideograms and sounds (PS3.5 section 6.2.1)."""
    groups = _text(dataset, keyword).split("=")
    names = []
    for group in groups:
        family, given, middle, prefix, suffix = (*group.split("^"), *[""] * 5)[:5]
        names.append(" ".join(filter(None, (prefix, given, middle, family, suffix))).strip())
    return tuple(dict.fromkeys(filter(None, names)))


def _identity(dataset: Dataset) -> Identity:
    number = _text(dataset, "PatientID")
    identifiers = (Identifier(number, _text(dataset, "IssuerOfPatientID"), ""),) if number else ()
    birth = _text(dataset, "PatientBirthDate")
    sex = _text(dataset, "PatientSex").upper()
    return Identity(_person(dataset, "PatientName"), read_moment(birth) or birth, sex, identifiers)


def _when(dataset: Dataset, prefix: str) -> Moment | str:
    day, time = _text(dataset, f"{prefix}Date"), _text(dataset, f"{prefix}Time")
    return read_moment(day + time) or read_moment(day) or day


def _facts(dataset: Dataset) -> tuple[Fact, ...]:
    rows, columns = _text(dataset, "Rows"), _text(dataset, "Columns")
    return facts(
        (_("Study"), _text(dataset, "StudyDescription")),
        (_("Series"), _text(dataset, "SeriesDescription")),
        (_("Modality"), _text(dataset, "Modality")),
        (_("Body part"), _text(dataset, "BodyPartExamined")),
        (_("Taken"), _when(dataset, "Acquisition") or _when(dataset, "Study")),
        (_("Institution"), _text(dataset, "InstitutionName")),
        (_("Referred by"), " ".join(_person(dataset, "ReferringPhysicianName")[:1])),
        (_("Device"), f"{_text(dataset, 'Manufacturer')} {_text(dataset, 'ManufacturerModelName')}".strip()),
        (_("Accession number"), _text(dataset, "AccessionNumber")),
        (_("Size"), f"{columns} × {rows}" if rows and columns else ""),
        (_("Images in this file"), _text(dataset, "NumberOfFrames")),
    )
