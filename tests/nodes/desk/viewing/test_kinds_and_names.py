"""What a file is, by its bytes; what it may be called."""

from __future__ import annotations

from email.message import Message as Mail
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.desk.viewing.kinds import SHOWN, SNIFFED_BYTES, Kind, kind_of
from nodes.desk.viewing.names import NAME_BYTES, disposition, safe_name

CORPUS: Final = Path(__file__).parents[5] / "shared" / "corpus" / "attachments"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n", Kind.PDF),
        (b"\xef\xbb\xbf%PDF-1.7\n", Kind.PDF),
        (b"\x89PNG\r\n\x1a\n", Kind.PNG),
        (b"\xff\xd8\xff\xe0", Kind.JPEG),
        (b"GIF89a", Kind.GIF),
        (b"RIFF\0\0\0\0WEBPVP8 ", Kind.WEBP),
        (b"RIFF\0\0\0\0WAVE", Kind.OTHER),
        (bytes(128) + b"DICM", Kind.DICOM),
        (b"PK\x03\x04", Kind.ZIP),
        (b"MSH|^~\\&|", Kind.HL7),
        (b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3">', Kind.CDA),
        (b'<cda:ClinicalDocument xmlns:cda="urn:hl7-org:v3">', Kind.CDA),
        ('<ClinicalDocument xmlns="urn:hl7-org:v3">'.encode("utf-16"), Kind.CDA),
        (b"<!doctype html><script>alert(1)</script>", Kind.MARKUP),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", Kind.MARKUP),
        (b"hello <b>", Kind.MARKUP),
        (b"<!-- %PDF-1.7 --><script>", Kind.MARKUP),
        (b"Compte rendu : tension 12/8\n", Kind.TEXT),
        ("é" * 3_000).encode()[:4_097] and (("é" * 3_000).encode()[:4_097], Kind.TEXT),
        ("تقرير".encode("cp1256"), Kind.TEXT),
        (b"MZ\x90\x00\x03", Kind.OTHER),
        (b"\x7fELF", Kind.OTHER),
        (b"", Kind.TEXT),
    ],
)  # fmt: skip
def test_bytes_say_what_a_file_is(data: bytes, kind: Kind) -> None:
    assert kind_of(data) is kind


def test_what_a_browser_would_run_is_never_shown() -> None:
    assert Kind.MARKUP not in SHOWN
    assert Kind.OTHER not in SHOWN


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
def test_real_files_are_recognized() -> None:
    by_suffix = {
        ".pdf": Kind.PDF,
        ".dcm": Kind.DICOM,
        ".png": Kind.PNG,
        ".jpg": Kind.JPEG,
        ".webp": Kind.WEBP,
    }
    for path in CORPUS.rglob("*"):
        if path.suffix in by_suffix and path.name != "meta_missing_tsyntax.dcm":
            found = kind_of(path.read_bytes()[:SNIFFED_BYTES])
            assert found in {by_suffix[path.suffix], Kind.OTHER}, path.name


@given(st.binary(max_size=300))
def test_any_bytes_are_some_kind(data: bytes) -> None:
    assert kind_of(data) in Kind


@pytest.mark.parametrize(
    ("name", "suffix", "safe"),
    [
        ("scan.pdf", ".pdf", "scan.pdf"),
        ("تقرير المريض.pdf", ".pdf", "تقرير المريض.pdf"),
        ("compte rendu é.pdf", ".pdf", "compte rendu é.pdf"),
        ("../../etc/passwd", ".dat", "etc-passwd"),
        ("..\\..\\windows\\system32\\x.dll", ".dat", "windows-system32-x.dll.download"),
        ("C:\\x.pdf", ".pdf", "C--x.pdf"),
        ("scan\u202efdp.exe", ".dat", "scanfdp.exe.download"),
        ("x.pdf.exe", ".dat", "x.pdf.exe.download"),
        ("x.EXE. ", ".dat", "x.EXE.download"),
        ("x.html", ".txt", "x.html.download"),
        ("x.svg", ".txt", "x.svg.download"),
        ("lettre.xml", ".xml", "lettre.xml"),
        ("CON", ".dat", "_CON"),
        ("con.txt", ".txt", "_con.txt"),
        ("LPT1.pdf", ".pdf", "_LPT1.pdf"),
        ("console.pdf", ".pdf", "console.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", ".pdf", "aSet-Cookie- x=1.pdf"),
        ('a"; filename="b.exe', ".dat", "a-- filename=-b.exe.download"),
        (".htaccess", ".txt", "htaccess"),
        ("...", ".pdf", "file.pdf"),
        ("", ".pdf", "file.pdf"),
        ("\u202e", ".pdf", "file.pdf"),
        ("a\0b.pdf", ".pdf", "ab.pdf"),
        ("\ud800.pdf", ".pdf", "pdf"),
        ("~x.pdf", ".pdf", "x.pdf"),
    ],
)
def test_names_are_harmless(name: str, suffix: str, safe: str) -> None:
    assert safe_name(name, suffix) == safe


@given(st.text(max_size=400), st.sampled_from([".pdf", ".dat", ".txt"]))
def test_any_name_becomes_one_that_harms_nobody(name: str, suffix: str) -> None:
    safe = safe_name(name, suffix)
    assert safe
    assert len(safe.encode()) <= NAME_BYTES + 40
    assert not set(safe) & set('/\\:*?"<>|\0\r\n\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')
    assert safe[0] not in ". "
    assert safe[-1] not in ". "
    assert safe.isprintable()
    header = disposition(safe)
    assert header.isascii()
    assert "\r" not in header
    mail = Mail()
    mail["Content-Disposition"] = header
    assert mail.get_filename() is not None
    assert mail.get_content_disposition() == "attachment"


def test_a_name_is_said_in_both_ways() -> None:
    said = disposition("résumé تقرير.pdf", inline=True)
    assert said.startswith('inline; filename="resume')
    assert "filename*=UTF-8''r%C3%A9sum%C3%A9%20%D8%AA" in said
