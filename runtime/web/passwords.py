"""Passwords: argon2id, few at a time, and as slow for a name that nobody has.

A hash costs 64 MiB and about a tenth of a second on purpose, so ``AT_ONCE`` are reckoned at the same time and
the others wait: signing in can be slow under an attack, the process cannot run out of memory. What is stored
is argon2's own text with its parameters.

A new password has at least ``LEAST_CHARS`` characters and is not the user's own name or one sign repeated.
No rules about digits or capitals: length is what helps (NIST SP 800-63B, 5.1.1.2).
"""

from __future__ import annotations

import secrets
from threading import BoundedSemaphore
from typing import Final

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

LEAST_CHARS: Final = 12
MOST_CHARS: Final = 256
AT_ONCE: Final = 2
_FEW_DIFFERENT: Final = 4


class WeakPassword(ValueError):  # noqa: N818 - says what it is
    """A password that is not taken; ``code`` is ``short``, ``long`` or ``guessable``."""

    def __init__(self, code: str) -> None:
        super().__init__(
            {
                "short": f"a password has at least {LEAST_CHARS} characters",
                "long": f"a password has at most {MOST_CHARS} characters",
                "guessable": "a password must not be the name, or a few signs repeated",
            }[code]
        )
        self.code = code


class Passwords:
    """Makes and checks hashes; any thread."""

    def __init__(self, parameters: Parameters = RFC_9106_LOW_MEMORY) -> None:
        """``parameters`` say what a hash costs (RFC 9106, section 4)."""
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._turns = BoundedSemaphore(AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_hex())

    def hash(self, name: str, password: str) -> str:
        """Return what is stored for a new password; raises :class:`WeakPassword`."""
        if len(password) < LEAST_CHARS:
            raise WeakPassword("short")
        if len(password) > MOST_CHARS:
            raise WeakPassword("long")
        folded = password.casefold()
        if len(set(folded)) < _FEW_DIFFERENT or not folded.replace(name.casefold(), "").strip():
            raise WeakPassword("guessable")
        with self._turns:
            return self._hasher.hash(password)

    def fits(self, stored: str | None, password: str) -> bool:
        """Return whether ``password`` is the stored one; None (no such user) takes as long and is False."""
        with self._turns:
            try:
                self._hasher.verify(stored or self._nobody, password[: MOST_CHARS + 1])
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None
