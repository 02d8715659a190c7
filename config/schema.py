"""The engine behind the settings: a section is a dataclass, each field knows how to read its own value.

A section is declared so::

    @section
    class Http:
        listen: HostPort = setting(text(parse_listen), default="127.0.0.1:7610")

The declaration is all there is: keys, types, defaults (written as a person would write them, and read by the
same code) and what would be right all come from it. A key is the field's name without the unit that the kind
appends (``max_message_bytes`` is written ``max_message = "16MiB"``), or what ``key=`` says.

Reading never stops at the first fault. A kind that cannot read its value notes a fault at its
:class:`Place` and raises :class:`UnreadableError`; whatever encloses it goes on with the neighbours and gives
up only when all have been looked at. Kinds do no input or output; :mod:`config.load` does.
"""

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform, overload

from config.errors import Fault
from config.fields import UnfitError

T = TypeVar("T")
S = TypeVar("S")

MAX_SHOWN_CHARACTERS = 80
MAX_LIST_ITEMS = 10_000
_MISSING = object()


class UnreadableError(Exception):
    """A value could not be read, and the faults are already noted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where in which file something stands, and the list that its faults go to."""

    file: str
    key: str
    faults: list[Fault]

    def below(self, name: str, *, quoted: bool = False) -> "Place":
        """Return the place of key ``name`` in the table here; ``quoted`` keys are chosen by the user."""
        bare = not quoted and name.replace("-", "_").isidentifier() and name.isascii()
        step = name if bare else _as_toml(name)
        return dataclasses.replace(self, key=f"{self.key}.{step}" if self.key else step)

    def item(self, number: int) -> "Place":
        """Return the place of the ``number``-th item (from 1) of the list here."""
        return dataclasses.replace(self, key=f"{self.key}[{number}]")

    def fault(self, value: object, right: str) -> UnreadableError:
        """Note a fault here and return the exception to raise."""
        shown = None if value is _MISSING else _as_toml(value)
        self.faults.append(Fault(self.file, self.key, shown, right))
        return UnreadableError(self.key)


def _as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{…}"
    shown = (
        json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, (str, bool, int, list))
        else str(value)
    )
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else shown[: MAX_SHOWN_CHARACTERS - 1] + "…"


class Kind(Generic[T]):
    """How one sort of value is read."""

    unit: ClassVar[str] = ""
    """What the names of fields of this kind end in and their keys do not: ``_s``, ``_bytes``."""

    def read(self, raw: object, place: Place) -> T:
        """Return the value of ``raw`` (as tomllib made it), or note faults and raise UnreadableError."""
        raise NotImplementedError


class Scalar(Kind[T]):
    """A value without parts: ``parse`` takes what TOML gave and raises UnfitError if it is not right."""

    def __init__(
        self,
        parse: Callable[[Any], T],
        *,
        of: type = str,
        right: str = "needs a text in quotes",
        secret: bool = False,
    ) -> None:
        """Take the parser, the type that it wants, what to say of another, and whether never to show it."""
        self._parse, self._of, self._right, self._secret = parse, of, right, secret

    def read(self, raw: object, place: Place) -> T:
        """Read it; a bool is never taken for a number."""
        shown = _MISSING if self._secret else raw
        if type(raw) is not self._of:
            raise place.fault(shown, self._right)
        try:
            return self._parse(raw)
        except UnfitError as unfit:
            raise place.fault(shown, str(unfit)) from None


class ListOf(Kind[tuple[T, ...]]):
    """A list of values of one kind; with ``single``, one value may stand without its brackets."""

    def __init__(self, item: Kind[T], *, single: bool = False, least: int = 0) -> None:
        self._item, self._single, self._least = item, single, least

    def read(self, raw: object, place: Place) -> tuple[T, ...]:
        """Read every item, noting the faults of all."""
        if self._single and not isinstance(raw, list):
            return (self._item.read(raw, place),)
        if not isinstance(raw, list) or not self._least <= len(raw) <= MAX_LIST_ITEMS:
            raise place.fault(raw, f"needs a list of {self._least} to {MAX_LIST_ITEMS:,} values in [ ]")
        read = [_tried(self._item, item, place.item(number)) for number, item in enumerate(raw, 1)]
        return tuple(_all_or_none(read))


class TableOf(Kind[Mapping[str, T]]):
    """A table whose keys the user chooses, such as ``[mllp.deliver]``; the order is the file's."""

    def __init__(self, key: Kind[str], item: Kind[T]) -> None:
        self._key, self._item = key, item
        self.unit = item.unit  # type: ignore[misc]  # this kind's unit is that of what it holds

    def read(self, raw: object, place: Place) -> Mapping[str, T]:
        """Read every key and value, noting the faults of all."""
        if not isinstance(raw, dict):
            raise place.fault(raw, "needs a table")
        read: list[tuple[str, T] | None] = []
        for name, item in raw.items():
            there = place.below(name, quoted=True)
            key, value = _tried(self._key, name, there), _tried(self._item, item, there)
            read.append((key, value) if key is not None and value is not None else None)
        return MappingProxyType(dict(_all_or_none(read)))


class Section(Kind[S]):
    """A table with known keys, read into a class made by :func:`section`."""

    def __init__(self, cls: type[S]) -> None:
        self.cls = cls

    def read(self, raw: object, place: Place) -> S:
        """Read every setting, and note unknown keys and what :meth:`contradictions` of the class finds."""
        if not isinstance(raw, dict):
            raise place.fault(raw, "needs a table")
        values: dict[str, Any] = {}
        faults_before = len(place.faults)
        known = settings_of(self.cls)
        for key, item in raw.items():
            if key in known:
                values[known[key].name] = _tried(known[key].kind, item, place.below(key))
            else:
                place.below(key).fault(item, _unknown(key, known))
        for key, each in known.items():
            if each.required and key not in raw:
                place.below(key).fault(_MISSING, "is missing, and nothing can stand in for it")
        if len(place.faults) == faults_before:
            made = self.cls(**values)
            for key, right in _contradictions(made):
                place.below(key).fault(raw.get(key, _MISSING), right)
        if len(place.faults) > faults_before:
            raise UnreadableError(place.key)
        return made


def _contradictions(made: object) -> Iterable[tuple[str, str]]:
    find: Callable[[], Iterable[tuple[str, str]]] | None = getattr(made, "contradictions", None)
    return find() if find else ()


def _unknown(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key.lower(), names, n=1)
    return (
        f'is not a setting; did you mean "{near[0]}"?'
        if near
        else f"is not a setting; known: {', '.join(names)}"
    )


def _tried(kind: Kind[T], raw: object, place: Place) -> T | None:
    try:
        return kind.read(raw, place)
    except UnreadableError:
        return None


def _all_or_none(read: list[T | None]) -> list[T]:
    whole = [item for item in read if item is not None]
    if len(whole) < len(read):
        raise UnreadableError
    return whole


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """What is declared about one key of a section."""

    name: str
    """The field's name in the class."""
    kind: Kind[Any]
    default: object
    """The default as TOML would give it; None for no value at all."""
    required: bool


@overload
def setting(kind: Kind[T], *, key: str | None = None) -> T: ...
@overload
def setting(kind: Kind[T], *, default: None, key: str | None = None) -> T | None: ...
@overload
def setting(kind: Kind[T], *, default: object, key: str | None = None) -> T: ...
def setting(kind: Kind[Any], *, default: object = _MISSING, key: str | None = None) -> Any:
    """Declare a field of a section: its kind, its default as TOML gives it (none: required), its key."""
    metadata = {"kind": kind, "key": key, "default": default}
    if default is _MISSING:
        return dataclasses.field(metadata=metadata)
    if default is None:
        return dataclasses.field(default=None, metadata=metadata)
    faults: list[Fault] = []
    value = _tried(kind, default, Place("default", key or "", faults))
    if faults:
        raise TypeError(f"a declared default is wrong: {faults[0]}")
    return dataclasses.field(default_factory=lambda: value, metadata=metadata)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def section(cls: type[S]) -> type[S]:
    """Make ``cls`` a frozen dataclass of settings."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def settings_of(cls: type) -> dict[str, Setting]:
    """Return the settings of a section class by key, in the order of declaration."""
    found: dict[str, Setting] = {}
    for field in dataclasses.fields(cls):
        kind, key, default = (field.metadata[name] for name in ("kind", "key", "default"))
        required = default is _MISSING
        found[key or field.name.removesuffix(kind.unit)] = Setting(
            field.name, kind, None if required else default, required
        )
    return found
