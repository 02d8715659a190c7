"""What people write at a desk, as a hospital system of another facility gets it over MLLP.

The desk's application works on the home of a node that runs; its pages are asked without a socket. Receiver
and parser are other people's or plain sockets: a foreign eye on what leaves.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import hl7  # type: ignore[import-untyped]  # it has no annotations
import pytest
from argon2.profiles import CHEAPEST
from lxml import etree
from sqlalchemy import Connection

from nodes import home as node_home
from nodes.desk import departments, people
from nodes.desk.app import create_app
from nodes.desk.daemon import open_desk
from nodes.desk.people import NewUser
from protocols.cda.validate import validate
from runtime.clock import ReactorClock
from runtime.web.passwords import Passwords
from tests.integration.conftest import NewNetwork
from tests.integration.hospital import FROM, TO, Hospital
from tests.integration.localsystems import Receiver, acknowledge, control_id
from tests.integration.waiting import wait_until
from tests.nodes.desk.composing import PATIENT, sent, written
from tests.nodes.desk.desks import PASSWORD, Browser

DEPARTMENT, _, HERE = FROM.partition("@")
ORDER: Final = {"kind": "order", "examinations": "2345-7 Glucose\nGroupage ABO", "text": "À jeun."}
RESULT: Final = {
    "kind": "result", "text": "Hémolyse légère.", "row-0-name": "2823-3 Potassium", "row-0-value": "5.9",
    "row-0-unit": "mmol/L", "row-0-normal": "3.5-5.1", "row-0-flag": "H",
}  # fmt: skip
DOCUMENT: Final = r"MSH EVN PID PV1 TXA( OBX)+"
"""The segments of a message in their order (HL7 v2.5.1, chapters 9.6.2, 11.6.1, 4.4.6, 7.3.1)."""
REFERRAL: Final = r"MSH RF1( PRD)+ PID( DG1)*( OBR( NTE)*( OBX( NTE)*)*)*( PV1)?( NTE)*"
ORDERED: Final = r"MSH( NTE)* PID( PV1)?( ORC( TQ1)* OBR( NTE)*( DG1)*( OBX( NTE)*)*)+"
REPORTED: Final = r"MSH( PID( PV1)?)?(( ORC)? OBR( NTE)*( TQ1)*( OBX( NTE)*)*)+"


@dataclass
class Ends:
    """A hospital system behind one node, somebody at the desk of the other."""

    hospital: Hospital
    browser: Browser

    def write(self, **changed: Any) -> tuple[str, str]:
        """Write and send a message; returns its reference and the address of its way."""
        draft = written(self.browser, **{"department": DEPARTMENT, "recipient": TO, **changed})
        assert sent(self.browser, draft).status_code == 303
        way = re.search(r'href="(/s/[0-9a-f\-]{36})"', self.browser.get(f"/compose/{draft}/sent").text)
        assert way is not None
        return draft, way[1]

    def state(self, reference: str) -> str:
        """Return the state and reason of a copy, at its sender."""
        found = self.hospital.network.nodes[HERE].rows(
            "SELECT r.state, r.code FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
            " WHERE o.key = ?",
            reference,
        )
        assert len(found) == 1
        return f"{found[0][0]} {found[0][1]}".strip()


@pytest.fixture(scope="module")
def ends(module_network: NewNetwork) -> Iterator[Ends]:
    from twisted.internet import reactor  # noqa: PLC0415 - only its clock, and not before a test wants it

    loop: Any = reactor
    network, receiver = module_network(), Receiver()
    network.nodes["chu-oran"].configure(deliver={"*": receiver.port})
    network.start()
    home = network.nodes[HERE].home
    engine = node_home.open_database(home)
    desk = open_desk(home, node_home.load_settings(home), HERE, engine, ReactorClock(loop))
    desk = replace(desk, passwords=Passwords(CHEAPEST))
    new = NewUser("amel", "Dr Amel", "clinician", desk.passwords.hash("amel", PASSWORD))

    def enter(connection: Connection) -> None:
        known = departments.served(connection, desk.settings, HERE)
        people.add(connection, new, actor="cli:test", now_ms=0)
        wanted = {DEPARTMENT}
        departments.set_membership(connection, "amel", wanted, known, actor="cli:test", now_ms=0)

    desk.change(enter)
    browser = Browser(create_app(desk))
    assert browser.sign_in("amel").status_code == 303
    yield Ends(Hospital(network, receiver), browser)
    receiver.close()
    engine.dispose()


def parsed(payload: bytes) -> Any:
    return hl7.parse(payload.decode("utf-8"))


@pytest.mark.parametrize(
    ("changed", "kind", "structure"),
    [
        ({"kind": "file"}, "MDM^T02^MDM_T02", DOCUMENT),
        ({"kind": "advice"}, "MDM^T02^MDM_T02", DOCUMENT),
        ({"kind": "discharge"}, "MDM^T02^MDM_T02", DOCUMENT),
        ({"kind": "referral"}, "REF^I12^REF_I12", REFERRAL),
        (ORDER, "OML^O21^OML_O21", ORDERED),
        (RESULT, "ORU^R01^ORU_R01", REPORTED),
    ],
    ids=["file", "advice", "discharge", "referral", "order", "result"],
)
def test_each_kind_arrives_at_a_hospital_system(
    ends: Ends, changed: dict[str, str], kind: str, structure: str
) -> None:
    receiver = ends.hospital.receiver
    receiver.received.clear()
    receiver.answer = acknowledge("AA")
    reference, _way = ends.write(**changed)
    wait_until("it is processed", lambda: ends.state(reference) == "4 AA")
    (payload,) = receiver.distinct()
    message = parsed(payload)
    assert str(message.segment("MSH")[9]) == kind
    assert [str(message.segment("MSH")[n]) for n in (3, 4, 5, 6)] == [*FROM.split("@"), *TO.split("@")]
    assert str(message.segment("MSH")[12]) == "2.5.1"
    order = " ".join(str(segment[0]) for segment in message)
    assert re.fullmatch(structure, order), order
    identifiers = {
        (str(one[0]), str(one[3]).partition("&")[0], str(one[4])) for one in message.segment("PID")[3]
    }
    assert identifiers == {(PATIENT["national"], "dz-nin", "NI"), (PATIENT["number"], HERE, "MR")}
    assert str(message.segment("PID")[5][0][0]) == PATIENT["family"]
    assert str(message.segment("PID")[7]) == PATIENT["born"].replace("-", "")
    if structure in (DOCUMENT, REFERRAL):
        (held,) = (one for one in message.segments("OBX") if str(one[2]) == "ED")
        root = etree.fromstring(base64.b64decode(str(held[5][0][4])))
        assert validate(root) == ()
        text = str(etree.tostring(root, encoding="unicode", method="text"))
        assert "TA 15/9 | pouls 92." in text
        assert PATIENT["family"] in text
    elif structure == ORDERED:
        assert next(str(one[4][0][0]) for one in message.segments("OBR")) == "2345-7"
        assert len(message.segments("ORC")) == 2
    else:
        assert (str(message.segment("OBX")[5]), str(message.segment("OBX")[8])) == ("5.9", "H")


def test_what_the_hospital_system_refuses_comes_back_with_its_reason(ends: Ends) -> None:
    """AE: the desk's tracking shows it, and the next message passes."""
    receiver = ends.hospital.receiver
    receiver.received.clear()
    receiver.answer = lambda payload: acknowledge(
        "AE" if b"UNKNOWN" in payload else "AA", "PID-3: unknown patient"
    )(payload)
    refused, way = ends.write(family="UNKNOWN")
    taken, other = ends.write()
    wait_until("the first came back", lambda: ends.state(refused) == "5 AE")
    wait_until("the next is processed", lambda: ends.state(taken) == "4 AA")
    assert len({control_id(payload) for payload in receiver.received}) == 2
    ends.browser.get("/account?lang=en")
    page = ends.browser.get(way).text
    assert "The hospital system there refused it." in page
    assert "The hospital system there refused it." not in ends.browser.get(other).text
    assert "Send again" in page
