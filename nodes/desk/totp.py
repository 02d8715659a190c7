"""One-time codes from an application on a phone (TOTP: RFC 6238 with SHA-1, 30 seconds, 6 digits).

A code counts once: the step that was used is kept, and neither it nor an earlier one counts again. A step to
either side is let pass, since phones' clocks differ. The secret is kept in the database as it is: whoever has
that can make codes, but still needs the password, of which only a hash is kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from sqlalchemy import Connection, delete, insert, select, update

from nodes.desk import audit
from nodes.desk.errors import DeskRefused
from nodes.desk.tables import totp

STEP_MS: Final = 30_000
DIGITS: Final = 6
AROUND: Final = 1
"""Steps before and after the present one that count."""
_SECRET_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A user's secret (base32); ``confirmed`` once a code of it was given; ``last`` is the step used last."""

    secret: str
    confirmed: bool
    last: int


def code(secret: str, step: int) -> str:
    """Return the code of a step (RFC 4226, section 5.3)."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(kept: Kept, said: str, now_ms: int) -> int | None:
    """Return the step that a code belongs to, None if it is wrong or was used."""
    said = said.replace(" ", "")
    present = now_ms // STEP_MS
    fits = [
        step
        for step in range(present - AROUND, present + AROUND + 1)
        if step > kept.last and hmac.compare_digest(code(kept.secret, step).encode(), said.encode())
    ]
    return fits[-1] if fits else None


def address(kept: Kept, name: str, facility: str) -> str:
    """Return what an application reads as a QR code: ``otpauth://…``."""
    label = quote(f"Wasl {facility}:{name}")
    return f"otpauth://totp/{label}?{urlencode({'secret': kept.secret, 'issuer': f'Wasl {facility}'})}"


def find(connection: Connection, name: str) -> Kept | None:
    """Return a user's secret."""
    row = connection.execute(select(totp).where(totp.c.name == name)).one_or_none()
    return None if row is None else Kept(row.secret, row.confirmed_ms is not None, row.last_step)


def wanted(connection: Connection, name: str) -> bool:
    """Return whether a user signs in with a code as well."""
    found = find(connection, name)
    return found is not None and found.confirmed


def begin(connection: Connection, name: str) -> Kept:
    """Return the secret that a user is about to confirm, made at the first time."""
    found = find(connection, name)
    if found is not None:
        return found
    secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")
    connection.execute(insert(totp).values(name=name, secret=secret, confirmed_ms=None, last_step=0))
    return Kept(secret, confirmed=False, last=0)


def use(connection: Connection, name: str, said: str, now_ms: int) -> None:
    """Let a code count, once. Raises DeskRefused (wrong-code)."""
    found = find(connection, name)
    step = None if found is None else step_of(found, said, now_ms)
    if step is None or found is None:
        raise DeskRefused("wrong-code", "the code is wrong, was used, or is too old")
    done = connection.execute(
        update(totp).where(totp.c.name == name, totp.c.last_step == found.last).values(last_step=step)
    )
    if done.rowcount == 0:
        raise DeskRefused("wrong-code", "the code was used just now")


def confirm(connection: Connection, name: str, said: str, *, actor: str, now_ms: int) -> None:
    """Ask for codes from now on, if this one is right. Raises DeskRefused (wrong-code)."""
    use(connection, name, said, now_ms)
    connection.execute(update(totp).where(totp.c.name == name).values(confirmed_ms=now_ms))
    audit.record(connection, actor, "code.added", name, {}, now_ms)


def remove(connection: Connection, name: str, *, actor: str, now_ms: int) -> None:
    """Ask for no code any more."""
    if connection.execute(delete(totp).where(totp.c.name == name)).rowcount:
        audit.record(connection, actor, "code.removed", name, {}, now_ms)
