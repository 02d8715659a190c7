"""``send``: put into the outbox, and wait if asked to."""

from __future__ import annotations

import mimetypes
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Connection

from config.fields import UnfitError, parse_address, size_text
from nodes import home as node_home
from nodes.cli.opened import OpenedNode, opened_node
from nodes.cli.outcome import wait
from nodes.gateways.drafting import kind_of, patient_of, sender_of
from nodes.link import addressbook, files, outbox
from nodes.link.errors import Refused
from nodes.link.ids import id_text
from protocols.hl7.header import read_header
from protocols.hl7.priority import is_stat
from protocols.link.envelope import FILE_KIND, Priority
from runtime.cli import EXIT_NO_DAEMON, EXIT_USAGE, facts, fail, say
from runtime.transactions import read, transact

BODY_BYTES: Final = 64 * 1024 * 1024


def send(home: Path, **options: Any) -> None:
    """Do ``wasl-node send``."""
    if options["hl7"] is None and not options["paths"]:
        fail("nothing to send: give --hl7 FILE, --file FILE, or both", EXIT_USAGE)
    if options["key"] == "":
        fail("--id is empty: give the key that you know the message by, or leave --id out", EXIT_USAGE)
    recipients = _recipients(options["recipients"])
    with opened_node(home) as node:
        put = _put(node, recipients, options)
        running = node.poke()
        identifier = id_text(put.id)
        if options["wait"] is None:
            if not running:
                say("Queued; the daemon is not running, it will be sent when it does.")
            facts(
                {"id": identifier, "state": put.state.word},
                as_json=options["as_json"],
                text=lambda: identifier,
            )
            return
        if not running:
            facts(
                {"id": identifier, "state": put.state.word},
                as_json=options["as_json"],
                text=lambda: identifier,
            )
            fail("Queued, but nothing to wait for: the daemon is not running.", EXIT_NO_DAEMON)
        wait(node, put.id, options["wait"], options["timeout"], as_json=options["as_json"])


def _recipients(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recipients, each once; what is no address is wrong usage, all of it named at once."""
    faults = []
    for recipient in dict.fromkeys(given):
        try:
            parse_address(recipient)
        except UnfitError as fault:
            faults.append(f"Error: --to {recipient!r} {fault}")
    if faults:
        fail("\n".join(faults), EXIT_USAGE)
    return tuple(dict.fromkeys(given))


def _check_known(connection: Connection, recipients: tuple[str, ...]) -> None:
    """Raise Refused if the address book lacks any of them; the text names every one."""
    faults = []
    for recipient in recipients:
        try:
            addressbook.resolve(connection, (recipient,))
        except Refused as fault:
            faults.append(fault)
    if faults:
        raise Refused(faults[0].code, "\n".join(str(fault) for fault in faults))


def _put(node: OpenedNode, recipients: tuple[str, ...], options: dict[str, Any]) -> outbox.Put:
    body = _body(options["hl7"])
    sender = read(node.engine, lambda c: sender_of(c, node.identity.facility, options["sender"]))
    kind, patient, subject, stat = _read(body)
    if options["valid_for"] is None:
        valid_for_ms = node_home.valid_for_ms(node.settings.messages, kind)
    else:
        valid_for_ms = int(options["valid_for"] * 1000)
    # A wrong address is found before anything large is sealed.
    read(node.engine, lambda c: _check_known(c, recipients))
    prepared = _prepare(node, body, options["paths"])
    draft = outbox.Draft(
        sender=sender,
        recipients=recipients,
        kind=kind,
        prepared=prepared,
        key=options["key"],
        subject=subject if options["subject"] is None else options["subject"],
        patient=patient if options["patient"] is None else options["patient"],
        priority=_priority(options["priority"], stat=stat),
        valid_for_ms=valid_for_ms,
    )
    with files.discarded_if_refused(node.home, prepared.files):
        put = transact(node.engine, lambda c: outbox.put(c, draft, time.time_ns() // 1_000_000))
    if not put.fresh:
        files.discard(node.home, prepared.files)
    return put


def _read(body: bytes) -> tuple[str, str, str, bool]:
    """Return (kind, patient, subject, whether it asks to be stat) of what is sent; MalformedMessage."""
    if not body:
        return FILE_KIND, "", "", False
    header = read_header(body)
    patient, subject = patient_of(header, body)
    return kind_of(None, body), patient, subject, is_stat(header, body)


def _priority(wanted: str | None, *, stat: bool) -> Priority:
    if wanted is None:
        return Priority.STAT if stat else Priority.ROUTINE
    return Priority[wanted.upper()]


def _body(path: Path | None) -> bytes:
    if path is None:
        return b""
    with click.open_file(str(path), "rb") as file:
        body: bytes = file.read(BODY_BYTES + 1)
    if len(body) > BODY_BYTES:
        fail(f"{path} is larger than a message can be, {size_text(BODY_BYTES)}; send it with --file")
    if not body:
        fail(f"{path} is empty; it should be an HL7 message")
    return body


def _prepare(node: OpenedNode, body: bytes, paths: tuple[Path, ...]) -> files.Prepared:
    floor_bytes = node.settings.disk.floor_bytes
    with ExitStack() as stack:
        sources = [
            files.Source(
                path.name,
                mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                stack.enter_context(path.open("rb")),
                path.stat().st_size,
            )
            for path in paths
        ]
        total = sum(source.size_bytes for source in sources)
        if not sources or not sys.stderr.isatty():
            return files.prepare(node.home, body, sources, floor_bytes=floor_bytes)
        from nodes.cli.watching import bytes_bar  # noqa: PLC0415 - rich, only on a terminal

        with bytes_bar() as bar:
            task = bar.add_task("sealing", total=total)
            return files.prepare(
                node.home, body, sources, floor_bytes=floor_bytes, progress=lambda n: bar.advance(task, n)
            )
