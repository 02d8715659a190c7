"""A page of paper in French and Arabic: lines of text, and the file that proves what they say inside the PDF.

Arabic is shaped by HarfBuzz and needs a font that has both scripts (Debian's ``fonts-dejavu-core``); where
there is none, the page is in French alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fpdf import FPDF

from runtime.moments import utc

FONTS: Final = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/dejavu/DejaVuSans.ttf"),
)
LINE_MM: Final = 6
TITLE_PT: Final = 16
TEXT_PT: Final = 10


class Sheet:
    """One page that is being written; ``at_ms`` is the moment that it is about."""

    def __init__(self, title: str, at_ms: int, font: Path | None = None) -> None:
        found = font or next((path for path in FONTS if path.exists()), None)
        self.arabic: Final = found is not None
        """Whether the page can have Arabic on it."""
        self._pdf = FPDF()
        self._pdf.set_title(title)
        self._pdf.set_creation_date(utc(at_ms))
        self._pdf.add_page()
        if found is None:
            self._pdf.set_font("Helvetica", size=TEXT_PT)
        else:
            self._pdf.add_font("text", fname=found)
            self._pdf.set_font("text", size=TEXT_PT)

    def write(self, title: str, lines: list[str], *, rtl: bool = False) -> None:
        """Write a title and the lines beneath it; an empty line is a space."""
        if rtl:
            self._pdf.set_text_shaping(use_shaping_engine=True, direction="rtl")
        align = "R" if rtl else "L"
        if title:
            self._pdf.set_font_size(TITLE_PT)
            self._line(title, align)
            self._pdf.set_font_size(TEXT_PT)
        for line in lines:
            if line:
                self._line(line, align)
            else:
                self._pdf.ln(2)
        if rtl:
            self._pdf.set_text_shaping(use_shaping_engine=False)
        self._pdf.ln(4)

    def finish(self, name: str, content: bytes, what: str, media_type: str) -> bytes:
        """Put a file into the page and return the PDF."""
        self._pdf.embed_file(bytes=content, basename=name, desc=what, mime_type=media_type)
        return bytes(self._pdf.output())

    def _line(self, text: str, align: str) -> None:
        if self._pdf.font_family == "helvetica":
            text = text.encode("latin-1", "replace").decode("latin-1")
        self._pdf.multi_cell(0, LINE_MM, text, align=align, new_x="LMARGIN", new_y="NEXT")


def moment(at_ms: int) -> str:
    """Return a time as it stands on paper."""
    return utc(at_ms).strftime("%Y-%m-%d %H:%M:%S UTC")
