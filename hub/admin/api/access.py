"""Who may ask: whoever has a token that counts, and not faster than ``RATE_PER_S`` for long.

Wrong tokens are slowed down as wrong passwords are (:mod:`runtime.web.signin`): after some from one address,
each further one waits twice as long as the one before, up to a minute. A right token is never held up by
wrong ones. What is counted is in memory and bounded, and only what was not slowed down is logged, so a flood
of wrong tokens writes next to nothing to the disk.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

from hub.admin.console.context import Console
from hub.admin.roles import Permission
from hub.admin.tokens import SEEN_EVERY_MS, TEXT_CHARS, Holder, holder, seen
from runtime import transactions
from runtime.clock import Clock
from runtime.logs import event
from runtime.web import signin
from runtime.web.problems import ApiError

RATE_PER_S: Final = 20.0
BURST: Final = 200.0
ADDRESSES: Final = 1_000
"""Addresses whose wrong tokens are remembered; the one that was heard of longest ago is forgotten."""
_SCHEME: Final = "bearer"
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Credit:
    left: float
    at_s: float


class Gate:
    """Judges every request by its head. Any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._credits: dict[str, _Credit] = {}

    def admit(self, authorization: str, address: str) -> tuple[Holder, str]:
        """Return who asks, and the token; ApiError (401, 429)."""
        now_ms = self._console.clock.now_ms()
        scheme, _, given = authorization.partition(" ")
        secret = given.strip()
        found = None
        if scheme.lower() == _SCHEME and 0 < len(secret) <= TEXT_CHARS:
            found = self._console.read(lambda c: holder(c, secret, now_ms))
        if found is None:
            self._refuse(address, now_ms)
        assert found is not None
        self._spend(found.token.name, self._console.clock)
        if found.token.used_ms is None or now_ms - found.token.used_ms >= SEEN_EVERY_MS:
            name = found.token.name
            transactions.transact(self._console.engine, lambda c: seen(c, name, now_ms))
        return found, secret

    def _refuse(self, address: str, now_ms: int) -> None:
        with self._lock:
            count, last_ms = self._failures.pop(address, (0, 0))
            wait_ms = signin.pause_ms(count, last_ms, signin.FREE_TRIES_OF_ADDRESS, now_ms)
            self._failures[address] = (count, last_ms) if wait_ms > 0 else (count + 1, now_ms)
            while len(self._failures) > ADDRESSES:
                self._failures.popitem(last=False)
        if wait_ms > 0:
            raise ApiError(
                429, "too-many-tries", "too many wrong tokens from this address: wait, then try again",
                retry_after_s=-(-wait_ms // 1000),
            )  # fmt: skip
        event(_LOG, logging.WARNING, "api-token-refused", address=address)
        raise unauthorized()

    def _spend(self, name: str, clock: Clock) -> None:
        now_s = clock.monotonic_s()
        with self._lock:
            credit = self._credits.setdefault(name, _Credit(BURST, now_s))
            credit.left = min(BURST, credit.left + (now_s - credit.at_s) * RATE_PER_S)
            credit.at_s = now_s
            if credit.left < 1:
                raise ApiError(
                    429, "too-fast", f"a token asks at most {RATE_PER_S:.0f} times a second", retry_after_s=1
                )
            credit.left -= 1


def unauthorized() -> ApiError:
    """Return what is said to whoever has no token that counts."""
    return ApiError(
        401, "unauthorized",
        "needs the header `Authorization: Bearer TOKEN` with a token that counts: an administrator makes"
        " one by `wasl-hub token create`, or on the console's page of tokens",
    )  # fmt: skip


def require(holder: Holder | None, needs: str) -> None:
    """Raise ApiError (401, 403) unless the token counts and may do what ``needs`` says."""
    if holder is None:
        raise unauthorized()
    if Permission(needs) not in holder.permissions:
        raise ApiError(
            403, "forbidden", f"the role of token {holder.token.name!r} does not include {needs!r}"
        )
