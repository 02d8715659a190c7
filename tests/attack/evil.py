"""An enrolled node that has turned: it holds real keys and says whatever it likes, in any order.

It uses our own session and crypto, past their rules: :meth:`EvilNode.say` puts a frame on the wire without
asking whether a window, a phase or decency allows it. Blocking sockets, one thread.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from crypto import filestream, sealing
from nodes.link.identity import Identity, load_identity
from nodes.link.ids import new_id
from protocols.link import frames as f
from protocols.link import payloads
from protocols.link.envelope import (
    AttachmentRef,
    Content,
    Envelope,
    NamedFile,
    Priority,
    SealedMessage,
    Wrap,
    encode,
)
from protocols.link.flow import Flow
from protocols.link.session import LinkSession, Opened, PeerLeft

_T = TypeVar("_T")
WAIT_S = 30.0
READ_BYTES = 262_144


def now_ms() -> int:
    """Return the time of day."""
    return time.time_ns() // 1_000_000


class _NoAccount(Flow):
    """Keeps no account."""

    def note(self, *_args: object) -> None:
        """Forget it."""


class EvilNode:
    """One connection to a hub under the keys of ``home``."""

    def __init__(self, home: Path, hub_port: int, *, window: int = 512) -> None:
        self.identity: Identity = load_identity(home)
        self.events: list[Any] = []
        self.closed = False
        self.session = LinkSession.node(
            static=self.identity.keys.link,
            hub_key=self.identity.hub_key,
            hub_name=self.identity.hub_name,
            hello=payloads.Hello("evil/1", now_ms(), window),
            now_ms=now_ms,
        )
        self.socket = socket.create_connection(("127.0.0.1", hub_port), timeout=WAIT_S)
        self.first_packet = self.session.data_to_send()
        self.socket.sendall(self.first_packet)

    def __enter__(self) -> Self:
        """Return this node, connected."""
        self.wait(Opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut the connection."""
        self.socket.close()

    def say(self, *frames: f.AnyFrame) -> None:
        """Put frames on the wire, allowed or not."""
        for frame in frames:
            self.session._writer.put(f.encode_frame(frame))
        self.flush()

    def flush(self) -> None:
        """Write what waits; a hub that has closed is no error."""
        try:
            self.socket.sendall(self.session.data_to_send(64))
        except OSError:
            self.closed = True

    def pump(self, timeout_s: float = 0.2) -> None:
        """Read once; what was said is in ``events``."""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(READ_BYTES)
        except TimeoutError:
            return
        except OSError:
            self.closed = True
            return
        finally:
            self.socket.settimeout(WAIT_S)
        if not data:
            self.closed = True
            return
        # Our own account of windows is not to stop us.
        self.session._flow = _NoAccount(submit_window=1, deliver_window=1)
        self.events += self.session.receive(data)
        self.flush()

    def wait(self, kind: type[_T], which: Callable[[_T], bool] = lambda _event: True) -> _T:
        """Return the first event of a kind, and forget it."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            for event in self.events:
                if isinstance(event, kind) and which(event):
                    self.events.remove(event)
                    return event
            assert not self.closed, f"closed while waiting for {kind.__name__}: {self.events}"
            assert time.monotonic() < deadline_s, f"no {kind.__name__}: {self.events}"
            self.pump()

    def ended(self) -> f.End:
        """Wait for the hub's goodbye and return it."""
        return self.wait(PeerLeft).end

    def still_welcome(self) -> bool:
        """Tell whether the hub still answers."""
        self.say(f.Ping(7))
        try:
            self.wait(f.Pong)
        except AssertionError:
            return False
        return True

    # ── things to send ─────────────────────────────────────────────────────────────────

    def message(
        self,
        *recipients: str,
        sender: str | None = None,
        identifier: bytes | None = None,
        body: bytes = b"MSH|^~\\&|evil",
        priority: Priority = Priority.ROUTINE,
        attachments: tuple[AttachmentRef, ...] = (),
        content_key: sealing.ContentKey | None = None,
        wrap_for: tuple[Wrap, ...] = (),
        valid_for_ms: int = 86_400_000,
    ) -> tuple[bytes, bytes]:
        """Return (id, encoded sealed message), properly sealed and signed by this facility."""
        key = content_key or sealing.ContentKey.generate()
        identifier = identifier or new_id(now_ms())
        envelope = encode(
            Envelope(
                version=1,
                id=identifier,
                sender=sender or f"labo@{self.identity.facility}",
                recipients=recipients,
                kind="ADT^A01",
                priority=priority,
                created_ms=now_ms(),
                valid_for_ms=valid_for_ms,
                commitment=sealing.key_commitment(key),
                attachments=attachments,
            )
        )
        files = tuple(NamedFile("a", "", bytes(32)) for _ in attachments)
        sealed = sealing.seal_body(key, envelope, encode(Content(body, files=files)))
        digest = sealing.message_digest(envelope, sealed)
        signature = sealing.sign_message(self.identity.keys.signing, digest)
        return identifier, encode(
            SealedMessage(envelope, sealed, wrap_for, self.identity.credential.serial, signature)
        )

    def submit(self, *blobs: bytes) -> None:
        """Submit messages in one frame."""
        self.say(f.Submit(tuple(f.Submission(blob, 0) for blob in blobs)))

    def upload(self, identifier: bytes, size_bytes: int = 5) -> bytes:
        """Store one small attachment at the hub; returns its root."""
        sealed = filestream.ChunkSealer(os.urandom(32)).seal(0, True, os.urandom(size_bytes))  # noqa: FBT003 - the last chunk
        root = filestream.RootHash()
        root.add(filestream.leaf_hash(0, sealed))
        self.say(f.Offer(identifier, size_bytes, root.digest()))
        self.wait(f.Want, lambda want: want.id == identifier)
        self.say(f.Chunk(identifier, 0, sealed))
        self.wait(f.Stored, lambda stored: stored.id == identifier)
        return root.digest()
