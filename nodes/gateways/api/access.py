"""Who may ask: whoever knows the token, and asks for this host by its name.

The token is 256 bits, in ``api.token`` of the home (mode 0600), made when it is not there. The ``Host`` of a
request must be a loopback name or the address listened on: a page in a browser that made a name of its own
resolve to 127.0.0.1 gets nothing, even if it came by the token.
"""

from __future__ import annotations

import ipaddress
import secrets
import stat
from pathlib import Path
from typing import Final

from config.fields import HostPort
from nodes.link.errors import NodeError
from runtime.home import read_bounded, write_private
from runtime.web.problems import ApiError

TOKEN_FILE: Final = "api.token"  # noqa: S105 - the name of a file
_TOKEN_BYTES: Final = 32
_FILE_BYTES: Final = 1_024
_SCHEME: Final = "bearer"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


def load_token(home: Path) -> str:
    """Return the token of ``home``, made at first; NodeError if it is no token or others can read it."""
    path = home / TOKEN_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(_TOKEN_BYTES).encode("ascii") + b"\n")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise NodeError(
            "api-token", f"{path} can be read by others: chmod 0600 it, or remove it for a new one"
        )
    token = read_bounded(path, _FILE_BYTES).strip()
    if len(token) < 2 * _TOKEN_BYTES or not token.isalnum():
        raise NodeError("api-token", f"{path} holds no token: remove it, and a new one is made")
    return token.decode("ascii")


class Gate:
    """Judges every request by its head. Any thread."""

    def __init__(self, token: str, listen: HostPort) -> None:
        self._token = token.encode("ascii")
        self._hosts = _LOOPBACK | {listen.host.lower()}
        self._any_address = listen.host in _ANYWHERE

    def check(self, host: str, authorization: str, *, public: bool) -> None:
        """Raise ApiError (421, 401) unless the request may go on; ``public`` needs no token."""
        name = _without_port(host).lower()
        if name not in self._hosts and not (self._any_address and _is_address(name)):
            raise ApiError(421, "wrong-host", "the Host of the request is not the address of this API")
        if public:
            return
        scheme, _, given = authorization.partition(" ")
        known = secrets.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != _SCHEME or not known:
            raise ApiError(
                401,
                "unauthorized",
                f"needs the header `Authorization: Bearer TOKEN` with the token in {TOKEN_FILE} of the home",
            )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
