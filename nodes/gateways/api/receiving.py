"""Handlers: what arrived, taking it, who there is, and how the node is."""

from __future__ import annotations

import io

from sqlalchemy import Connection

from nodes.gateways.api import shapes
from nodes.gateways.api.routes import Bytes, Node
from nodes.gateways.api.sending import identifier_of
from nodes.gateways.drafting import utc_text
from nodes.link import addressbook, inbox, tracking
from nodes.link.errors import NotFound
from nodes.link.ids import id_text
from protocols.link.envelope import State
from runtime.home import free_bytes
from runtime.transactions import read, transact
from runtime.web.problems import ApiError
from runtime.web.routes import Answer, Call

_STATES = {
    "delivered": (State.DELIVERED,),
    "processed": (State.PROCESSED,),
    "returned": (State.REFUSED, State.RETURNED),
}
_NUMBER_DIGITS = 4


def inbox_list(node: Node, call: Call) -> Answer:
    """Show what arrived."""
    query: shapes.InboxQuery = call.query
    found = read(
        node.engine,
        lambda connection: inbox.listing(
            connection,
            recipient=_address(node, query.mailbox),
            limit=query.limit,
            states=None if query.state is None else _STATES[query.state],
        ),
    )
    return Answer(200, shapes.ArrivedList([shapes.arrived(one) for one in found]))


def inbox_one(node: Node, call: Call) -> Answer:
    """Show one message that arrived."""
    return Answer(200, shapes.arrived(read(node.engine, lambda c: _find(c, node, call))))


def body(node: Node, call: Call) -> Answer:
    """Give the body, byte for byte."""
    one = read(node.engine, lambda c: _find(c, node, call))
    size = sum(len(piece) for piece in inbox.body_pieces(one, node.home))  # checked before any of it is said
    file = io.BytesIO(one.body) if one.body_path is None else (node.home / one.body_path).open("rb")
    return Answer(200, Bytes(file, size, f"{id_text(one.id)}.hl7", ""))


def attachment(node: Node, call: Call) -> Answer:
    """Give one attachment, whole or a range of it."""
    one = read(node.engine, lambda c: _find(c, node, call))
    digits = call.path["number"]
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS else 0
    if not 1 <= number <= len(one.files):
        raise NotFound("not-found", f"the message has {len(one.files)} attachments, counted from 1")
    file = one.files[number - 1]
    for _ in inbox.file_pieces(file, node.home):
        """It is checked before any of it is said."""
    return Answer(200, Bytes((node.home / file.path).open("rb"), file.size, file.name, file.digest.hex()))


def acknowledge(node: Node, call: Call) -> Answer:
    """Record what the application did with the message; the same again changes nothing."""
    said: shapes.Acknowledgement = call.body
    state = State.PROCESSED if said.outcome == "processed" else State.REFUSED
    now_ms = node.clock.now_ms()

    def conclude(connection: Connection) -> tuple[inbox.Received, inbox.Concluded | None]:
        one = _find(connection, node, call)
        done = inbox.conclude(
            connection, node.identity, one.seq, state, now_ms,
            code="" if state is State.PROCESSED else "refused", answer=said.text.encode("utf-8"),
        )  # fmt: skip
        return inbox.find(connection, one.id, one.recipient), done

    one, done = transact(node.engine, conclude)
    node.wake()
    if done is not None and done.unsealed:
        node.alarm("bad-sealing-key", done.unsealed)
    if one.state is not state:
        raise ApiError(409, "concluded-before", f"the message was {one.state.name.lower()} before")
    return Answer(200, shapes.Acknowledged(id_text(one.id), one.recipient, shapes.word(one.state)))


def directory(node: Node, _call: Call) -> Answer:
    """Show who can be written to."""
    version, entries = read(node.engine, lambda c: (addressbook.version(c), addressbook.entries(c)))
    return Answer(200, shapes.directory(version, entries))


def status(node: Node, _call: Call) -> Answer:
    """Show how the node is."""
    version, (queued, oldest_ms) = read(
        node.engine, lambda c: (addressbook.version(c), tracking.queue_depth(c))
    )
    return Answer(
        200,
        shapes.Status(
            facility=node.identity.facility,
            hub=node.identity.hub_name,
            connected=node.connected(),
            directory_version=version,
            queued=queued,
            oldest_queued=None if oldest_ms is None else utc_text(oldest_ms),
            free_bytes=free_bytes(node.home),
            floor_bytes=node.floor_bytes,
        ),
    )


def _find(connection: Connection, node: Node, call: Call) -> inbox.Received:
    identifier = identifier_of(call)
    address = _address(node, call.query.mailbox)
    if address is None:
        recipients = inbox.recipients_of(connection, identifier)
        if len(recipients) > 1:
            raise ApiError(
                409, "several-mailboxes", f"it came to {', '.join(recipients)}: say which by ?mailbox="
            )
    return inbox.find(connection, identifier, address)


def _address(node: Node, mailbox: str | None) -> str | None:
    return None if mailbox is None else f"{mailbox}@{node.identity.facility}"
