"""``wasl-hub audit …``."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection, select

from crypto.errors import CryptoError
from crypto.keys import SigningPublicKey
from hub import home as hub_home
from hub.audit import export as exporting
from hub.audit import keys as audit_keys
from hub.audit import prove as proving
from hub.audit import verify as verifying
from hub.audit.journal import Act, AuditBroken, record
from hub.audit.tables import audit
from hub.cli.opened import cli_actor, opened_hub
from protocols.audit import receipt as receipts
from runtime.cli import EXIT_FAILED, EXIT_USAGE, facts, fail, moment, plain, say, table
from runtime.home import HomeError, read_bounded, write_new
from runtime.transactions import read, transact

RETENTION_LEEWAY_MS = 3_600_000
"""Retention runs every ten minutes; a row is not missed earlier."""
_FOREVER_MS = 1 << 62


def list_entries(
    home: Path,
    since: str | None,
    until: str | None,
    actor: str | None,
    action: str | None,
    subject: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Do ``wasl-hub audit list``."""
    query = select(audit).order_by(audit.c.number.desc()).limit(limit)
    query = query.where(audit.c.at_ms >= _time(since, 0), audit.c.at_ms < _time(until, _FOREVER_MS))
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if action is not None:
        below = audit.c.action.startswith(f"{action}.", autoescape=True)
        query = query.where((audit.c.action == action) | below)
    with opened_hub(home) as hub:
        rows = read(hub.engine, lambda connection: connection.execute(query).all())
    value = [
        {
            "number": row.number,
            "at": moment(row.at_ms),
            "actor": row.actor,
            "action": row.action,
            "subject": row.subject,
            "details": row.details,
            "hash": bytes(row.hash).hex(),
        }
        for row in rows
    ]
    header = ("number", "at", "actor", "action", "subject", "details")
    facts(value, as_json=as_json, text=lambda: table([tuple(one.values())[:6] for one in value], header))


def verify(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub audit verify``."""
    with opened_hub(home) as hub:
        keys = hub.holds.keys
        young_ms = _now_ms() - int(hub.settings.retention.ledger_s * 1000) + RETENTION_LEEWAY_MS
        trusted = verifying.Trusted(
            keys.audit.public if keys.audit is not None else None, hub.issuer.authority_key, young_ms
        )
        report = read(hub.engine, lambda connection: verifying.verify(connection, trusted))
    value = {
        "valid": report.valid,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "signed": report.signed,
        "batches": report.batches,
        "rows": report.rows,
        "witnesses": report.witnesses,
        "witnessed": report.witnessed,
        "faults": [{"place": fault.place, "text": fault.text} for fault in report.faults],
    }
    facts(value, as_json=as_json, text=lambda: _told(report))
    if not report.valid:
        sys.exit(EXIT_FAILED)


def _told(report: verifying.Report) -> str:
    lines = [
        (
            f"{report.entries} entries, {report.signed} of them signed by {report.checkpoints} checkpoints; "
            f"{report.batches} batches with {report.rows} rows still here."
        ),
        (
            f"{report.witnesses} nodes countersigned the newest checkpoint, "
            f"{len(report.witnessed)} some checkpoint."
        ),
    ]
    lines += [f"WRONG  {plain(str(fault))}" for fault in report.faults]
    lines.append("The log is as it was written." if report.valid else "The log is NOT as it was written.")
    return "\n".join(lines)


def prove(identifier: str, home: Path, out: Path | None, pdf: Path | None) -> None:
    """Do ``wasl-hub audit prove``."""
    number, raw = int(identifier) if identifier.isdecimal() else 0, b""
    if not number:
        try:
            raw = uuid.UUID(identifier).bytes
        except ValueError:
            fail(f"{identifier!r} is neither a message's id nor an entry's number", EXIT_USAGE)

    def look(connection: Connection) -> receipts.Receipt:
        return proving.of_message(connection, raw) if raw else proving.of_entry(connection, number)

    with opened_hub(home) as hub, _told_plainly():
        found = read(hub.engine, look)
        data = receipts.encode(found)
        if pdf is not None:
            holds = hub.holds.keys
            assert holds.audit is not None  # there is a checkpoint
            present = holds.audit.public
            first = read(hub.engine, lambda connection: audit_keys.all_keys(connection, present))[0]
            _print(pdf, receipts.check(found, first, holds.authority_key), data)
        if pdf is None or out is not None:
            with _written(out) as file:
                file.write(data.decode("utf-8"))


def _print(pdf: Path, proved: receipts.Checked, data: bytes) -> None:
    from hub.audit.printed import page  # noqa: PLC0415 - brings fpdf2, which takes half a second

    try:
        write_new(pdf, page(proved, data))
    except FileExistsError:
        fail(f"{pdf} exists already")
    say(f"Written to {pdf}.")


def check(file: Path, key: str, authorities: tuple[str, ...], as_json: bool) -> None:
    """Do ``wasl-hub audit check``."""
    try:
        is_stdin = str(file) == "-"
        data = (
            sys.stdin.buffer.read(receipts.RECEIPT_BYTES + 1)
            if is_stdin
            else read_bounded(file, receipts.RECEIPT_BYTES)
        )
        public = _key("--key", key)
        others = [_key("--authority", one) for one in authorities]
        proved = receipts.check(receipts.parse(data), public, *others)
    except (receipts.ReceiptFault, HomeError) as fault:
        if as_json:
            facts({"valid": False, "fault": str(fault)}, as_json=True, text=str)
            sys.exit(EXIT_FAILED)
        fail(str(fault))
    except OSError as error:
        fail(f"{file}: {error.strerror or error}")
    value = {
        "valid": True,
        "about": proved.about,
        "hub": proved.signed.origin,
        "signed": moment(proved.signed.at_ms),
        "size": proved.signed.size,
        "root": proved.signed.root.hex(),
        "witnesses": list(proved.witnesses),
        "items": list(proved.items),
    }
    facts(value, as_json=as_json, text=lambda: _proved(proved))


def _proved(proved: receipts.Checked) -> str:
    lines = [
        (
            f"Proved by checkpoint {proved.signed.size} of hub {proved.signed.origin}, "
            f"signed {moment(proved.signed.at_ms)}: {proved.about}"
        ),
    ]
    for one in proved.items:
        row = one.get("message")
        if row is None:
            lines.append(f"  {moment(one['at_ms'])}  {one['actor']}  {one['action']}  {one['subject']}")
        else:
            at_ms = row.get("at_ms", row.get("accepted_ms", 0))
            lines.append(
                f"  {moment(at_ms)}  {row['state']:<10} {row.get('recipient', row.get('recipients', ''))}"
                f"  (entry {one['entry']})"
            )
    lines += [f"  countersigned by {name}" for name in proved.witnesses]
    return "\n".join(plain(line) for line in lines)


def export(home: Path, style: str, since: str | None, until: str | None, out: Path | None) -> None:
    """Do ``wasl-hub audit export``."""
    from_ms, until_ms = _time(since, 0), _time(until, _FOREVER_MS)
    with opened_hub(home) as hub:
        source = f"wasl-hub/{hub.settings.hub.name}"

        def write(connection: Connection) -> None:
            found = exporting.entries(connection, from_ms, until_ms)
            lines = exporting.atna(found, source) if style == "atna" else exporting.fhir(found, source)
            with _written(out) as file:
                for line in lines:
                    file.write(line + "\n")

        read(hub.engine, write)
        details = {"format": style, "from": since or "", "until": until or ""}
        transact(
            hub.engine, lambda c: record(c, Act(cli_actor(), "audit.exported", "audit", details), _now_ms())
        )


def key(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub audit key``."""
    with opened_hub(home) as hub:
        keys = hub.holds.keys
        public, authority, name = keys.audit, hub.issuer.authority_key, hub.settings.hub.name
        if public is None:
            public = hub_home.add_audit_key(home)
            act = Act(cli_actor(), "audit.key-made", name, {"key": bytes(public.public).hex()})
            transact(hub.engine, lambda c: record(c, act, _now_ms()))
            say("This home had no audit key: it has one now. Restart the hub, so that it signs with it.")
        present = public.public
        earlier = read(hub.engine, lambda connection: audit_keys.all_keys(connection, present))[:-1]
    value = {
        "hub": name,
        "audit_key": bytes(public.public).hex(),
        "authority_key": bytes(authority).hex(),
    }
    if earlier:
        value["earlier_audit_keys"] = " ".join(bytes(one).hex() for one in earlier)
    facts(value, as_json=as_json, text=lambda: "\n".join(f"{what:<14}{text}" for what, text in value.items()))


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except (proving.NothingToProve, AuditBroken) as error:
        fail(str(error))


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    """Yield stdout, or a new file that only its owner reads; nothing that is there is replaced."""
    if out is None:
        yield sys.stdout
        return
    if out.exists():
        fail(f"{out} exists already")
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        yield file
    say(f"Written to {out}.")


def _key(option: str, text: str) -> SigningPublicKey:
    try:
        return SigningPublicKey(bytes.fromhex(text))
    except (ValueError, CryptoError):
        fail(f"{option}: 64 hexadecimal digits expected, as `wasl-hub audit key` prints them", EXIT_USAGE)


def _time(text: str | None, otherwise_ms: int) -> int:
    if text is None:
        return otherwise_ms
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time; it should be like 2026-11-01 or 2026-11-01T08:00", EXIT_USAGE)
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
