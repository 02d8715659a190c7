"""What the ``backup`` commands of both daemons say and share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto import recovery
from crypto.errors import CryptoError
from crypto.keys import SealingPrivateKey, SealingPublicKey
from runtime.backup.archive import BackupError, Manifest
from runtime.backup.making import Made, default_file
from runtime.backup.making import create as make
from runtime.backup.opening import Opened, opened_backup
from runtime.backup.opening import verify as verify_backup
from runtime.backup.source import Kept
from runtime.cli import EXIT_USAGE, facts, fail, moment, say
from runtime.home import HomeError, read_bounded, write_new
from runtime.storage_errors import StorageError

KEY_FILE_BYTES = 4_096


def keygen(out: Path, as_json: bool) -> None:
    """Do ``backup keygen``."""
    key = SealingPrivateKey.generate()
    with told():
        write_new(out, (recovery.private_text(key) + "\n").encode("ascii"))
    say(f"{out} holds the private key: whoever has it can read every backup, and without it none is of use.")
    say("Keep two copies where no server can reach them. The line on stdout is for the servers (--key).")
    public = recovery.public_text(key.public)
    facts({"file": str(out), "public": public}, as_json=as_json, text=lambda: public)


def public_key(text: str) -> SealingPublicKey:
    """Return the key of ``--key``: the line itself, or a file that holds it."""
    try:
        if not text.startswith((recovery.PUBLIC_PREFIX, recovery.PRIVATE_PREFIX)):
            text = _line(Path(text))
        return recovery.parse_public(text)
    except CryptoError as fault:
        fail(f"--key: {fault}", EXIT_USAGE)


def private_key(path: Path) -> SealingPrivateKey:
    """Return the key in a file."""
    try:
        return recovery.parse_private(_line(path))
    except CryptoError as fault:
        fail(f"{path}: {fault}", EXIT_USAGE)


def _line(path: Path) -> str:
    try:
        text = read_bounded(path, KEY_FILE_BYTES).decode("ascii", "replace")
    except (OSError, HomeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        fail(f"{path}: {why}; --key wants a recovery key (backup keygen), or a file with one", EXIT_USAGE)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return lines[0] if lines else ""


@contextmanager
def told() -> Iterator[None]:
    """Turn what can go wrong with a backup into one clear text and exit code 1."""
    try:
        yield
    except (BackupError, StorageError, HomeError) as error:
        fail(str(error))
    except FileExistsError as error:
        fail(f"{error.filename} exists already; nothing was replaced")
    except OSError as error:
        fail(f"{error.filename or 'the backup'}: {error.strerror or error}")


def create(kept: Kept, key: str, into: Path | None, floor_bytes: int, *, as_json: bool) -> None:
    """Do ``backup create`` for an opened home."""
    now_ms = time.time_ns() // 1_000_000
    recovery_key = public_key(key)
    if into is None:
        into = default_file(kept, now_ms)
        say(f"{into} is on the machine that it is to save: copy it elsewhere, or use --to.")
    made = make(kept, into, recovery_key, now_ms=now_ms, floor_bytes=floor_bytes)
    for path in made.lost[:10]:
        say(f"The database names {path}, and the disk has lost it: its message comes back to its sender.")
    facts(_made(made), as_json=as_json, text=lambda: f"{made.file}  {made.size_bytes} bytes, read back")


def _made(made: Made) -> dict[str, object]:
    return {
        "file": str(made.file), "bytes": made.size_bytes, "files": len(made.manifest.files),
        "rows": sum(made.manifest.rows.values()), "schema": made.manifest.schema, "verified": True,
        "lost": list(made.lost), "seconds": round(made.seconds, 2),
    }  # fmt: skip


def verify(file: Path, key_file: Path, made_by: str | None, work: Path, as_json: bool) -> None:
    """Do ``backup verify``."""
    key = private_key(key_file)
    with told(), opened_backup(file, key, made_by=made_by) as opened:
        manifest = verify_backup(opened, work)
        value = about(opened, manifest)
    facts(value, as_json=as_json, text=lambda: words(value))
    if made_by is None:
        say(f"Compare: it was made by the home whose link key is {value['made_by']} (doctor shows it).")


def about(opened: Opened, manifest: Manifest) -> dict[str, object]:
    """Return the facts of a backup that was checked."""
    return {
        "ok": True, "what": opened.beginning.what, "name": opened.beginning.name,
        "made": moment(opened.beginning.made_ms), "made_by": opened.link.fingerprint(),
        "software": opened.beginning.software, "schema": manifest.schema, "files": len(manifest.files),
        "bytes": sum(one.size for one in manifest.files), "rows": sum(manifest.rows.values()),
        "database": manifest.engine,
    }  # fmt: skip


def words(value: dict[str, object]) -> str:
    """Return these facts as lines for people."""
    return "\n".join(f"{name.replace('_', ' '):<9} {text}" for name, text in value.items())
