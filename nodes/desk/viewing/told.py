"""Values in the reader's language: times, ages, names of kinds of file, why something is not shown."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final

from babel import Locale
from babel.dates import format_date
from flask_babel import get_locale, get_timezone, gettext, ngettext
from flask_babel import lazy_gettext as _
from markupsafe import Markup, escape

from nodes.desk.viewing.kinds import Kind
from protocols.hl7.moments import Moment

KINDS: Final[dict[Kind, Any]] = {
    Kind.PDF: _("PDF document"), Kind.ACTIVE_PDF: _("PDF that may hold a program, not shown"),
    Kind.PNG: _("Image"), Kind.JPEG: _("Image"), Kind.GIF: _("Image"),
    Kind.WEBP: _("Image"), Kind.TIFF: _("Image"), Kind.BMP: _("Image"), Kind.DICOM: _("DICOM image"),
    Kind.CDA: _("Clinical document"), Kind.HL7: _("HL7 message"), Kind.ZIP: _("Archive (zip)"),
    Kind.TEXT: _("Text"), Kind.MARKUP: _("Web or XML file, not shown"), Kind.OTHER: _("Other file"),
}  # fmt: skip
REASONS: Final[dict[str, Any]] = {
    "too-large": _("It is too large to be shown here."),
    "unknown": _("It is written in a way that is not shown here."),
    "damaged": _("It is damaged, or not what it claims to be."),
    "no-image": _("There is no image in it."),
}
CONTRADICTIONS: Final[dict[str, Any]] = {
    "birth": _("another date of birth"),
    "sex": _("another sex"),
    "name": _("another name"),
    "": "",
}
_YEARS_OF_CHILDREN: Final = 2
_DAY: Final = 3
_MONTH: Final = 2


def said(value: Any) -> Any:
    """Return a value for a page: times in words, everything else as it is."""
    return moment(value) if isinstance(value, Moment) else value


def moment(at: Moment) -> Markup:
    """Return a time as exactly as it was written; one that names its zone is told in the site's."""
    parts, where = at.parts, at
    if at.offset_minutes is not None and at.has_time:
        local = at.instant(0).astimezone(get_timezone())
        full = (local.year, local.month, local.day, local.hour, local.minute, local.second)
        parts, where = full[: len(at.parts)], Moment(full[: len(at.parts)], None)
    first = date(*(*parts[:_DAY], 1, 1)[:_DAY])
    locale = get_locale() or Locale("fr")
    pattern = {1: "y", _MONTH: "MMM y"}.get(len(parts), "d MMM y")
    text = format_date(first, pattern, locale=locale)
    if where.has_time:
        text += f" {parts[3]:02}:{parts[4] if len(parts) > 4 else 0:02}"  # noqa: PLR2004 (minutes)
    return Markup('<time datetime="{}">{}</time>').format(_iso(parts), escape(text))


def _iso(parts: tuple[int, ...]) -> str:
    day = "-".join(f"{part:0{4 if i == 0 else 2}}" for i, part in enumerate(parts[:_DAY]))
    return day + (f"T{parts[3]:02}:{parts[4] if len(parts) > 4 else 0:02}" if len(parts) > _DAY else "")  # noqa: PLR2004


def age(birth: Moment, now_ms: int) -> str:
    """Return how old somebody is: in years, a small child in months; empty if the birth lies ahead."""
    today = datetime.fromtimestamp(now_ms / 1000, get_timezone()).date()
    year, month, day = (*birth.parts, 1, 1)[:_DAY]
    months = (today.year - year) * 12 + today.month - month - (today.day < day)
    if months < 0 or len(birth.parts) < _DAY:
        return ""
    years = months // 12
    if years < _YEARS_OF_CHILDREN:
        return str(ngettext("%(num)s month old", "%(num)s months old", months))
    return str(ngettext("%(num)s year old", "%(num)s years old", years))


def reason(code: str) -> str:
    """Return why something is not shown."""
    return str(REASONS.get(code) or gettext("It cannot be shown here."))
