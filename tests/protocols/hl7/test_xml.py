"""v2.xml: what ER7 says comes back from XML, and hostile XML raises nothing but our own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7.batch import split
from protocols.hl7.er7 import MalformedMessage, Message
from protocols.hl7.xml import MAX_DEPTH, MalformedXml, from_xml, to_xml

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")

MSH = "MSH|^~\\&|LAB^1.2^ISO|CHU|||2026||ADT^A01|1|P|2.5||||||UNICODE UTF-8\r"


def content(raw: bytes) -> list[tuple[str, str]]:
    message = Message(raw)
    return [(leaf.path, message.text(leaf.value)) for leaf in message.walk()]


def there_and_back(raw: bytes) -> bytes:
    return from_xml(to_xml(Message(raw)))


def test_elements_are_named_by_data_type() -> None:
    raw = (MSH + "PID|1||12^^^CHU&1.2&ISO^MR~13||أحمد^علي\rZPD|a^b&c\r").encode()
    assert to_xml(Message(raw)).decode().split("<PID>", 1)[1] == (
        "<PID.1>1</PID.1><PID.3><CX.1>12</CX.1><CX.4><HD.1>CHU</HD.1><HD.2>1.2</HD.2><HD.3>ISO</HD.3></CX.4>"
        "<CX.5>MR</CX.5></PID.3><PID.3><CX.1>13</CX.1></PID.3>"
        "<PID.5><XPN.1><FN.1>أحمد</FN.1></XPN.1><XPN.2>علي</XPN.2></PID.5></PID>"
        "<ZPD><ZPD.1><ZPD.1.1>a</ZPD.1.1><ZPD.1.2><ZPD.1.2.1>b</ZPD.1.2.1><ZPD.1.2.2>c</ZPD.1.2.2></ZPD.1.2>"
        "</ZPD.1></ZPD></ADT_A01>"
    )
    assert there_and_back(raw) == raw


@pytest.mark.parametrize(
    "line",
    [
        "NTE|1||one\\.br\\two\\.in+4\\\\H\\bold\\N\\",
        "NTE|1||\\X0D0A\\\\Zown\\\\C2842\\",
        "NTE|1||a\\T\\b\\F\\c\\S\\d\\R\\e\\E\\f",
        "NTE|1||<b>&amp;</b>",
        "OBX|1|TX|A||one~two~~four",
        "OBX|1|CWE|A||c^t^s",
        "OBX|1|TX|A||a & b",
        "OBX|1|??|A||a^b",
        "PID|1||1&2^3",
        'PID|""|||""',
        "ZZZ|||x",
        "ZZZ",
    ],
)
def test_there_and_back(line: str) -> None:
    raw = (MSH + line + "\r").encode()
    assert content(there_and_back(raw)) == content(raw)
    assert Message(there_and_back(raw)).segments[-1].raw == raw.split(b"\r")[-2]


def test_other_delimiters_and_character_sets_come_back() -> None:
    raw = "MSH#!@%*#مخبر##R##2026##ADT!A01#1#P#2.5######8859/6\rPID#1##12!!!A*B\r".encode("iso8859-6")
    assert there_and_back(raw) == raw


def test_what_msh_18_cannot_express_becomes_utf_8_and_says_so() -> None:
    xml = to_xml(Message(MSH.encode())).replace(b"UNICODE UTF-8", b"8859/1").replace(b"CHU", "مخبر".encode())
    message = Message(from_xml(xml))
    assert message.header.character_sets == ("UNICODE UTF-8",)
    assert message.get("MSH-4") == "مخبر"


def test_groups_of_any_name_are_walked_through() -> None:
    xml = b"""<ORU_R01 xmlns="urn:hl7-org:v2xml"><MSH><MSH.1>|</MSH.1><MSH.2>^~\\&amp;</MSH.2>
        <MSH.9><MSG.1>ORU</MSG.1><MSG.2>R01</MSG.2></MSH.9><MSH.10>1</MSH.10></MSH>
        <ORU_R01.PATIENT_RESULT><ORU_R01.PATIENT><PID><PID.3><CX.1>7</CX.1></PID.3></PID></ORU_R01.PATIENT>
        </ORU_R01.PATIENT_RESULT></ORU_R01>"""
    assert from_xml(xml) == b"MSH|^~\\&|||||||ORU^R01|1\rPID|||7\r"


BOMB = (
    "<!DOCTYPE a [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9)) + "]><a>&a8;</a>"
)
HOSTILE = {
    "empty": b"",
    "text": b"MSH|^~\\&|",
    "cut short": b"<ADT_A01><MSH>",
    "no segment": b"<ADT_A01/>",
    "MSH is not first": b"<ADT_A01><PID/></ADT_A01>",
    "entity bomb": BOMB.encode(),
    "entity bomb in UTF-16": BOMB.encode("utf-16"),
    "external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external subset": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "unknown entity": b"<a><MSH><MSH.3>&nbsp;</MSH.3></MSH></a>",
    "deep": b"<a>" + b"<g.x>" * (MAX_DEPTH + 5) + b"</g.x>" * (MAX_DEPTH + 5) + b"</a>",
    "very deep": b"<a>" * 100_000,
    "no numbers": b"<a><MSH><hello/></MSH></a>",
    "number too large": b"<a><MSH><MSH.9999>1</MSH.9999></MSH></a>",
    "number zero": b"<a><MSH><MSH.0>1</MSH.0></MSH></a>",
    "clashing delimiters": b"<a><MSH><MSH.1>|</MSH.1><MSH.2>||||</MSH.2></MSH></a>",
    "NUL": b"<a>\x00</a>",
    "bad encoding": b'<?xml version="1.0" encoding="nonsense"?><a/>',
    "wrong bytes": b'<?xml version="1.0" encoding="UTF-8"?><a>\xff</a>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(name: str) -> None:
    with pytest.raises(MalformedXml):
        from_xml(HOSTILE[name])


def test_values_cannot_break_out_of_their_field() -> None:
    xml = b"<a><MSH><MSH.3>A|B&#13;PID|9&#10;^~&amp;</MSH.3><MSH.9>ACK</MSH.9><MSH.10>1</MSH.10></MSH></a>"
    raw = from_xml(xml)
    assert raw.count(b"\r") == 1
    assert Message(raw).get("MSH-3") == "A|B\rPID|9\n^~&"


@given(st.text(max_size=60), st.sampled_from(["UNICODE UTF-8", "", "8859/6", "ASCII"]))
def test_any_text_survives(text: str, label: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    from protocols.hl7.er7 import build  # noqa: PLC0415 (only this test builds)

    raw = build(
        ("MSH", "", "", "", "", "", "", "ACK", "1", "P", "2.5", "", "", "", "", "", label),
        ("NTE", "1", "", text),
    )
    assert Message(there_and_back(raw)).get("NTE-3") == Message(raw).get("NTE-3")


@given(st.binary(max_size=200))
def test_noise_raises_nothing_else(noise: bytes) -> None:
    for data in (noise, b"<a>" + noise + b"</a>", b"<a><MSH><MSH.3>" + noise + b"</MSH.3></MSH></a>"):
        try:
            from_xml(data)
        except MalformedXml:
            continue


@needs_corpus
@pytest.mark.corpus
def test_the_corpus_there_and_back() -> None:
    same = other = unnamed = 0
    for path in sorted((CORPUS / "er7").rglob("*.er7"))[::4]:
        try:
            messages = split(path.read_bytes())[:5]
            kept = [(raw, to_xml(Message(raw))) for raw in messages]
        except MalformedMessage:
            unnamed += 1
            continue
        for raw, xml in kept:
            if content(from_xml(xml)) == content(raw):
                same += 1
            else:
                other += 1
    print(same, other, unnamed)
    assert other <= same * 0.02


@needs_corpus
@pytest.mark.corpus
def test_another_implementations_xml_says_what_its_er7_says() -> None:
    """It re-encodes loosely itself, so nearly all values must agree, not all messages."""
    agreed = total = 0
    for path in sorted((CORPUS / "v2xml" / "hapi-derived").glob("*.xml")):
        raw = from_xml(path.read_bytes())
        folder, _, name = path.stem.partition("__")
        try:
            original = content((CORPUS / "er7" / folder / f"{name}.er7").read_bytes())
            found = set(content(raw))
        except MalformedMessage:
            continue
        agreed += len(found.intersection(original))
        total += len(original)
    print(agreed, total)
    assert agreed > total * 0.95


@needs_corpus
@pytest.mark.corpus
def test_xml_examples_are_read_or_refused() -> None:
    for path in sorted((CORPUS / "v2xml" / "examples").glob("*.xml")):
        try:
            from_xml(path.read_bytes())
        except MalformedXml as fault:
            print(path.name, fault)
