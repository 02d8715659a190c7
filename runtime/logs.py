"""Logging: one line an event, text for a person at a terminal, JSON for a machine.

A line says when (UTC, milliseconds), how bad, what happened (a short fixed ``event`` name) and the facts as
``key=value``: message ids, facilities, counts. Write one with :func:`event`. Standard library loggers carry
it, and Twisted's own log is led into them, so there is one stream: stderr.

What is sealed never gets here: fields are identifiers and numbers, bytes are shown as their length, and long
values are cut. Foreign text cannot forge a line: whatever is not printable comes out escaped.

:class:`RepeatLimit` keeps a peer that fails a thousand times a second from filling the disk.
"""

import json
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:  # at run time it would load Twisted
    from twisted.logger import ILogObserver

    from runtime.clock import Clock

MAX_VALUE_CHARACTERS = 300
DEFAULT_REPEAT_INTERVAL_S = 60.0
DEFAULT_REPEAT_KEYS = 10_000

_FIELDS = "wasl_fields"
_PLAIN = re.compile(r"[\w.@:/+^*,-]+")
_COLOURS = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}


def event(
    logger: logging.Logger, level: int, name: str, /, *, cause: BaseException | None = None, **fields: object
) -> None:
    """Log the event ``name`` with ``fields`` (None is left out) and, if given, the traceback of ``cause``.

    Costs next to nothing when the level is off. Any thread.
    """
    if logger.isEnabledFor(level):
        logger.log(level, "%s", name, exc_info=cause, extra={_FIELDS: fields}, stacklevel=2)


def set_up(stream: TextIO, *, level: str = "info", style: str = "auto") -> None:
    """Send everything from ``level`` (debug, info, warning, error) on to ``stream``, instead of what was.

    ``style`` is "text", "json", or "auto": text if ``stream`` is a terminal. Twisted's own chatter is shown
    from warning on unless ``level`` is debug.
    """
    terminal = stream.isatty()
    handler = logging.StreamHandler(stream)
    if style == "json" or (style == "auto" and not terminal):
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(colour=terminal and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("twisted").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def bridge_twisted() -> None:
    """Lead Twisted's log into the logger ``twisted``; once a process, before its reactor runs."""
    from twisted.logger import (  # noqa: PLC0415  # commands that only write a table must not load Twisted
        STDLibLogObserver,
        globalLogBeginner,
    )

    observer = cast("ILogObserver", STDLibLogObserver("twisted"))  # mypy cannot see zope's implementer
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, logger, the fields, and ``traceback`` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; fields never replace what the record itself says."""
        line: dict[str, object] = {key: _json_value(value) for key, value in _fields(record).items()}
        head = {"time": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line = {**head, **line, **head, "logger": record.name}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """``TIME LEVEL event key=value``, quoted where needed, with the traceback on the lines below."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines."""
        level = f"{record.levelname:<7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '31')}m{level}\x1b[0m"
        words = [_time(record), level, _printable(record.getMessage())]
        words += [f"{key}={_text_value(value)}" for key, value in _fields(record).items()]
        if not record.exc_info:
            return " ".join(words)
        traceback = self.formatException(record.exc_info).split("\n")
        return "\n".join([" ".join(words), *("    " + _printable(line) for line in traceback)])


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return {key: value for key, value in fields.items() if value is not None}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(value: object) -> object:
    return value if isinstance(value, (bool, int, float)) else _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


def _text_value(value: object) -> str:
    shown = _shown(value)
    if _PLAIN.fullmatch(shown):
        return shown
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class RepeatLimit:
    """Lets one line through per key and interval, and tells how many it held back.

    The first event of a key is logged at once. More of them within ``interval_s`` are only counted; the next
    one after that is logged with ``repeats=N``. At most ``max_keys`` keys are remembered, the longest unseen
    is forgotten first, together with its count. Reactor thread only.
    """

    def __init__(
        self,
        clock: "Clock",
        *,
        interval_s: float = DEFAULT_REPEAT_INTERVAL_S,
        max_keys: int = DEFAULT_REPEAT_KEYS,
    ) -> None:
        self._clock, self._interval_s, self._max_keys = clock, interval_s, max_keys
        self._seen: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def event(
        self,
        key: Hashable,
        logger: logging.Logger,
        level: int,
        name: str,
        /,
        *,
        cause: BaseException | None = None,
        **fields: object,
    ) -> None:
        """Log like :func:`event`, unless ``key`` was logged less than the interval ago."""
        now_s = self._clock.monotonic_s()
        logged_s, held_back = self._seen.pop(key, (None, 0))
        if logged_s is not None and now_s - logged_s < self._interval_s:
            self._seen[key] = (logged_s, held_back + 1)
            return
        self._seen[key] = (now_s, 0)
        if len(self._seen) > self._max_keys:
            self._seen.popitem(last=False)
        event(logger, level, name, cause=cause, repeats=held_back or None, **fields)
