"""``wasl-hub authority detach | export-requests | sign | import``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from crypto import keystore
from crypto.errors import CryptoError
from crypto.keys import SigningPrivateKey
from hub import home as hub_home
from hub.admin import authority as service
from hub.admin.rotation import WORDS
from hub.cli.opened import cli_actor, opened_hub
from hub.directory.service import DirectoryError
from runtime.cli import done, fail, say
from runtime.home import read_bounded, write_new, write_private
from runtime.transactions import read, transact

_KEY_BYTES = 64 * 1_024


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def detach(home: Path, into: Path, as_json: bool) -> None:
    """Do ``wasl-hub authority detach``."""
    try:
        public = hub_home.detach_authority(home, into)
    except hub_home.HubHomeError as error:
        fail(str(error))
    except FileExistsError:
        fail(f"{into} exists already")
    except OSError as error:
        fail(f"{error.filename or into}: {error.strerror or error}")
    text = (
        f"The authority's key ({public.fingerprint()}) is in {into} and no more in {home}.\n"
        "Carry it to the other machine, keep a copy in a safe, remove it here, and restart the hub."
    )
    done({"file": str(into), "fingerprint": str(public.fingerprint())}, text, as_json=as_json)


def export_requests(file: Path, home: Path, everything: bool, as_json: bool) -> None:
    """Do ``wasl-hub authority export-requests``."""
    with opened_hub(home) as hub:
        issuer = hub.issuer
        found = read(hub.engine, lambda c: service.waiting(c, issuer, everything=everything))
        write_private(file, service.encode(found))
    value = {
        "file": str(file),
        "keys": len(found.keys),
        "revocations": len(found.revocations),
        "changes": len(found.changes),
        "everything": None if found.everything is None else len(found.everything.statements),
    }
    waits = f"{len(found.keys)} sets of keys, {len(found.revocations)} revocations"
    text = f"{file}: {waits} and {len(found.changes)} changes of the network's keys wait."
    if found.everything is not None:
        text += f"\nAnd {len(found.everything.statements)} statements, to be signed again by a successor."
    done(value, text, as_json=as_json)


def sign(file: Path, key: Path, into: Path, yes: bool, as_json: bool) -> None:
    """Do ``wasl-hub authority sign``."""
    try:
        authority = keystore.parse(read_bounded(key, _KEY_BYTES)).authority
        found = service.read_requests(read_bounded(file, service.FILE_BYTES))
        for wanted in found.keys:
            how = (
                "endorsed by its present keys" if wanted.endorsement else f"approved by {wanted.approved_by}"
            )
            say(f"keys of {wanted.facility}, serial {wanted.serial}, {how}:\n  {wanted.words}")
        for ended in found.revocations:
            why = f": {ended.reason}" if ended.reason else ""
            say(f"the end of all keys of {ended.facility} up to serial {ended.serial}{why}")
        for change in found.changes:
            say(f"{WORDS[change.subject]} key of the hub {found.hub}: {change.key.hex()}")
        if not yes:
            click.confirm("Sign all of these?", abort=True, err=True)
        signed = service.sign(authority, found, _now_ms())
        write_private(into, service.encode(signed))
    except CryptoError as error:
        fail(f"{key}: {error}")
    except DirectoryError as error:
        fail(f"{file}: {error}")
    except OSError as error:
        fail(f"{error.filename or into}: {error.strerror or error}")
    count = len(signed.statements) + len(signed.changes)
    value = {"file": str(into), "statements": count}
    done(value, f"{into}: {count} statements, to be imported at the hub.", as_json=as_json)


def succeed(file: Path, key: Path, new_key: Path, into: Path, yes: bool, as_json: bool) -> None:
    """Do ``wasl-hub authority succeed``."""
    try:
        authority = keystore.parse(read_bounded(key, _KEY_BYTES)).authority
        found = service.read_requests(read_bounded(file, service.FILE_BYTES))
        count = 0 if found.everything is None else len(found.everything.statements)
        say(f"{count} statements of the hub {found.hub} are signed again by a new key in {new_key}.")
        if not yes:
            click.confirm(f"Let it take the place of {authority.public.fingerprint()}?", abort=True, err=True)
        following = SigningPrivateKey.generate()
        signed = service.succeed(authority, following, found, _now_ms())
        write_new(new_key, keystore.encode({"authority": following}))
        write_private(into, service.encode(signed))
    except CryptoError as error:
        fail(f"{key}: {error}")
    except DirectoryError as error:
        fail(f"{file}: {error}")
    except FileExistsError:
        fail(f"{new_key} exists already")
    except OSError as error:
        fail(f"{error.filename or into}: {error.strerror or error}")
    text = (
        f"{into}: to be imported at the hub. The authority is then {following.public.fingerprint()}.\n"
        f"Keep {key} until `wasl-hub rotate authority finish`, and two copies of {new_key} in safes."
    )
    value = {"file": str(into), "statements": count, "fingerprint": following.public.fingerprint()}
    done(value, text, as_json=as_json)


def take(file: Path, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub authority import``."""
    with opened_hub(home) as hub:
        issuer, content = hub.issuer, read_bounded(file, service.FILE_BYTES)
        found = transact(
            hub.engine,
            lambda c: service.import_signed(c, issuer, content, actor=cli_actor(), now_ms=_now_ms()),
        )
        hub.poke()
    for reason in found.left:
        say(f"left: {reason}")
    value = {
        "keys": found.keys,
        "revocations": found.revocations,
        "changes": found.changes,
        "left": list(found.left),
    }
    text = f"{found.keys} sets of keys and {found.revocations} revocations taken."
    if found.changes:
        text += f"\n{found.changes} changes of the network's keys taken: see wasl-hub rotate status"
    done(value, text, as_json=as_json)
    if found.left:
        fail("not everything was taken")
