"""The workstation beside the hospital system: it uses the node's local JSON API, for files above all.

MLLP carries a message's text; its attachments go in and come out by another door. Calls block: run them in
a thread.
"""

import json
import urllib.parse
import urllib.request
from typing import Any, Final

from demo.network import HOST, Node

TIMEOUT_S: Final = 30.0


def upload(node: Node, name: str, data: bytes) -> str:
    """Hand over a file; returns the id by which a message names it."""
    query = urllib.parse.urlencode({"name": name})
    return str(
        json.loads(_call(node, "POST", f"/v1/uploads?{query}", data, "application/octet-stream"))["upload"]
    )


def send(node: Node, order: dict[str, Any]) -> str:
    """Send a message (``NewMessage`` of the API's document); returns its id."""
    return str(
        json.loads(_call(node, "POST", "/v1/messages", json.dumps(order).encode(), "application/json"))["id"]
    )


def attachment(node: Node, identifier: str, number: int) -> bytes:
    """Fetch an attachment of a message that arrived, counted from 1."""
    return _call(node, "GET", f"/v1/inbox/{identifier}/attachments/{number}")


def _call(node: Node, method: str, path: str, body: bytes | None = None, media_type: str = "") -> bytes:
    token = (node.home / "api.token").read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}"}
    if media_type:
        headers["Content-Type"] = media_type
    request = urllib.request.Request(
        f"http://{HOST}:{node.ports.api}{path}", data=body, headers=headers, method=method
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - likewise
        return bytes(response.read())
