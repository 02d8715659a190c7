"""``wasl-hub rotate link | authority | audit | status | export``.

A key is written into the key file before the database speaks of it, and the file is tidied after the database
has let the one before go. So a command that was cut off is finished by giving it again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from crypto.keys import LinkPrivateKey, SigningPrivateKey
from crypto.trust import Subject
from hub import home as hub_home
from hub.admin import rotation
from hub.cli.opened import OpenedHub, cli_actor, opened_hub
from hub.directory import trust
from hub.directory.trust import Row
from hub.keys import AUDIT_NEXT, AUTHORITY_NEXT, LINK_NEXT
from protocols.link.trustfile import encode_trust_file
from runtime.cli import done, facts, fail, moment
from runtime.home import write_private
from runtime.transactions import read, transact

BACKUP: Final = "Make a backup now: without this key a restored hub would be known to no node that has moved."

TIDIED: Final = "the key before is no longer in the key file."


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def link(step: str, home: Path, force: bool, as_json: bool) -> None:
    """Do ``wasl-hub rotate link``."""
    with opened_hub(home) as hub:
        if step == "begin":
            row, text = _begin_link(hub)
        elif step == "announce":
            row, text = _announce_link(hub)
        else:
            row, text = _finish_link(hub, force)
        hub.poke()
    done(_value(row), text, as_json=as_json)


def _begin_link(hub: OpenedHub) -> tuple[Row, str]:
    _tidy(hub)
    issuer = hub.issuer
    if read(hub.engine, lambda c: trust.open_row(c, Subject.LINK)) is None:
        _draw(hub, LINK_NEXT, LinkPrivateKey.generate())
    following = hub_home.load_keys(hub.home).link_next
    if following is None:
        fail("the key file lacks the key that was drawn: copy it from the hub that drew it, or unseal it")
    row = transact(
        hub.engine,
        lambda c: rotation.begin_link(c, issuer, following.public, actor=cli_actor(), now_ms=_now_ms()),
    )
    text = f"Drawn: link key {row.fingerprint}. Nobody is told of it yet. {BACKUP}\n"
    if not row.statement:
        text += "The authority has to sign it: wasl-hub authority export-requests, sign there, import.\n"
    return row, text + "Several hubs: copy the key file to each. Then: wasl-hub rotate link announce"


def _announce_link(hub: OpenedHub) -> tuple[Row, str]:
    issuer, following = hub.issuer, hub_home.load_keys(hub.home).link_next
    begun = read(hub.engine, lambda c: trust.open_row(c, Subject.LINK))
    if begun is not None and (following is None or bytes(following.public) != begun.key):
        fail(
            f"the key file has no link key {begun.fingerprint}: nodes would be told of a key that nobody has"
        )
    row = transact(
        hub.engine, lambda c: rotation.announce_link(c, issuer, actor=cli_actor(), now_ms=_now_ms())
    )
    return row, (
        f"Nodes are told of link key {row.fingerprint}; new codes carry it. See: wasl-hub rotate status\n"
        "When all have moved: wasl-hub rotate link finish"
    )


def _finish_link(hub: OpenedHub, force: bool) -> tuple[Row, str]:
    issuer = hub.issuer
    changes = [row for row in read(hub.engine, trust.rows) if row.about_link]
    if _tidy(hub) and changes and changes[-1].finished:  # it was finished in the console, or cut off here
        return changes[-1], f"The hub is known by link key {changes[-1].fingerprint} alone; {TIDIED}"
    row = transact(
        hub.engine,
        lambda c: rotation.finish_link(c, issuer, actor=cli_actor(), now_ms=_now_ms(), force=force),
    )
    _tidy(hub)
    return row, (
        f"The hub is known by link key {row.fingerprint} alone.\n"
        "Codes that were given out before the change work no more."
    )


def authority(step: str, home: Path, force: bool, as_json: bool) -> None:
    """Do ``wasl-hub rotate authority``."""
    with opened_hub(home) as hub:
        row, text = _begin_authority(hub) if step == "begin" else _finish_authority(hub, force)
        hub.poke()
    done(_value(row), text, as_json=as_json)


def _begin_authority(hub: OpenedHub) -> tuple[Row, str]:
    _tidy(hub)
    issuer = hub.issuer
    if issuer.signer is None:
        fail("the authority's key is not on this machine; on the one that has it: wasl-hub authority succeed")
    if read(hub.engine, lambda c: trust.open_row(c, Subject.AUTHORITY)) is None:
        _draw(hub, AUTHORITY_NEXT, SigningPrivateKey.generate())
    following = hub_home.load_keys(hub.home).authority_next
    if following is None:
        fail("another authority's key is under way: `wasl-hub rotate authority finish` first")
    row = transact(
        hub.engine,
        lambda c: rotation.begin_authority(c, issuer, following, actor=cli_actor(), now_ms=_now_ms()),
    )
    return row, (
        f"The authority's key is {row.fingerprint} now; it has signed everything again. Nodes are told.\n"
        f"{BACKUP} When all have followed (wasl-hub rotate status): wasl-hub rotate authority finish"
    )


def _finish_authority(hub: OpenedHub, force: bool) -> tuple[Row, str]:
    issuer = hub.issuer
    row = transact(
        hub.engine,
        lambda c: rotation.retire_authority(c, issuer, actor=cli_actor(), now_ms=_now_ms(), force=force),
    )
    if not row.statement:
        return row, "The authority has to sign this: wasl-hub authority export-requests, sign there, import."
    _tidy(hub)
    return row, f"The authority's key {row.fingerprint} counts no more."


def _value(row: Row) -> dict[str, Any]:
    return {
        "what": rotation.WORDS[row.subject],
        "key": row.fingerprint,
        "serial": row.serial,
        "signed": bool(row.statement),
    }


def audit(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub rotate audit``."""
    with opened_hub(home) as hub:
        _tidy(hub)
        key, name = hub.holds.keys.audit, hub.settings.hub.name
        if key is None:
            fail("this home has no audit key that signs now: `wasl-hub audit key` draws the first one")
        _draw(hub, AUDIT_NEXT, SigningPrivateKey.generate())
        following = hub_home.load_keys(home).audit_next
        assert following is not None  # it was just written
        public = following.public
        number = transact(
            hub.engine,
            lambda c: rotation.rotate_audit(c, name, key, public, actor=cli_actor(), now_ms=_now_ms()),
        )
        _tidy(hub)
        hub.poke()
    text = (
        f"From entry {number} on the audit log is signed by {bytes(public).hex()}.\n"
        "Keep the public key before as well: what it signed is checked by it."
    )
    done({"entry": number, "audit_key": bytes(public).hex()}, text, as_json=as_json)


def status(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub rotate status``."""
    with opened_hub(home) as hub:
        holds = hub.holds
        under_way = read(hub.engine, _under_way)
    keys = holds.keys
    value: dict[str, Any] = {
        "link": [key.fingerprint() for key in holds.links],
        "authority": keys.authority_key.fingerprint(),
        "audit": None if keys.audit is None else keys.audit.fingerprint(),
        "serial": holds.serial,
        "under_way": under_way,
    }
    facts(value, as_json=as_json, text=lambda: _told(value))


def _under_way(connection: Connection) -> list[dict[str, Any]]:
    return [
        {
            "what": rotation.WORDS[row.subject],
            "key": row.fingerprint,
            "serial": row.serial,
            "begun": moment(row.at_ms),
            "signed": bool(row.statement),
            "announced": None if row.announced_ms is None else moment(row.announced_ms),
            "behind": [
                {"facility": one.facility, "seen": moment(one.seen_ms) if one.seen_ms else None}
                for one in rotation.behind(connection, row)
            ],
        }
        for row in trust.rows(connection)
        if not row.finished
    ]


def _told(value: dict[str, Any]) -> str:
    lines = [
        f"link key    {', '.join(value['link'])}",
        f"authority   {value['authority']}",
        f"audit key   {value['audit'] or 'none'}",
    ]
    for one in value["under_way"]:
        step = (
            "announced " + one["announced"] if one["announced"] else "signed" if one["signed"] else "unsigned"
        )
        lines.append(f"Under way: {one['what']} {one['key']}, begun {one['begun']}, {step}")
        lines += [
            f"  not yet: {node['facility']} (last seen {node['seen'] or 'never'})" for node in one["behind"]
        ]
    return "\n".join(lines if value["under_way"] else [*lines, "Nothing is under way."])


def export(file: Path, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub rotate export``."""
    with opened_hub(home) as hub:
        rows = read(hub.engine, trust.rows)
        told = tuple(row.statement for row in rows if row.announced_ms is not None)
        write_private(file, encode_trust_file(hub.settings.hub.name, told))
    text = f"{file}: {len(told)} changes. At the node: wasl-node trust {file.name}"
    done({"file": str(file), "changes": len(told)}, text, as_json=as_json)


def _draw(hub: OpenedHub, name: str, key: LinkPrivateKey | SigningPrivateKey) -> None:
    """Write a fresh key beside the one whose place it takes, unless one lies there from an attempt before."""
    found = hub_home.load_keys(hub.home)
    if {LINK_NEXT: found.link_next, AUTHORITY_NEXT: found.authority_next, AUDIT_NEXT: found.audit_next}[
        name
    ] is None:
        hub_home.change_keys(hub.home, {name: key})


def _tidy(hub: OpenedHub) -> bool:
    """Take keys out of the key file that another has taken the place of for good; returns whether any was."""
    found, holds = hub_home.load_keys(hub.home), hub.holds
    changes: dict[str, LinkPrivateKey | SigningPrivateKey | None] = {}
    if found.link_next is not None and holds.links == (found.link_next,):
        changes |= {"link": found.link_next, LINK_NEXT: None}
    replaced = read(hub.engine, lambda c: trust.open_row(c, Subject.AUTHORITY)) is None
    if replaced and found.authority_next is not None and holds.keys.authority == found.authority_next:
        changes |= {"authority": found.authority_next, AUTHORITY_NEXT: None}
    if found.audit_next is not None and holds.keys.audit == found.audit_next:
        changes |= {"audit": found.audit_next, AUDIT_NEXT: None}
    if changes:
        hub_home.change_keys(hub.home, changes)
        hub_home.publish(hub.home, hub.holds.keys, hub.holds.serial)
    return bool(changes)
