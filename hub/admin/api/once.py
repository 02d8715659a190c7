"""Each change once: ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header), kept with the change.

A program that got no answer does not know whether its request was done. So each changing request carries a
key of the program's own, and what it was answered is kept under that key in the transaction of the change:

- the same request again gets the same answer, and nothing is done (``Idempotency-Replayed: true``);
- another request under the key is refused (422 ``key-reused``);
- one that comes while the first is still being done is told to come back (409 ``in-flight``).

A request that was refused has changed nothing and is not kept: it may be sent again under its key. Keys are
each token's own, and are kept for a day; a token has at most ``MOST`` of them.

Of the request only a hash under the token is kept, because a body may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from crypto.primitives import blake2b, constant_time_equal
from hub.admin.api.routes import IDEMPOTENCY_KEY, KEY_CHARS
from hub.admin.tables import api_answers
from runtime.web.problems import ApiError

KEPT_MS: Final = 86_400_000
MOST: Final = 10_000
_KEY: Final = re.compile(rf"[!-~]{{1,{KEY_CHARS}}}")
_HASH_KEY_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """Which request of which token, under which key."""

    token: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; ``again``: it was given before."""

    status: int
    body: bytes
    again: bool = False


def key_of(header: str | None) -> str:
    """Return the key that a request carries, quoted or not; ApiError (400)."""
    if header is None:
        raise ApiError(
            400, "no-idempotency-key",
            f"a request that changes something needs the header `{IDEMPOTENCY_KEY}`: a name of your own"
            " for it, the same when you send it again",
        )  # fmt: skip
    text = header.strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    key = text[1:-1] if quoted else text
    if _KEY.fullmatch(key) is None or '"' in key or "\\" in key:
        raise ApiError(
            400, "bad-idempotency-key", f"`{IDEMPOTENCY_KEY}` has 1 to {KEY_CHARS} visible ASCII signs"
        )
    return key


def fingerprint(secret: str, *parts: bytes) -> bytes:
    """Return what is kept of a request: a hash that says nothing to whoever has not the token."""
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return blake2b(framed, key=secret.encode("utf-8")[:_HASH_KEY_BYTES])


def find(connection: Connection, asked: Asked, now_ms: int) -> Said | None:
    """Return what was answered under the key, None if nothing was; ApiError (422) for another request."""
    row = connection.execute(
        select(api_answers).where(api_answers.c.token == asked.token, api_answers.c.key == asked.key)
    ).one_or_none()
    if row is None or row.at_ms < now_ms - KEPT_MS:
        return None
    if not constant_time_equal(bytes(row.fingerprint), asked.fingerprint):
        raise ApiError(
            422, "key-reused", f"`{IDEMPOTENCY_KEY}` was used for another request: take a new one for this"
        )
    return Said(row.status, bytes(row.body), again=True)


def keep(connection: Connection, asked: Asked, said: Said, now_ms: int) -> None:
    """Keep an answer, and forget those whose time is over; ApiError (429) if the token has too many."""
    connection.execute(delete(api_answers).where(api_answers.c.at_ms < now_ms - KEPT_MS))
    count = select(func.count()).select_from(api_answers).where(api_answers.c.token == asked.token)
    if connection.execute(count).scalar_one() >= MOST:
        raise ApiError(
            429, "too-many-keys", f"a token changes at most {MOST:,} things a day", retry_after_s=3_600
        )
    connection.execute(
        insert(api_answers).values(
            token=asked.token, key=asked.key, fingerprint=asked.fingerprint, at_ms=now_ms,
            status=said.status, body=said.body,
        )
    )  # fmt: skip


class InFlight:
    """The requests that are being done in this process. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._claimed: set[tuple[str, str]] = set()

    @contextmanager
    def claim(self, asked: Asked) -> Iterator[None]:
        """Hold a key while its request is done; ApiError (409) if somebody does."""
        name = asked.token, asked.key
        with self._lock:
            if name in self._claimed:
                raise ApiError(
                    409, "in-flight", "this request is being done: ask again in a second", retry_after_s=1
                )
            self._claimed.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._claimed.discard(name)
