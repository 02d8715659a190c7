"""Making ER7 messages: acknowledgements, results, documents.

A segment is written as a sequence, its name first: ``("PID", "1", "", [("123", "", "", "CHU"), "9"])``.
A ``str`` is the text of one subcomponent and is escaped; a tuple is components (a tuple within it,
subcomponents); a list is repetitions; ``bytes`` are ER7 already and go in as they are, but for
control characters, which are dropped: no field can end its segment. For MSH the fields begin at
MSH-3, since the delimiters are the first two.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from protocols.errors import LocalProtocolError
from protocols.hl7.encoding import STANDARD, Delimiters, escape

Component: TypeAlias = "str | bytes | tuple[str | bytes, ...]"
Repetition: TypeAlias = "str | bytes | tuple[Component, ...]"
Field: TypeAlias = "Repetition | list[Repetition]"
SegmentFields: TypeAlias = Sequence[Field]

_CONTROLS: Final = bytes((*range(0x09), *range(0x0A, 0x20), 0x7F))
_NAME_LENGTH: Final = 3


def build(*segments: SegmentFields, delimiters: Delimiters = STANDARD, codec: str = "utf-8") -> bytes:
    """Make a message of ``segments``, each ended by CR, text encoded by the Python ``codec``.

    What the codec cannot express becomes a question mark. Raises :class:`LocalProtocolError` for
    a segment whose first element is not a name of three letters or digits.
    """
    return b"".join(_segment(fields, delimiters, codec) + b"\r" for fields in segments)


def build_fields(*texts: str, delimiters: Delimiters = STANDARD, codec: str = "utf-8") -> list[bytes]:
    """Return texts as they stand in fields, one subcomponent each."""
    return [_value(text, delimiters, codec) for text in texts]


def _segment(fields: SegmentFields, marks: Delimiters, codec: str) -> bytes:
    name, rest = fields[0], fields[1:]
    if not isinstance(name, str) or len(name) != _NAME_LENGTH or not (name.isascii() and name.isalnum()):
        raise LocalProtocolError(f"segment name {name!r} must be three letters or digits")
    written = [name.encode("ascii")]
    if name in {"MSH", "FHS", "BHS"}:
        written.append(marks.declaration)
    written += [_field(field, marks, codec) for field in rest]
    return marks.field.join(written).rstrip(marks.field) if len(written) > 2 else marks.field.join(written)  # noqa: PLR2004 (MSH-2 must not lose its end)


def _field(field: Field, marks: Delimiters, codec: str) -> bytes:
    if not field:
        return b""
    if isinstance(field, str | bytes):
        return _value(field, marks, codec)
    if isinstance(field, list):
        return (marks.repetition or b" ").join(_repetition(part, marks, codec) for part in field)
    return _repetition(field, marks, codec)


def _repetition(value: Repetition, marks: Delimiters, codec: str) -> bytes:
    if isinstance(value, tuple):
        written = marks.component.join(_component(part, marks, codec) for part in value)
        return written.rstrip(marks.component)
    return _value(value, marks, codec)


def _component(value: Component, marks: Delimiters, codec: str) -> bytes:
    if isinstance(value, tuple):
        mark = marks.subcomponent or b" "
        return mark.join(_value(part, marks, codec) for part in value).rstrip(mark)
    return _value(value, marks, codec)


def _value(value: str | bytes, marks: Delimiters, codec: str) -> bytes:
    if isinstance(value, bytes):
        return value.translate(None, _CONTROLS)
    return escape(value, marks).encode(codec, "replace")
