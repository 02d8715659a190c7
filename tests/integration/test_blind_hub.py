"""What a hub can know, and what happens to one that cheats: searched and tampered with from outside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from crypto import identity as statements
from crypto import sealing
from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from hub import home as hub_home
from hub.directory import store as directory
from nodes.link.identity import load_identity
from protocols.link.envelope import decode_message
from runtime.transactions import transact
from tests.integration.daemons import Daemon
from tests.integration.network import Network
from tests.integration.waiting import wait_until

TO = "labo@chu-oran"
DAY_MS = 86_400_000


def searched(home: Path, marker: bytes) -> list[str]:
    """Return the names of all files below ``home`` that hold ``marker`` in one of its usual clothes."""
    clothes = {marker, marker.lower(), marker.hex().encode(), marker.decode().encode("utf-16-le")}
    return [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in clothes)
    ]


def test_nothing_of_a_message_is_in_the_hubs_home(network: Network, tmp_path: Path) -> None:
    """Body, subject, patient, file names and files: not in the hub's tables, WAL, attachments or logs.

    Searched while the messages wait in the hub, after their delivery, and after a SIGKILL; the sender's and
    recipient's homes show that the search finds what is there.
    """
    marks = {
        what: f"ZQMARK{what}QZ".encode() for what in ("BODY", "LARGE", "SUBJECT", "PATIENT", "NAME", "FILE")
    }
    hl7 = tmp_path / "m.hl7"
    hl7.write_bytes(
        b"MSH|^~\\&|labo|chu-alger|labo|chu-oran|2026||ADT^A01|1|P|2.5\rNTE|||" + marks["BODY"] + b"\r"
    )
    large = tmp_path / "large.hl7"
    large.write_bytes(hl7.read_bytes().replace(marks["BODY"], marks["LARGE"] * 10_000))
    file = tmp_path / f"{marks['NAME'].decode()}.pdf"
    file.write_bytes(marks["FILE"] * 50_000)
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    hub.start()
    alger.start()
    alger.wait_connected()
    words: list[str | Path] = [
        "--subject",
        marks["SUBJECT"].decode(),
        "--patient",
        marks["PATIENT"].decode(),
        "--file",
        file,
    ]
    sent = [
        alger.send(TO, "--hl7", body, *words, "--wait", "accepted", "--timeout", "20s")["id"]
        for body in (hl7, large)
    ]
    waiting = {what: searched(hub.home, mark) for what, mark in marks.items()}
    hub.kill()
    killed = {what: searched(hub.home, mark) for what, mark in marks.items()}
    hub.start()
    oran.start()
    for identifier in sent:
        alger.wait_state(identifier, "delivered")
    oran.ask("fetch", sent[0], "--into", tmp_path / "in")
    alger.wait_state(sent[0], "processed")
    done = {what: searched(hub.home, mark) for what, mark in marks.items()}
    assert waiting == killed == done == {what: [] for what in marks}
    said = network.hub.log.read_bytes()
    assert [what for what, mark in marks.items() if mark in said] == []
    assert [what for what, mark in marks.items() if not searched(oran.home, mark)] == []


def credential(
    facility: str, serial: int, authority: SigningPrivateKey
) -> tuple[directory.CredentialRow, SealingPrivateKey]:
    """Return a credential over keys that the cheating hub holds, signed by ``authority``."""
    link, signing, false_key = (
        LinkPrivateKey.generate(),
        SigningPrivateKey.generate(),
        SealingPrivateKey.generate(),
    )
    now_ms = time.time_ns() // 1_000_000
    claim = statements.Credential(
        facility=facility,
        serial=serial,
        link_key=link.public,
        signing_key=signing.public,
        sealing_key=false_key.public,
        not_before_ms=now_ms - DAY_MS,
        not_after_ms=now_ms + 365 * DAY_MS,
    )
    blob = statements.issue(authority, claim)
    row = directory.CredentialRow(
        facility, serial, bytes(link.public), blob, revoked=False, not_after_ms=claim.not_after_ms
    )
    return row, false_key


def swap(hub: Daemon, row: directory.CredentialRow, *, instead: bool) -> None:
    """Show ``row`` in the directory from now on, beside the true credential or instead of it."""
    engine = hub_home.open_database(hub.home, hub_home.load_settings(hub.home))

    def operation(connection: Connection) -> None:
        if not instead:
            directory.put_credential(connection, row)
            return
        sql = "UPDATE credentials SET statement = ? WHERE facility = ?"
        connection.exec_driver_sql(sql, (row.statement, row.facility))
        directory.touch(connection, row.facility)

    transact(engine, operation)
    engine.dispose()


def broken(row: directory.CredentialRow) -> directory.CredentialRow:
    """Return the row with the last byte of its statement's signature flipped."""
    blob = row.statement[:-1] + bytes([row.statement[-1] ^ 1])
    return directory.CredentialRow(
        row.facility, row.serial, row.link_key, blob, revoked=False, not_after_ms=row.not_after_ms
    )


@pytest.mark.parametrize("way", ["another-authority", "flipped-signature", "another-facility", "same-serial"])
def test_a_hub_that_swaps_a_key_is_found_out(network: Network, tmp_path: Path, way: str) -> None:
    """The sender's node alarms, keeps the key it had verified, and seals for that one alone.

    Ways: a credential signed by an authority of the hub's own; one whose signature is broken; a true one of
    somebody else; a second one under a serial that was seen with other keys, by the true authority.
    """
    network.start()
    alger, oran, hub = network.nodes["chu-alger"], network.nodes["chu-oran"], network.hub
    before = alger.rows("SELECT statement, serial FROM addressbook WHERE name = 'chu-oran'")
    oran.stop()
    true_authority = hub_home.load_keys(hub.home).authority
    assert isinstance(true_authority, SigningPrivateKey)
    serial = before[0][1]
    row, false_key = {
        "another-authority": lambda: credential("chu-oran", serial + 1, SigningPrivateKey.generate()),
        "flipped-signature": lambda: credential("chu-oran", serial + 1, true_authority),
        "another-facility": lambda: credential("chu-setif", serial + 1, true_authority),
        "same-serial": lambda: credential("chu-oran", serial, true_authority),
    }[way]()
    row = broken(row) if way == "flipped-signature" else row
    shown = directory.CredentialRow(
        "chu-oran", row.serial, row.link_key, row.statement, revoked=False, not_after_ms=row.not_after_ms
    )
    swap(hub, shown, instead=way == "same-serial")
    wait_until("alger raises an alarm", lambda: alger.rows("SELECT 1 FROM alarms WHERE code = 'directory'"))
    assert any("chu-oran" in text for code, text in alger.alarms() if code == "directory")
    assert alger.rows("SELECT statement, serial FROM addressbook WHERE name = 'chu-oran'") == before

    letter = tmp_path / "m.hl7"
    letter.write_bytes(b"MSH|^~\\&|labo|chu-alger|labo|chu-oran|2026||ADT^A01|1|P|2.5\r")
    sent = alger.send(TO, "--hl7", letter, "--wait", "accepted", "--timeout", "20s")
    ((blob,),) = hub.rows("SELECT message FROM spool")
    wraps = decode_message(blob).wraps
    assert [(wrap.facility, wrap.serial) for wrap in wraps] == [("chu-oran", serial)]
    with pytest.raises(CryptoError):
        sealing.unwrap_key(wraps[0].key, false_key)
    sealing.unwrap_key(wraps[0].key, load_identity(oran.home).keys.sealing)
    oran.start()
    alger.wait_state(sent["id"], "delivered")
