"""The header of a document as values; what is embedded; what is no document."""

import pytest

from protocols.cda.document import TEXT_CHARS, MalformedDocument, read
from protocols.errors import RemoteProtocolError
from tests.protocols.cda.documents import EVERYTHING, HEAD, TAIL, file, text


def test_the_header_is_read() -> None:
    header = read(EVERYTHING).header
    assert (header.title, header.kind) == ("Lettre de sortie", "Summary of episode note")
    assert (header.at, header.language, header.confidentiality) == ("20260131101500+0100", "fr-DZ", "R")
    assert [one.text for one in header.identifiers] == ["DOC-7"]
    [patient] = header.patients
    assert (patient.name, patient.birth, patient.sex) == ("Amine Benali", "19670412", "M")
    assert [(one.extension, one.authority) for one in patient.identifiers] == [("109876543210987654", "DZA")]
    assert (patient.address, patient.telecoms) == ("12 rue Didouche Alger", ("tel:+213555010203",))
    [author] = header.authors
    assert (author.name, author.organization, author.at) == ("Dr Nadia Hakimi", "Cardiologie", "20260131")
    assert header.custodian == "CHU Mustapha"
    assert [one.text for one in header.orders] == ["ORD-5"]
    assert [(one.kind, one.identifiers[0].text) for one in header.related] == [("RPLC", "DOC-6")]
    [stay] = header.encounters
    assert (stay.kind, stay.begins, stay.ends, stay.place) == (
        "Hospitalisation",
        "20260120",
        "20260131",
        "Lit 12",
    )


def test_a_bare_document_is_still_one() -> None:
    header = read(b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>').header
    assert (header.title, header.patients, header.custodian) == ("", (), "")


def test_long_texts_are_cut_and_many_values_are_not_all_kept() -> None:
    long = HEAD.replace("Lettre de sortie", "x" * 10_000).replace("{language}", "fr")
    many = "<author><assignedAuthor/></author>" * 500
    header = read(f"{long}{many}{TAIL}".encode()).header
    assert len(header.title) == TEXT_CHARS
    assert len(header.authors) == 50


@pytest.mark.parametrize(
    "data",
    [b"<ClinicalDocument/>", b"<html xmlns='urn:hl7-org:v3'/>", b'<ClinicalDocument xmlns="urn:other"/>'],
)
def test_other_xml_is_no_document(data: bytes) -> None:
    with pytest.raises(MalformedDocument, match="line 1: the root element is"):
        read(data)


def test_a_document_may_consist_of_a_file() -> None:
    held = read(file("application/pdf", "JVBE\n Ri0=")).attachment
    assert held is not None
    assert (held.media_type, held.data, held.fault) == ("application/pdf", b"%PDF-", "")


@pytest.mark.parametrize("base64", ["JVBERi0", "REPLACE_ME", "JVBE=Ri0=", "é"])
def test_what_is_not_base64_says_so(base64: str) -> None:
    held = read(file("application/pdf", base64)).attachment
    assert held is not None
    assert held.data is None
    assert held.fault.startswith("not base64")


def test_a_file_elsewhere_is_named_and_never_fetched() -> None:
    data = file("application/pdf", "<reference value='file:///etc/passwd'/>").replace(
        b'representation="B64"', b""
    )
    held = read(data).attachment
    assert held is not None
    assert (held.data, held.reference) == (None, "file:///etc/passwd")


def test_pictures_are_numbered_in_their_order() -> None:
    [picture] = read(EVERYTHING).pictures
    assert (picture.media_type, picture.data) == ("image/png", b"\x89PNG")


def test_every_broken_end_is_our_error() -> None:
    for cut in range(0, len(EVERYTHING), 97):
        with pytest.raises(RemoteProtocolError):
            read(EVERYTHING[:cut])
    assert read(text("")).attachment is None
