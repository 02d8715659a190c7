"""Whose keys are whose, in memory: the verified credentials that sealing and opening ask for.

Filled from the address book (``addressbook``), which holds only what the authority signed;
read again after every change of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from crypto import identity as statements
from crypto.errors import BadStatement
from crypto.keys import SigningPublicKey
from nodes.link import addressbook


class Trust:
    """An immutable picture of all usable credentials, newest first for each facility."""

    def __init__(self, credentials: Mapping[str, tuple[statements.Credential, ...]]) -> None:
        self._credentials = credentials

    @classmethod
    def load(cls, connection: Connection, *authorities: SigningPublicKey) -> Trust:
        """Read and verify every credential in the address book."""
        return cls(addressbook.all_credentials(connection, *authorities))

    def present(self, facility: str, now_ms: int) -> statements.Credential | None:
        """Return the credential to seal for, None if there is none that is valid now."""
        for credential in self._credentials.get(facility, ()):
            try:
                statements.check_validity(credential, now_ms, addressbook.CLOCK_TOLERANCE_MS)
            except BadStatement:
                continue
            return credential
        return None

    def of_serial(self, facility: str, serial: int) -> statements.Credential | None:
        """Return the facility's credential with this serial, if it is still trusted."""
        for credential in self._credentials.get(facility, ()):
            if credential.serial == serial:
                return credential
        return None
