"""Every bound of the link protocol, with its unit, in one place.

A peer that exceeds one of these is at fault and is told so by name
(:class:`~protocols.link.errors.RemoteError`); each is checked before memory is taken.
The numbers are normative: ``docs/link-protocol.md`` section 14 repeats them.
"""

from typing import Final

PROTOCOL_VERSION: Final = 1

# Records and frames: a frame never spans records, so one record is all that a receiver ever holds.
RECORD_BYTES: Final = 65_535
TAG_BYTES: Final = 16
RECORD_PLAIN_BYTES: Final = RECORD_BYTES - TAG_BYTES
FRAME_HEADER_BYTES: Final = 2
FRAME_BYTES: Final = RECORD_PLAIN_BYTES - FRAME_HEADER_BYTES

# Opening.
HELLO_BYTES: Final = 1_024
HANDSHAKE_TIMEOUT_S: Final = 10.0
HUB_NAME_CHARS: Final = 63

# Keys in use: a sender rekeys after this many records or seconds, a receiver refuses four times as many.
REKEY_RECORDS: Final = 65_536
REKEY_S: Final = 900.0
RECORDS_WITHOUT_REKEY: Final = 4 * REKEY_RECORDS

# Silence: ask after PING_S without a byte from the peer, give up after SILENCE_S.
PING_S: Final = 20.0
SILENCE_S: Final = 60.0
GOODBYE_S: Final = 5.0

# Messages.
ID_BYTES: Final = 16
ADDRESS_CHARS: Final = 127
RECIPIENTS: Final = 64
ATTACHMENTS: Final = 32
KIND_CHARS: Final = 32
INLINE_BODY_BYTES: Final = 24 * 1_024
CONTENT_BYTES: Final = 40 * 1_024
MESSAGE_BYTES: Final = 62 * 1_024
VALID_FOR_MAX_MS: Final = 90 * 86_400_000
SUBJECT_CHARS: Final = 200
PATIENT_CHARS: Final = 64
FILE_NAME_CHARS: Final = 255
MEDIA_TYPE_CHARS: Final = 100
KEY_CHARS: Final = 300
REASON_CODE_CHARS: Final = 40
REASON_TEXT_CHARS: Final = 300
DETAIL_BYTES: Final = 32 * 1_024
RECEIPT_BYTES: Final = DETAIL_BYTES + 1_024

# Windows: how much may be under way and unanswered in each direction.
SUBMIT_WINDOW: Final = 512
DELIVER_WINDOW: Final = 512
RECEIPT_WINDOW: Final = 512
WINDOW_MAX: Final = 4_096
IDS_PER_FRAME: Final = 2_048

# Attachments.
CHUNK_WINDOW: Final = 64
TRANSFERS: Final = 4
ATTACHMENT_MAX_BYTES: Final = 1 << 46

# What one session may hold in memory, still to be written to the peer.
PENDING_BYTES: Final = 8 * 1_024 * 1_024
PENDING_BULK_FRAMES: Final = 16

# The hub's audit log.
CHECKPOINT_BYTES: Final = 512
SIGNATURE_BYTES: Final = 64
PROOF_HASHES: Final = 64
AUDIT_KEYS: Final = 32

# Directory.
MAILBOXES: Final = 128
TITLE_CHARS: Final = 120
FACILITY_KIND_CHARS: Final = 20
WILAYA_MAX: Final = 99
STATEMENT_BYTES: Final = 8_192
TRUST_BYTES: Final = 512
TRUST_CHANGES: Final = 32
ENTRY_BYTES: Final = 60 * 1_024
