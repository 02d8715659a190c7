"""Removing attachments at once when nobody needs them any more; the sweeper finds what this leaves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from hub.core import HubCore
from hub.spool import ageing
from protocols.link.envelope import decode_envelope, decode_message


async def forget_files(hub: HubCore, messages: Iterable[bytes]) -> None:
    """Remove the attachments of messages that no recipient needs any more."""
    for message in messages:
        envelope = decode_envelope(decode_message(message).envelope)
        if not await hub.database.read(partial(ageing.undelivered_files, identifier=envelope.id)):
            for ref in envelope.attachments:
                await hub.files.delete(envelope.sender_facility, ref.id)
