"""Every bound of composing."""

from typing import Final

from protocols.link import limits

DRAFTS_DIRECTORY: Final = "drafts"
"""In the home: files of messages that somebody still writes."""
DAY_MS: Final = 86_400_000
DRAFT_KEPT_MS: Final = 14 * DAY_MS
"""A draft that nobody touched for so long is removed with its files."""
SENT_KEPT_MS: Final = DAY_MS
"""A draft that was sent is kept so long for whoever reloads its last page."""
DRAFTS: Final = 50
"""Drafts of one account."""
DRAFTS_BYTES: Final = 32 * 1_024 * 1_024 * 1_024
"""Files of all drafts of one account together, those that still come as large as they were announced."""
DRAFTS_FLOOR: Final = 4
"""Times the node's ``disk.floor``: what drafts leave free, so that they stop before deliveries do."""
TEXT_CHARS: Final = 20_000
NAME_CHARS: Final = 80
NUMBER_CHARS: Final = 40
LINE_CHARS: Final = 120
EXAMINATIONS: Final = 20
ROWS: Final = 8
"""Values on a page of results, and how many more each time."""
MOST_ROWS: Final = 64
NATIONAL_DIGITS: Final = 18
"""A national identification number."""
FILES: Final = limits.ATTACHMENTS
FILE_BYTES: Final = 16 * 1_024 * 1_024 * 1_024
PIECE_BYTES: Final = 2 * 1_024 * 1_024
"""Every piece of an upload but the last has so many bytes."""
FORM_FILES_BYTES: Final = 8 * 1_024 * 1_024
"""All files together of a form that is sent without JavaScript."""
FOUND: Final = 25
"""Recipients in a list."""
QUERY_CHARS: Final = 80
SEARCHES: Final = 32
"""Of patients, that a draft remembers."""
