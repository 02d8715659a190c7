"""Times as HL7 writes them: ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]`` (v2.5.1, 2.A.21; CDA's TS too).

:func:`read_moment` never raises: what is no time is None, and is then shown as it stands.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

_WRITTEN: Final = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.\d{1,9})?)?)?)?)?)?(?:([+-])(\d\d)(\d\d))?",
    re.ASCII,
)
_MOST_CHARS: Final = 40
_MINUTES_OF_DAY: Final = 1_440


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as exactly as it was told: ``parts`` are year, month, day, hour, minute, second as far as said.

    ``offset_minutes`` is that of its zone; None if it names none.
    """

    parts: tuple[int, ...]
    offset_minutes: int | None

    @property
    def date(self) -> date | None:
        """The day, if it says one."""
        return date(*self.parts[:3]) if len(self.parts) >= 3 else None  # noqa: PLR2004 (a day is three)

    @property
    def has_time(self) -> bool:
        """Whether it says an hour."""
        return len(self.parts) > 3  # noqa: PLR2004 (a day is three)

    def instant(self, zone_minutes: int) -> datetime:
        """Return its beginning in UTC, read at ``zone_minutes`` where it names no zone."""
        year, month, day = (*self.parts[:3], 1, 1)[:3]
        hour, minute, second = (*self.parts[3:], 0, 0, 0)[:3]
        minutes = zone_minutes if self.offset_minutes is None else self.offset_minutes
        written = datetime(
            year, month, day, hour, minute, second, tzinfo=timezone(timedelta(minutes=minutes))
        )
        return written.astimezone(UTC)


def read_moment(text: str) -> Moment | None:
    """Return what ``text`` says, or None if it is no time of years 2 to 9998."""
    match = _WRITTEN.fullmatch(text.strip()[:_MOST_CHARS])
    if match is None:
        return None
    *numbers, sign, hours, minutes = match.groups()
    parts = tuple(int(number) for number in numbers if number is not None)
    offset = None
    if sign:
        offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
        if abs(offset) >= _MINUTES_OF_DAY:
            return None
    if not 1 < parts[0] < 9999:  # noqa: PLR2004 (a day to either side can still be reckoned)
        return None
    found = Moment(parts, offset)
    try:
        found.instant(0)
    except ValueError:
        return None
    return found
