"""What local systems send: HL7 messages, answers, batches, character sets, XML, MLLP."""

from __future__ import annotations

from typing import Final

from tests.fuzz.bad.making import each

_MSH: Final = b"MSH|^~\\&|labo|chu-alger|cardio|chu-oran|20260101||ADT^A01|1|P|2.5\r"
_PID: Final = b"PID|1||42^^^chu-alger||DOE^JOHN\r"
_MESSAGE: Final = _MSH + _PID
_ACK: Final = b"MSH|^~\\&|HIS|LOCAL|labo|chu-alger|20260101||ACK|9|P|2.5\rMSA|AA|1\r"
_BATCH: Final = b"FHS|^~\\&\rBHS|^~\\&\r" + _MESSAGE + _MESSAGE.replace(b"|1|P", b"|2|P") + b"BTS|2\rFTS|1\r"
_NAMESPACE: Final = b'xmlns="urn:hl7-org:v2xml"'
_XML: Final = (
    b"<ADT_A01 " + _NAMESPACE + b"><MSH><MSH.1>|</MSH.1><MSH.2>^~\\&amp;</MSH.2><MSH.9><MSG.1>ADT</MSG.1>"
    b"<MSG.2>A01</MSG.2></MSH.9><MSH.10>1</MSH.10><MSH.11><PT.1>P</PT.1></MSH.11><MSH.12><VID.1>2.5</VID.1>"
    b"</MSH.12></MSH></ADT_A01>"
)
_LAUGHS: Final = b"<!DOCTYPE a [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (c + 1, b"&%c;" % c * 10) for c in range(ord("a"), ord("j"))
)


def _framed(payload: bytes) -> bytes:
    return b"\x0b" + payload + b"\x1c\r"


def _field(number: int, value: bytes) -> bytes:
    """Return the message with MSH-``number`` (3 or more) replaced."""
    fields = _MSH.rstrip(b"\r").split(b"|")
    fields[number - 1] = value
    return b"|".join(fields) + b"\r" + _PID


def _in(content: bytes) -> bytes:
    """Return the XML with this in the place of its MSH-10."""
    return _XML.replace(b"<MSH.10>1</MSH.10>", content)


GOOD: Final = {
    "er7_message": _MESSAGE,
    "hl7_header": _MSH,
    "hl7_answer": _ACK,
    "hl7_batch": _BATCH,
    "charset": b"\x01" + "بن علي".encode(),
    "hl7_xml": _XML,
    "mllp_stream": _framed(_MESSAGE),
}

_NO_HEADER: Final = {
    "nothing": b"",
    "one byte": b"M",
    "only its name": b"MSH",
    "only its name and a separator": b"MSH|",
    "half of the encoding characters": b"MSH|^~",
    "in small letters": _MESSAGE.lower(),
    "another segment first": _PID + _MSH,
    "text": b"Dear colleague,\r\n",
    "zero bytes": bytes(400),
    "a letter for the field separator": b"MSHA^~\\&A" + _MESSAGE[9:],
    "a carriage return for the field separator": b"MSH\r^~\\&\r",
    "a zero byte for the field separator": b"MSH\0^~\\&\0",
    "one sign for all delimiters": b"MSH|||||||||||\r",
    "two delimiters that are the same": b"MSH|^^\\&|a|b|c|d|1||ADT^A01|1|P|2.5\r",
    "a field separator among the encoding characters": b"MSH^^~\\&^a^b\r",
    "letters for encoding characters": b"MSH|abcd|x\r",
    "an Arabic letter for a delimiter": "MSH|^~\\م|a|b\r".encode(),
    "UTF-16 with its mark": b"\xff\xfe" + _MESSAGE.decode().encode("utf-16-le"),
    "UTF-16 without a mark": _MESSAGE.decode().encode("utf-16-be"),
    "JSON": b'{"resourceType": "Bundle"}',
    "EDIFACT": b"UNA:+.? 'UNB+UNOA:1+A+B+260101:1200+1'",
    "DICOM": bytes(128) + b"DICM" + bytes(20),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
}
_WRONG_FIELD: Final = {
    "no message type": _field(9, b""),
    "no control id": _field(10, b""),
    "a control id of spaces": _field(10, b"   "),
    "a message type of a component separator": _field(9, b"^"),
    "a header that ends behind MSH-8": b"|".join(_MSH.split(b"|")[:8]) + b"\r",
}
_ODD_MESSAGE: Final = {
    "no version": _field(12, b""),
    "a version that nobody has": _field(12, b"99.99"),
    "a control id of 10,000 characters": _field(10, b"9" * 10_000),
    "a control id with an escape that never ends": _field(10, b"\\X41"),
    "an escape of odd hexadecimal": _field(3, b"\\X414\\"),
    "an escape of a zero byte": _field(3, b"\\X00\\"),
    "an escape of all that there is": _field(3, b"\\X" + b"41" * 50_000 + b"\\"),
    "200,000 components": _MSH + b"PID|" + b"^" * 200_000 + b"\r",
    "200,000 repetitions": _MSH + b"PID|" + b"~" * 200_000 + b"\r",
    "200,000 fields": _MSH + b"PID" + b"|" * 200_000 + b"\r",
    "200,000 escape characters": _MSH + b"PID|" + b"\\" * 200_000 + b"\r",
    "a segment without a name": _MSH + b"|1|2\r",
    "a segment with a name of spaces": _MSH + b"   |1\r",
    "a segment of binary": _MSH + bytes(range(256)) + b"\r",
    "line feeds for carriage returns": _MESSAGE.replace(b"\r", b"\n"),
    "both line ends": _MESSAGE.replace(b"\r", b"\r\n"),
    "no line end at all": _MSH.rstrip(b"\r"),
    "30,000 empty lines": _MSH + b"\r" * 30_000,
    "a second header behind the first": _MSH + _MSH,
    "a charset that nobody knows": _MSH.rstrip(b"\r") + b"||||||KLINGON\r",
    "a charset that the bytes are not in": _MSH.rstrip(b"\r") + b"||||||UNICODE UTF-8\r\xff\xfe\r",
    "twenty charsets": _MSH.rstrip(b"\r") + b"||||||" + b"~".join([b"8859/6"] * 20) + b"\r",
    "a shift of ISO 2022 that never ends": _MSH.rstrip(b"\r") + b"||||||ISO IR87\rPID|\x1b$B\x30\r",
    "an accept condition that nobody knows": _MSH.rstrip(b"\r") + b"|||ZZ|ZZ\r",
    "surrogates in UTF-8": _MSH + b"PID|\xed\xa0\x80\xed\xb0\x80\r",
    "overlong UTF-8": _MSH + b"PID|\xc0\xaf\xe0\x80\xaf\r",
    "control signs in the control id": b"MSH|^~\\&|a|b|c|d|2026||ADT^A01|\x00I\x00D\x7f|P|2.5\r",
    "right to left marks in a name": _MSH + "PID|1||\u202e\u2067x\r".encode(),
}
BAD: Final[dict[str, dict[str, bytes]]] = {
    "er7_message": {
        **_NO_HEADER,
        **_WRONG_FIELD,
        "more segments than allowed": _MSH + b"A|\r" * 100_001,
    },
    "hl7_header": {**_NO_HEADER, **_WRONG_FIELD},
    "hl7_answer": {
        **_NO_HEADER,
        "no MSA": _MSH,
        "an MSA without a code": _MSH + b"MSA||1\r",
        "an MSA with a code that nobody knows": _MSH + b"MSA|OK|1\r",
        "MSA before MSH": b"MSA|AA|1\r" + _MSH,
        "an MSA in small letters": _MSH + b"msa|AA|1\r",
        "only MSA": b"MSA|AA|1\r",
        "an answer of HTTP": b"HTTP/1.1 200 OK\r\n\r\n",
    },
    "hl7_batch": {
        "a file without a message": b"FHS|^~\\&\rFTS|0\r",
        "a batch without a message": b"BHS|^~\\&\rBTS|0\r",
        "10,001 messages": b"BHS|^~\\&\r" + _MSH * 10_001 + b"BTS|10001\r",
    },
    "hl7_xml": {
        "nothing": b"",
        "only a declaration": b"<?xml version='1.0'?>",
        "not closed": _XML[:-4],
        "closed by another name": _XML.replace(b"</ADT_A01>", b"</ADT_A02>"),
        "HTML": b"<html><body>Error 502</body></html>",
        "JSON": b'{"a": 1}',
        "ER7": _MESSAGE,
        "a document type": b"<!DOCTYPE a>" + _XML,
        "an entity of its own": b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + _in(b"<MSH.10>&b;</MSH.10>"),
        "an entity from a file": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>"
        + _in(b"<MSH.10>&b;</MSH.10>"),
        "an entity from the network": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'http://127.0.0.1:1/'>]>"
        + _in(b"<MSH.10>&b;</MSH.10>"),
        "a parameter entity": b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'file:///dev/zero'> %b;]>" + _XML,
        "a billion laughs": _LAUGHS + b"]>" + _in(b"<MSH.10>&j;</MSH.10>"),
        "30 elements in each other": _in(b"<MSH.10>" + b"<a>" * 30 + b"</a>" * 30 + b"</MSH.10>"),
        "100,000 elements in each other": _in(b"<MSH.10>" + b"<a>" * 100_000),
        "a field number of 0": _in(b"<MSH.0>1</MSH.0>"),
        "a field number of 1000": _in(b"<MSH.1000>1</MSH.1000>"),
        "a field number of 20 digits": _in(b"<MSH.11111111111111111111>1</MSH.11111111111111111111>"),
        "a field without a number": _in(b"<MSH.x>1</MSH.x>"),
        "a field of another segment": _in(b"<PID.3>1</PID.3>"),
        "a bare ampersand": _in(b"<MSH.10>a & b</MSH.10>"),
        "a zero byte": _in(b"<MSH.10>\0</MSH.10>"),
        "a control sign as a reference": _in(b"<MSH.10>&#1;</MSH.10>"),
        "no UTF-8": _in(b"<MSH.10>\xff</MSH.10>"),
        "no control id": _in(b""),
        "an encoding that nobody knows": b"<?xml version='1.0' encoding='klingon'?>" + _XML,
        "an attribute twice": _XML.replace(b"<MSH>", b"<MSH a='1' a='2'>"),
        "two roots": _XML + _XML,
    },
    "mllp_stream": {
        "no frame at all": _MESSAGE,
        "a frame that never ends": b"\x0b" + _MESSAGE,
        "a frame within a frame": b"\x0b" + _MESSAGE + _framed(_MESSAGE),
        "an end without a beginning": b"\x1c\r",
        "only ends": b"\x1c\r" * 1_000,
        "only beginnings": b"\x0b" * 1_000,
        "a frame beyond the bound": _framed(b"A" * 70_000),
        "garbage before a frame": b"GET / HTTP/1.1\r\n" + _framed(b"A"),
        "garbage between frames": _framed(b"A") + b"??" + _framed(b"B"),
    },
}
ODD: Final[dict[str, dict[str, bytes]]] = {
    "er7_message": _ODD_MESSAGE,
    "hl7_header": _ODD_MESSAGE,
    "hl7_batch": {
        "a trailer without its head": b"BHS|^~\\&\rFTS|1\r" + _MSH,
        "a count that is wrong": b"BHS|^~\\&\r" + _MSH + b"BTS|2\r",
        "a count of text": b"BHS|^~\\&\r" + _MSH + b"BTS|two\r",
        "a count of a thousand digits": b"BHS|^~\\&\r" + _MSH + b"BTS|" + b"1" * 1_000 + b"\r",
        "nothing": b"",
        "a message alone": _MESSAGE,
        "heads only": b"BHS|^~\\&\r" * 20_000,
        "trailers only": b"BTS|1\r" * 20_000,
        "another set of delimiters in the file's head": b"FHS#*~\\&\r" + _MESSAGE,
    },
    "charset": {
        f"{name} under the label {label}": bytes((label,)) + data
        for label in range(8)
        for name, data in {
            "nothing": b"",
            "bytes that no charset has": b"\x81\x8d\x8f\x90\x9d\xff",
            "half a character": b"\xd8",
            "a mark of UTF-8": b"\xef\xbb\xbfA",
            "an escape of ISO 2022": b"\x1b$B0\x1b",
            "zero bytes": bytes(9),
        }.items()
    },
    "hl7_xml": {
        "no namespace": _XML.replace(_NAMESPACE, b""),
        "another namespace": _XML.replace(b"v2xml", b"v3"),
    },
    "mllp_stream": {
        "ended without a carriage return": b"\x0bA\x1c",
        "an empty frame": b"\x0b\x1c\r",
        "10,000 empty frames": b"\x0b\x1c\r" * 10_000,
        "a file separator in the payload": b"\x0bA\x1cB\x1c\r",
        "line feeds behind frames": (_framed(b"A") + b"\n") * 50,
        **each(_ODD_MESSAGE, _framed),
    },
}
