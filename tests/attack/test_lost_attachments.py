"""Attachments that the hub has lost: their messages come back, and those of others pass."""

from __future__ import annotations

import os

from crypto import sealing
from nodes.link.identity import load_identity
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import AttachmentRef, Wrap
from tests.attack.evil import EvilNode
from tests.integration.conftest import NewNetwork
from tests.integration.network import FACILITIES
from tests.integration.waiting import wait_until


def test_lost_attachments_do_not_use_up_the_recipients_transfers(new_network: NewNetwork) -> None:
    network = new_network(FACILITIES)
    alger, oran, evil = (network.nodes[name] for name in FACILITIES)
    credential = load_identity(oran.home).credential
    network.hub.start()
    with EvilNode(evil.home, network.hub_port) as sender:
        for number in range(limits.TRANSFERS + 1):
            attachment, key = os.urandom(16), sealing.ContentKey.generate()
            wrap = Wrap("chu-oran", credential.serial, sealing.wrap_key(key, credential.sealing_key))
            _, blob = sender.message(
                "labo@chu-oran",
                sender=f"box{number}@{sender.identity.facility}",
                attachments=(AttachmentRef(attachment, 5, sender.upload(attachment)),),
                content_key=key,
                wrap_for=(wrap,),
            )
            sender.submit(blob)
            sender.wait(f.Accepted)
    network.hub.stop()
    for path in network.hub.home.rglob("*.sealed"):
        path.unlink()
    network.hub.start()
    oran.start()
    alger.start()
    alger.wait_connected()
    sent = alger.send("labo@chu-oran", "--from", "labo", "--file", __file__)
    alger.wait_state(sent["id"], "delivered")
    returned = "SELECT count(*) FROM events WHERE state = 6 AND facility = ?"
    wait_until(
        "all came back", lambda: network.hub.rows(returned, evil.facility) == [(limits.TRANSFERS + 1,)]
    )
