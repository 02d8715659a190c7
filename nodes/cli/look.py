"""``track``, ``sent``, ``inbox``, ``show``, ``fetch``, ``directory``, ``status``."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from config.fields import size_text
from crypto.fingerprint import in_hex, in_words
from nodes.cli.opened import OpenedNode, opened_node
from nodes.cli.taking import write_message
from nodes.gateways.naming import body_suffix
from nodes.link import addressbook, facts, inbox, tracking
from nodes.link.errors import NotFound
from nodes.link.ids import id_text, parse_id
from protocols.link.envelope import State, mailbox_of
from protocols.link.places import wilaya_name
from runtime import cli
from runtime.transactions import read, transact


def _id(text: str) -> bytes:
    raw = parse_id(text)
    if raw is None:
        cli.fail(f"{text!r} is no message id; it should be like 019a…-….", cli.EXIT_USAGE)
    return raw


def _sent_value(sent: tracking.Sent) -> dict[str, Any]:
    return {
        "id": id_text(sent.id),
        "state": sent.state.word,
        "reason": sent.reason or None,
        "kind": sent.kind,
        "from": sent.sender,
        "subject": sent.subject,
        "created": cli.moment(sent.created_ms),
        "expires": cli.moment(sent.expires_ms),
        "recipients": [
            {
                "to": r.recipient, "state": r.state.word, "reason": r.code or None, "at": cli.moment(r.at_ms),
                "answer": r.answer.decode("utf-8", "replace") or None,
            }
            for r in sent.recipients
        ],
        "history": [
            {"state": m.state.word, "at": cli.moment(m.at_ms), "to": m.recipient or None,
             "reason": m.code or None, "text": m.text or None}
            for m in sent.history
        ],
    }  # fmt: skip


def _sent_text(sent: tracking.Sent) -> str:
    lines = [f"{id_text(sent.id)}  {sent.kind}  {sent.state.word}  {sent.reason}".rstrip()]
    lines += [
        f"  {cli.moment(m.at_ms)}  {m.state.word:<10} {m.recipient} {m.code} {m.text}".rstrip()
        for m in sent.history
    ]
    return "\n".join(cli.plain(line) for line in lines)


def track(identifier: str, home: Path, as_json: bool) -> None:
    """Do ``wasl-node track``."""
    with opened_node(home) as node:
        sent = read(node.engine, lambda connection: tracking.find(connection, _id(identifier)))
    cli.facts(_sent_value(sent), as_json=as_json, text=lambda: _sent_text(sent))


def sent(home: Path, limit: int, as_json: bool) -> None:
    """Do ``wasl-node sent``."""
    with opened_node(home) as node:
        found = read(node.engine, lambda connection: tracking.latest(connection, limit))
    rows = [
        (id_text(one.id), one.kind, one.state.word, ",".join(r.recipient for r in one.recipients), one.reason)
        for one in found
    ]
    cli.facts(
        [_sent_value(one) for one in found],
        as_json=as_json,
        text=lambda: cli.table(rows, ("id", "kind", "state", "to", "reason")),
    )


def _received_value(received: inbox.Received) -> dict[str, Any]:
    return {
        "id": id_text(received.id),
        "from": received.sender,
        "to": received.recipient,
        "kind": received.kind,
        "subject": received.subject,
        "patient": received.patient,
        "priority": received.priority.name.lower(),
        "received": cli.moment(received.received_ms),
        "state": received.state.word,
        "attachments": _files_value(received.files),
    }


def _files_value(files: Sequence[inbox.ReceivedFile | tracking.SentFile]) -> list[dict[str, Any]]:
    return [{"name": file.name, "size": file.size, "digest": file.digest.hex()} for file in files]


def list_inbox(home: Path, mailbox: str | None, as_json: bool) -> None:
    """Do ``wasl-node inbox``."""
    with opened_node(home) as node:
        recipient = None if mailbox is None else _own_address(node, mailbox)
        found = read(node.engine, lambda connection: inbox.listing(connection, recipient=recipient))
    rows = [
        (id_text(one.id), cli.moment(one.received_ms), one.kind, one.sender, mailbox_of(one.recipient),
         one.state.word, len(one.files), one.subject)
        for one in found
    ]  # fmt: skip
    header = ("id", "received", "kind", "from", "to", "state", "files", "subject")
    cli.facts([_received_value(one) for one in found], as_json=as_json, text=lambda: cli.table(rows, header))


def _arrived(node: OpenedNode, raw: bytes, mailbox: str | None) -> inbox.Received:
    """Return the message as it came to ``mailbox``, or to the only one that it came to; NotFound."""
    address = None if mailbox is None else _own_address(node, mailbox)
    came_to = read(node.engine, lambda connection: inbox.recipients_of(connection, raw))
    if address is None and len(came_to) > 1:
        names = ", ".join(mailbox_of(one) for one in came_to)
        cli.refuse("several-mailboxes", f"{id_text(raw)} came to {names}: say which by --mailbox")
    return read(node.engine, lambda connection: inbox.find(connection, raw, address))


def _own_address(node: OpenedNode, mailbox: str) -> str:
    """Return the address of a mailbox of this facility; one that it has not is refused."""
    facility = node.identity.facility
    own = read(node.engine, lambda connection: addressbook.mailboxes_of(connection, facility))
    if own is not None and mailbox not in own:
        names = ", ".join(sorted(own))
        cli.refuse("unknown-mailbox", f"{facility} has no mailbox {mailbox!r}; it has: {names}")
    return f"{mailbox}@{facility}"


def show(identifier: str, home: Path, mailbox: str | None, as_json: bool) -> None:
    """Do ``wasl-node show``."""
    raw = _id(identifier)
    with opened_node(home) as node:
        value, body = _shown(node, raw, mailbox)
    if as_json:
        value["body"] = body.decode("utf-8", "replace")
        if value["body"].encode("utf-8") != body:
            value["body_base64"] = base64.b64encode(body).decode("ascii")
        cli.facts(value, as_json=True, text=str)
        return
    for name in ("id", "kind", "from", "to", "subject", "patient", "received", "created", "state", "reason"):
        if value.get(name):
            click.echo(f"{name + ':':<10} {cli.plain(value[name])}")
    for file in value["attachments"]:
        click.echo(f"{'file:':<10} {cli.plain(file['name'])} ({size_text(file['size'])})")
    if body:
        click.echo("")
        click.echo(_body_text(body, received="received" in value))


def _body_text(body: bytes, *, received: bool) -> str:
    """Return the body for people: text with what a terminal would obey written out, or what it is instead."""
    if body_suffix(body) == ".dat":
        return f"{size_text(len(body))}, not text; use {'fetch' if received else '--json'}"
    return cli.plain(body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"), layout=True)


def _shown(node: OpenedNode, raw: bytes, mailbox: str | None) -> tuple[dict[str, Any], bytes]:
    try:
        received = _arrived(node, raw, mailbox)
    except NotFound:
        if mailbox is not None:
            raise
        mine = read(node.engine, lambda connection: tracking.find(connection, raw))
        content, body = read(
            node.engine, lambda connection: tracking.open_content(connection, raw, node.home)
        )
        value = _sent_value(mine)
        value["to"] = ", ".join(recipient.recipient for recipient in mine.recipients)
        value["patient"] = content.patient
        value["attachments"] = _files_value(read(node.engine, lambda c: tracking.open_files(c, raw)))
        return value, body
    return _received_value(received), inbox.read_body(received, node.home)


def fetch(identifier: str, home: Path, into: Path, mailbox: str | None, as_json: bool) -> None:
    """Do ``wasl-node fetch``."""
    raw = _id(identifier)
    with opened_node(home) as node:
        received = _arrived(node, raw, mailbox)
        written = _write(node, received, into)
        now_ms = time.time_ns() // 1_000_000
        transact(
            node.engine,
            lambda connection: inbox.conclude(
                connection, node.identity, received.seq, State.PROCESSED, now_ms, code="fetched"
            ),
        )
        node.poke()
    value = {"id": id_text(raw), "files": [str(path) for path in written]}
    cli.facts(value, as_json=as_json, text=lambda: "\n".join(value["files"]))


def _write(node: OpenedNode, received: inbox.Received, into: Path) -> list[Path]:
    try:
        return write_message(received, node.home, into)
    except OSError as error:
        cli.fail(f"{into}: {error.strerror or error}; nothing was marked as taken")


def directory(home: Path, as_json: bool) -> None:
    """Do ``wasl-node directory``."""
    with opened_node(home) as node:
        entries = read(node.engine, addressbook.entries)
    value = [
        {
            "facility": None if entry.is_group else entry.name,
            "group": entry.name if entry.is_group else None,
            "title": entry.title,
            "kind": entry.kind or None,
            "wilaya": entry.wilaya or None,
            "active": entry.active,
            "mailboxes": [
                {"name": box.name, "title": box.title, "specialty": box.specialty} for box in entry.mailboxes
            ],
            "members": list(entry.members),
        }
        for entry in entries
    ]
    rows = [
        (
            f"{entry.name}@group" if entry.is_group else entry.name,
            "active" if entry.active else "inactive",
            entry.kind or "-",
            f"{entry.wilaya:02} {wilaya_name(entry.wilaya)}" if entry.wilaya else "-",
            " ".join(entry.members) if entry.is_group else " ".join(box.name for box in entry.mailboxes),
            entry.title,
        )
        for entry in entries
    ]
    header = ("name", "state", "kind", "wilaya", "mailboxes", "title")
    cli.facts(value, as_json=as_json, text=lambda: cli.table(rows, header))


def status(home: Path, as_json: bool) -> None:
    """Do ``wasl-node status``."""
    with opened_node(home) as node:
        waiting, oldest_ms = read(node.engine, tracking.queue_depth)
        connected = read(node.engine, lambda connection: facts.get(connection, facts.CONNECTED))
        refusal = read(node.engine, facts.refusal)
        alarms = read(node.engine, lambda connection: facts.latest_alarms(connection, 20))
        running = node.poke()
    fingerprint = node.identity.keys.fingerprint
    value = {
        "facility": node.identity.facility,
        "fingerprint": {"words": in_words(fingerprint), "hex": in_hex(fingerprint)},
        "keys": {
            "serial": node.identity.credential.serial,
            "expires": cli.moment(node.identity.credential.not_after_ms),
        },
        "hub": node.identity.hub,
        "running": running,
        "connected": bool(connected) and running and not refusal,
        "refused": refusal or None,
        "queued": waiting,
        "oldest": None if oldest_ms is None else cli.moment(oldest_ms),
        "alarms": [{"at": cli.moment(at), "code": code, "text": text} for at, code, text in alarms],
    }
    cli.facts(value, as_json=as_json, text=lambda: _status_text(value))
    sys.exit(0)


def _status_text(value: dict[str, Any]) -> str:
    lines = [
        f"facility   {value['facility']}",
        f"daemon     {'running' if value['running'] else 'not running'}",
        f"hub        {value['hub']} ({_link_text(value)})",
        f"keys       {value['fingerprint']['words']}",
        f"           {value['fingerprint']['hex']}, until {value['keys']['expires']}",
        f"queued     {value['queued']}" + (f", oldest {value['oldest']}" if value["oldest"] else ""),
    ]
    lines += [f"alarm      {one['at']}  {one['code']}  {one['text']}" for one in value["alarms"]]
    return "\n".join(cli.plain(line) for line in lines)


def _link_text(value: dict[str, Any]) -> str:
    if value["connected"]:
        return "connected"
    why = f": {value['refused']}; only the hub's administrator can mend that" if value["refused"] else ""
    return f"not connected{why}"
