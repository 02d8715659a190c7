"""Arabic, French, English: which one a page is in, its texts, its numbers and its dates.

The language is what ``?lang=`` asks for (kept in a cookie from then on), else, for a part that a page asks
for by itself, the page's (it says so in a header, since another tab may have changed the cookie meanwhile),
else the cookie's, else the first of the browser's that is known, else French. English is the language of the
source: catalogues hold Arabic and French, as ``ar.po`` and ``fr.po`` in a directory of each web room, read
when the process starts, so there are no compiled files to fall behind.

Numbers have European digits in all three, as in Algeria. Times are told in the site's zone, and say which.
Flask-Babel keeps the language of a request; what is particular here is only where texts come from.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations
from flask import Flask, current_app, g, request
from flask_babel import Babel, Domain, get_locale, get_timezone, gettext, ngettext
from jinja2 import pass_context
from markupsafe import Markup

from runtime.moments import utc

LANGUAGES: Final = {"ar": "العربية", "fr": "Français", "en": "English"}
"""What each is called in itself."""
DEFAULT: Final = "fr"
COOKIE: Final = "wasl-lang"
COOKIE_NAME: Final = "WASL_LANGUAGE_COOKIE"
"""Where an application's configuration has the full name of its cookie."""
PARAMETER: Final = "lang"
HEADER: Final = "Wasl-Language"
"""By which a page says its language when it asks for a part of itself."""
COOKIE_S: Final = 365 * 86_400
SHARED: Final = Path(__file__).parent / "translations"
_LOCALES: Final = {"ar": "ar_DZ", "fr": "fr", "en": "en_GB"}
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


class Catalogues(Domain):  # type: ignore[misc]  # Flask-Babel has no annotations
    """The texts of several rooms, merged; a later room's text wins."""

    def __init__(self, directories: Sequence[Path]) -> None:
        super().__init__()
        self._loaded = {language: _load(tuple(directories), language) for language in LANGUAGES}

    def get_translations(self) -> NullTranslations:
        """Return the texts of this request's language."""
        locale = get_locale()
        return self._loaded[locale.language if locale else DEFAULT]


@cache
def _load(directories: tuple[Path, ...], language: str) -> NullTranslations:
    merged: NullTranslations = NullTranslations()
    for directory in directories:
        path = directory / f"{language}.po"
        if path.exists():
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language)
            compiled = io.BytesIO()
            write_mo(compiled, catalogue)
            compiled.seek(0)
            loaded = Translations(compiled)
            merged = loaded if not isinstance(merged, Translations) else merged.merge(loaded)
    return merged


def set_up(app: Flask, directories: Sequence[Path], zone: str, cookie: str) -> None:
    """Give ``app`` its languages: texts from ``directories``, the first one shared; times in ``zone``.

    ``cookie`` is the full name of the one that keeps a reader's language.
    """
    app.config[COOKIE_NAME] = cookie
    babel = Babel()
    babel.domain_instance = Catalogues(directories)
    babel.init_app(app, default_timezone=zone, locale_selector=lambda: _LOCALES[language()])
    filters = (number, moment, day, clock, lately, ago, span, size)
    app.jinja_env.filters.update({each.__name__: _asked_each_time(each) for each in filters})
    app.jinja_env.globals.update(
        language=language, direction=direction, languages=LANGUAGES, in_language=in_language
    )


def _asked_each_time(filtered: Callable[..., Any]) -> Callable[..., Any]:
    """Keep Jinja from reckoning a filter over a constant once, in the language of the first reader."""

    @pass_context
    def ask(_context: object, *values: Any) -> Any:
        return filtered(*values)

    return ask


def language() -> str:
    """Return the language of this request: ``ar``, ``fr`` or ``en``."""
    if "language" not in g:
        asked = request.args.get(PARAMETER, "")
        page = request.headers.get(HEADER, "")
        kept = request.cookies.get(current_app.config[COOKIE_NAME], "")
        known = [one for one in (asked, page, kept) if one in LANGUAGES]
        best = request.accept_languages.best_match(LANGUAGES)
        g.language = known[0] if known else best or DEFAULT
    return str(g.language)


def in_language(code: str) -> str:
    """Return the address of this page in another language; of the first page, if this one was posted to."""
    if request.method != "GET":
        return f"/?{PARAMETER}={code}"
    kept = [(key, value) for key, value in request.args.items(multi=True) if key != PARAMETER]
    return f"{own_path()}?{urlencode([*kept, (PARAMETER, code)])}"


def own_path() -> str:
    """Return this page's path as it may stand in an address: nothing in it leads to another site."""
    return quote(request.path, safe="/")


def direction() -> str:
    """Return which way this request's language is written: ``rtl`` or ``ltr``."""
    return "rtl" if language() == "ar" else "ltr"


def _locale() -> Locale:
    return Locale.parse(_LOCALES[language()])


def number(value: float) -> str:
    """Return a number as people write it."""
    return format_decimal(value, locale=_locale())


def _local(at_ms: int) -> datetime:
    return utc(at_ms).astimezone(get_timezone())


def _zone(at: datetime) -> str:
    offset = at.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset else 0
    hours, rest = divmod(abs(minutes), 60)
    sign = "−" if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "") if minutes else "UTC"


def _time(at: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="milliseconds"), text)


def moment(at_ms: int) -> Markup:
    """Return a date and a time to the second, with its zone, as an element that programs read too."""
    at = _local(at_ms)
    return _time(at, f"{_day(at)} {at:%H:%M:%S} {_ltr(_zone(at))}")


def day(at_ms: int) -> Markup:
    """Return a date."""
    at = _local(at_ms)
    return _time(at, _day(at))


def clock(at_ms: int) -> str:
    """Return hours and minutes, without a zone: for the axis of a plot that names it."""
    return f"{_local(at_ms):%H:%M}"


def midnight(now_ms: int) -> int:
    """Return when the day began, in the site's zone."""
    at = _local(now_ms)
    return int(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def lately(at_ms: int, now_ms: int) -> Markup:
    """Return the hour of a time of today, the day of any other: for lists, where the whole is on hover."""
    at, now = _local(at_ms), _local(now_ms)
    if at.date() == now.date():
        return _time(at, f"{at:%H:%M}")
    return _time(at, _day(at))


def _day(at: datetime) -> str:
    from babel.dates import format_date  # noqa: PLC0415 - beside what it is for

    return format_date(at.date(), "d MMM y", locale=_locale())


def _ltr(text: str) -> str:
    """Return ``text`` isolated, so that its signs stay where they are in a line of Arabic."""
    return f"\u2066{text}\u2069"


def ago(at_ms: int, now_ms: int) -> str:
    """Return how long ago something was."""
    return str(gettext("%(span)s ago", span=span(max(0, now_ms - at_ms) / 1000)))


def span(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    if seconds < _MINUTE_S:
        return _counted("s", int(seconds))
    if seconds < 2 * _HOUR_S:
        return _counted("min", int(seconds // _MINUTE_S))
    if seconds < 2 * _DAY_S:
        return _counted("h", int(seconds // _HOUR_S))
    return _counted("d", int(seconds // _DAY_S))


def _counted(unit: str, count: int) -> str:
    match unit:
        case "s":
            return str(ngettext("%(num)s second", "%(num)s seconds", count))
        case "min":
            return str(ngettext("%(num)s minute", "%(num)s minutes", count))
        case "h":
            return str(ngettext("%(num)s hour", "%(num)s hours", count))
    return str(ngettext("%(num)s day", "%(num)s days", count))


def size(size_bytes: int) -> str:
    """Return a size in its largest unit, to one decimal."""
    value: float = size_bytes
    units: list[Any] = [gettext("B"), gettext("KiB"), gettext("MiB"), gettext("GiB"), gettext("TiB")]
    for unit in units[:-1]:
        if value < 1024:  # noqa: PLR2004 - what a KiB is
            return f"{number(round(value, 1) if unit != units[0] else int(value))} {unit}"
        value /= 1024
    return f"{number(round(value, 1))} {units[-1]}"
