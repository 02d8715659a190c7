"""Every bound of the local API."""

from typing import Final

from protocols.link import limits
from runtime.web.serving import HttpLimits

JSON_BYTES: Final = 16 * 1_024 * 1_024
"""A request in JSON, body of the message included; what is larger goes as an upload."""
UPLOAD_BYTES: Final = limits.ATTACHMENT_MAX_BYTES
UPLOAD_KEPT_MS: Final = 86_400_000
"""An upload that no message came to use is removed after this; so is the note of one that was used."""
SWEEP_S: Final = 3_600.0
ROOM_CHECK_BYTES: Final = 64 * 1_024 * 1_024
"""While an upload of unknown length comes, free space is looked at once for so many bytes."""
COPY_BYTES: Final = 1 * 1_024 * 1_024
SLOWEST_BYTES_PER_S: Final = 128 * 1_024
"""An upload may take its size at this rate, beyond the usual deadlines."""
UPLOAD_UNKNOWN_S: Final = 6 * 3_600.0
"""The deadline of an upload that does not say how long it is."""
HASH_BYTES_PER_S: Final = 20 * 1_024 * 1_024
"""What an answer may take beyond its deadline, for reading and hashing an upload on a slow disk."""
THREADS: Final = 8
LISTED: Final = 200
"""Messages in one answer."""
TEXT_CHARS: Final = 2_000
"""What an application says when it refuses a message."""

HTTP: Final = HttpLimits(
    max_connections=64,
    max_per_address=64,
    max_body_bytes=JSON_BYTES,
    head_s=10,
    body_s=60,
    answer_s=600,
    idle_s=60,
)
"""``answer_s`` allows for sealing attachments of many GB when a message is put."""
