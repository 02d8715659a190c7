"""From a TOML file to settings, and from a few given values to a first file."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from config.errors import Fault, SettingsError
from config.schema import Place, Section, UnreadableError

S = TypeVar("S")

SAMPLES = Path(__file__).parent / "samples"
MAX_FILE_BYTES = 1 << 20
"""Longer than any settings a person writes."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_OUTSIDE_TOML = re.compile("\x7f")


def read_settings(path: Path, cls: type[S]) -> S:
    """Return the settings of class ``cls`` that the TOML file ``path`` holds.

    Raises SettingsError with every fault in the file at once; a file that cannot be read, or is not TOML, is
    one fault, since nothing behind it can be judged.
    """
    try:
        content = _content(path)
    except _NotSettingsError as error:
        raise SettingsError([Fault(str(path), "", None, str(error))]) from None
    return parse_settings(content, path, cls)


def parse_settings(content: bytes, path: Path, cls: type[S]) -> S:
    """Return the settings of class ``cls`` that ``content`` holds; ``path`` is its file's name in faults.

    Raises SettingsError as :func:`read_settings` does.
    """
    faults: list[Fault] = []
    try:
        return Section(cls).read(_parsed(content), Place(str(path), "", faults))
    except UnreadableError:
        raise SettingsError(faults) from None
    except _NotSettingsError as error:
        raise SettingsError([Fault(str(path), "", None, str(error))]) from None


class _NotSettingsError(Exception):
    """The file as a whole cannot be used."""


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _NotSettingsError("does not exist; init or join make it, an empty file will do") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _NotSettingsError(f"cannot be read: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _NotSettingsError(f"needs to be at most {MAX_FILE_BYTES:,} bytes long")
    return content


def _parsed(content: bytes) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _NotSettingsError(f"needs to be UTF-8, and line {line} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise _NotSettingsError(f"is not TOML: {error}") from None
    except (RecursionError, ValueError) as error:
        raise _NotSettingsError(f"is not TOML that can be read: {error}") from None


def render(sections: Mapping[str, Mapping[str, object]], *, title: str) -> str:
    """Return the text of a first settings file: a ``title`` as comment, and only the values given.

    ``sections`` maps a table's name to its keys and their values: str, int, bool, or lists of them. Values of
    None and sections left without any are not written. What else can be set is in the sample.
    """
    lines = [f"# {title}", "# Everything that is not set here has its default; the sample shows it all."]
    for name, values in sections.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in given.items())]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: object) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's too, but for DEL, which TOML wants escaped.
    return _OUTSIDE_TOML.sub(r"\\u007f", json.dumps(value, ensure_ascii=False))


def sample(name: str) -> str:
    """Return the commented sample ``hub.toml`` or ``node.toml``."""
    return (SAMPLES / name).read_text(encoding="utf-8")
