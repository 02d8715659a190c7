"""An enrolled node that cheats harms itself alone: the hub keeps memory, time and the others' mail."""

from __future__ import annotations

import os
import time

import pytest

from crypto import sealing
from hub.files.layout import storage_key
from nodes.link.identity import load_identity
from protocols.link import frames as f
from protocols.link.envelope import (
    AttachmentRef,
    Priority,
    Receipt,
    SignedReceipt,
    State,
    Wrap,
    decode_envelope,
    decode_message,
    encode,
)
from tests.attack.evil import EvilNode
from tests.integration.conftest import NewNetwork
from tests.integration.network import FACILITIES, Network
from tests.integration.waiting import wait_until

EVIL = "chu-setif"
FLOOD_S = 3.0
GROWTH_KIB = 32 * 1_024


@pytest.fixture(scope="module")
def network(module_network: NewNetwork) -> Network:
    """Return a hub and one honest node, running; the keys of two others are in evil hands."""
    network = module_network(FACILITIES)
    network.hub.start()
    network.nodes["chu-alger"].start()
    network.nodes["chu-alger"].wait_connected()
    return network


def evil(network: Network, facility: str = EVIL) -> EvilNode:
    """Return an evil node, to be entered."""
    return EvilNode(network.nodes[facility].home, network.hub_port)


def wrap_for(network: Network, facility: str, key: sealing.ContentKey) -> tuple[Wrap, ...]:
    """Return the content key as ``facility`` can open it."""
    credential = load_identity(network.nodes[facility].home).credential
    return (Wrap(facility, credential.serial, sealing.wrap_key(key, credential.sealing_key)),)


@pytest.mark.parametrize(
    "frames",
    [
        [f.Taken((f.Taking(1 << 62, State.DELIVERED, "", b""),))],
        [f.Resume()],
        [f.EventsTaken(1 << 60)],
        [f.ReceiptsStored(1)],
        [f.Want(bytes(16), 10, 0)],
        [f.Want(bytes(16), 0, 1 << 40)],
        [f.Offer(bytes([n]) * 16, 100, bytes(32)) for n in range(5)],
        [f.Offer(bytes(16), 100, bytes(32)), f.Offer(bytes(16), 200, bytes(32))],
        [f.DirectoryWanted(0), f.DirectoryWanted(0)],
        [f.Receipts((f.ReceiptItem(1, "a@b", bytes(16), "labo@chu-oran", State.PROCESSED, b""),))],
        [f.Receipts((f.ReceiptItem(1, "a@b", bytes(16), f"labo@{EVIL}", State.DELIVERED, b""),))],
        [f.Accepted(())],
        [f.Ready()],
        [f.Deliver(())],
    ],
    ids=lambda frames: f"{type(frames[0]).__name__} {len(frames)}",
)
def test_what_may_not_be_said_ends_the_session(network: Network, frames: list[f.AnyFrame]) -> None:
    with evil(network) as node:
        node.say(*frames)
        assert node.ended().reason is f.Goodbye.PROTOCOL_FAULT


@pytest.mark.parametrize("receipt", [b"", b"receipt", "another"], ids=str)
def test_a_delivery_without_its_receipt_ends_the_session(network: Network, receipt: bytes | str) -> None:
    """Its sender would never believe it, and never hear of it again: it stays in the spool."""
    with evil(network) as sender:
        _, message = sender.message("labo@chu-oran")
        sender.submit(message)
        sender.wait(f.Accepted)
    with evil(network, "chu-oran") as node:
        one = node.wait(f.Deliver).deliveries[0]
        if isinstance(receipt, str):
            statement = Receipt(
                1, bytes(16), bytes(32), f"labo@{EVIL}", one.recipient, State.DELIVERED, "", 0, 1
            )
            receipt = encode(SignedReceipt(encode(statement), bytes(64)))
        node.say(f.Taken((f.Taking(one.sequence, State.DELIVERED, "", receipt),)))
        assert node.ended().reason is f.Goodbye.PROTOCOL_FAULT
    with evil(network, "chu-oran") as node:
        again = node.wait(f.Deliver).deliveries[0]
        assert again.message == message
        node.say(f.Taken((f.Taking(again.sequence, State.RETURNED, "x", b""),)))
        assert node.still_welcome()


def test_a_size_that_was_not_stored_is_refused(network: Network) -> None:
    """A tiny attachment announced as 32 TiB would keep its recipient waiting for room for ever."""
    identifier = os.urandom(16)
    with evil(network) as node:
        root = node.upload(identifier)
        lie, blob = node.message("labo@chu-alger", attachments=(AttachmentRef(identifier, 1 << 45, root),))
        node.submit(blob)
        assert node.wait(f.Refused).refusals[0].code == "no-file"
        true, blob = node.message("labo@chu-alger", attachments=(AttachmentRef(identifier, 5, root),))
        node.submit(blob)
        assert node.wait(f.Accepted).ids == (true,)
        assert lie != true


@pytest.mark.parametrize("frame", [f.Ping(1 << 60), f.Want(bytes(16), 0, 1)], ids=["PING", "WANT"])
def test_a_node_that_asks_and_never_reads_costs_no_memory(network: Network, frame: f.AnyFrame) -> None:
    def resident_kib() -> int:
        return network.hub.rss_peak_kib()

    before_kib = resident_kib()
    with evil(network) as node:
        node.socket.settimeout(1.0)
        until_s = time.monotonic() + FLOOD_S
        try:
            while time.monotonic() < until_s:
                for _ in range(2_000):
                    node.session._writer.put(f.encode_frame(frame))
                node.socket.sendall(node.session.data_to_send())
        except OSError:
            pass  # the hub has had enough, which is as good
    assert resident_kib() - before_kib < GROWTH_KIB
    sent = network.nodes["chu-alger"].send("labo@chu-alger", "--from", "labo", "--file", __file__)
    network.nodes["chu-alger"].wait_state(sent["id"], "delivered")


def test_a_stuck_queue_of_one_sender_keeps_no_other_waiting(network: Network) -> None:
    """Behind a message whose attachment is never fetched lie more rows than the hub holds; others pass it."""
    attachment = os.urandom(16)
    with evil(network) as sender:
        root = sender.upload(attachment)
        _, first = sender.message("labo@chu-oran", attachments=(AttachmentRef(attachment, 5, root),))
        sender.submit(first)
        behind = [sender.message("labo@chu-oran")[1] for _ in range(400)]
        for start in range(0, 400, 20):
            sender.submit(*behind[start : start + 20])
            sender.wait(f.Accepted)
        _, other = sender.message("cardio@chu-oran")
        _, urgent = sender.message("labo@chu-oran", priority=Priority.STAT)
        sender.submit(other, urgent)
        with evil(network, "chu-oran") as node:
            come: list[f.Delivery] = []
            while len(come) < 3:
                come += node.wait(f.Deliver).deliveries
            barrier = next(one for one in come if one.message == first)
            assert {one.message for one in come} == {first, other, urgent}
            # The barrier falls: the rest comes, all of it, in order.
            late: list[f.Delivery] = []
            answered = come
            while len(late) < 400:
                node.say(f.Taken(tuple(f.Taking(one.sequence, State.RETURNED, "x", b"") for one in answered)))
                answered = list(node.wait(f.Deliver).deliveries)
                late += answered
            assert [one.message for one in late] == behind
            assert barrier.sequence < late[0].sequence
            node.say(f.Taken(tuple(f.Taking(one.sequence, State.RETURNED, "x", b"") for one in answered)))
            assert node.still_welcome()


def test_the_id_of_anothers_attachment_spoils_nothing(network: Network) -> None:
    """Who got an attachment knows its id, and may use it again: each recipient still gets the right bytes."""
    shared = os.urandom(16)
    with evil(network) as victim:
        victim_root = victim.upload(shared, 5)
        _, honest = victim.message("labo@chu-oran", attachments=(AttachmentRef(shared, 5, victim_root),))
        victim.submit(honest)
        victim.wait(f.Accepted)
    with evil(network, "chu-oran") as both:
        root = both.upload(shared, 6)
        _, clash = both.message(
            "cardio@chu-oran", attachments=(AttachmentRef(shared, 6, root),), priority=Priority.STAT
        )
        both.submit(clash)
        both.wait(f.Accepted)
    with evil(network, "chu-oran") as node:
        order = []
        for _ in range(2):
            one = node.wait(f.Deliver).deliveries[0]
            ref = decode_envelope(decode_message(one.message).envelope).attachments[0]
            node.say(f.Want(ref.id, 0, 1))
            assert len(node.wait(f.Chunk).data) == ref.size + 16
            assert not [event for event in node.events if isinstance(event, f.Deliver)]
            order.append(one.message)
            node.say(f.Taken((f.Taking(one.sequence, State.RETURNED, "x", b""),)))
        assert order == [clash, honest]


def test_an_attachment_that_is_gone_returns_its_message(network: Network) -> None:
    """Two messages name one attachment: it goes with the first, and the second does not wait for ever."""
    attachment = os.urandom(16)
    with evil(network) as sender:
        refs = (AttachmentRef(attachment, 5, sender.upload(attachment)),)
        _, first = sender.message("labo@chu-oran", attachments=refs)
        second_id, second = sender.message("labo@chu-oran", attachments=refs)
        sender.submit(first, second)
        sender.wait(f.Accepted)
        with evil(network, "chu-oran") as node:
            one = node.wait(f.Deliver).deliveries[0]
            node.say(f.Taken((f.Taking(one.sequence, State.RETURNED, "x", b""),)))
            one = node.wait(f.Deliver).deliveries[0]
            assert one.message == second
            stored = storage_key(EVIL, attachment).hex()
            wait_until("the attachment is gone", lambda: not list(network.hub.home.rglob(f"{stored}.*")))
            node.say(f.Want(attachment, 0, 1))
            assert node.wait(f.FileRefused).retry_after_ms == 0
        sender.say(f.Ping(1))
        told = [event for frame in sender.events if isinstance(frame, f.Events) for event in frame.events]
        while not any(event.id == second_id and event.code == "damaged-in-store" for event in told):
            told += sender.wait(f.Events).events


def test_a_replayed_hello_does_not_displace_the_live_session(network: Network) -> None:
    with evil(network) as node:
        replay = EvilNode(network.nodes[EVIL].home, network.hub_port)
        replay.socket.sendall(b"")  # the genuine HELLO is out; READY never follows
        assert node.still_welcome()
        replay.socket.close()
        assert node.still_welcome()
