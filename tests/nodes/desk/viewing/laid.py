"""Messages with attachments in an inbox, as the link lays them there; files of every kind."""

from __future__ import annotations

import io
import zipfile
from typing import Any, Final

import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from sqlalchemy import Connection, insert

from crypto.primitives import blake2b
from nodes.link import inbox, tables
from nodes.link.ids import new_id
from protocols.link.envelope import State
from tests.nodes.fixtures import Station

HOSTILE_SVG: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script>'
    b'<image href="http://127.0.0.1:9/x.png"/></svg>'
)
HOSTILE_HTML: Final = b"<!doctype html><script>alert(1)</script><img src='http://127.0.0.1:9/x'>"
HOSTILE_PDF: Final = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n"
)
PDF: Final = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n"
)
File = tuple[str, str, bytes]
"""Name, media type as the sender claims it, bytes."""


def lay(
    station: Station,
    body: bytes,
    *files: File,
    kind: str = "ORU^R01",
    patient: str = "4711",
    subject: str = "Bilan",
    sender: str = "labo@chu-oran",
    recipient: str = "cardio@chu-alger",
    urgent: bool = False,
) -> int:
    """Lay a message into the inbox; returns its number."""
    now_ms = station.clock.now_ms()
    identifier = new_id(now_ms)
    places = []
    (station.home / "incoming").mkdir(exist_ok=True)
    for position, (_, _, data) in enumerate(files):
        place = f"incoming/{identifier.hex()}-{position}"
        (station.home / place).write_bytes(data)
        places.append(place)

    def operation(connection: Connection) -> int:
        digest = inbox.content_digest(
            identifier, sender, recipient, kind, subject, patient, "", blake2b(body)
        )  # fmt: skip
        row = connection.execute(
            insert(tables.inbox).values(
                id=identifier, sender=sender, recipient=recipient, digest=blake2b(body), kind=kind,
                priority=int(urgent), subject=subject, patient=patient, key="", body=body, body_path=None,
                created_ms=now_ms, received_ms=now_ms, state=int(State.DELIVERED), handed_ms=None,
                code="", receipt=b"receipt", body_digest=None, content_digest=digest,
            )
        )  # fmt: skip
        assert row.inserted_primary_key is not None
        seq = int(row.inserted_primary_key[0])
        for position, (name, media_type, data) in enumerate(files):
            connection.execute(
                insert(tables.inbox_files).values(
                    inbox_seq=seq, position=position, name=name, media_type=media_type, size=len(data),
                    digest=blake2b(data), path=places[position],
                )
            )  # fmt: skip
        return seq

    return station.do(operation)


def image(form: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    """Return an image of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, "teal" if mode in {"RGB", "P"} else 1).save(out, form)
    return out.getvalue()


def archive(**files: bytes) -> bytes:
    """Return a zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            # A date of its own: the bytes are the same every time, also as part of a test's name.
            entry = zipfile.ZipInfo(name.replace("__", "/"), (2026, 1, 1, 0, 0, 0))
            made.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def scan(
    syntax: str = pydicom.uid.ExplicitVRLittleEndian, pixels: bytes | None = None, **values: Any
) -> bytes:
    """Return a DICOM file of 16 × 8 pixels of 16 bits, a slope from dark to light."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    given = {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Benali^Amine=بن علي^أمين", "PatientID": "4711",
        "PatientBirthDate": "19670412", "PatientSex": "M", "StudyDate": "20260131", "StudyTime": "101500",
        "Modality": "CT", "StudyDescription": "Thorax", "Rows": 8, "Columns": 16, "SamplesPerPixel": 1,
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2", "WindowCenter": "640", "WindowWidth": "1280",
        **values,
    }  # fmt: skip
    for name, value in given.items():
        setattr(dataset, name, value)
    slope = b"".join((x * 80).to_bytes(2, "little") for x in range(16)) * 8
    if pixels != b"":
        dataset.PixelData = slope if pixels is None else pixels
        dataset["PixelData"].VR = "OW"
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()
