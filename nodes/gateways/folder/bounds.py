"""Every bound of the drop folder. What is written there is foreign: nothing of it is unlimited."""

from typing import Final

CONTROL_BYTES: Final = 64 * 1_024
"""A control file."""
PAYLOAD_BYTES: Final = 32 * 1_024 * 1_024
"""A payload or an HL7 file, which are held in memory; what is larger goes as an attachment."""
NAME_BYTES: Final = 255
"""A file's name (NAME_MAX of Linux)."""
ENTRIES: Final = 50_000
"""Names looked at in one directory at a time; the rest waits until these are gone."""
TAKEN_A_TURN: Final = 200
"""Files taken out of ``out/`` before ``in/`` gets its turn."""
LAID_A_TURN: Final = 100
"""Messages laid into ``in/`` before ``out/`` gets its turn."""
LAID_AT_ONCE: Final = 10_000
"""Messages that lie in ``in/`` and were not taken; more wait in the inbox."""
JOURNAL_BYTES: Final = 256 * 1_024
"""The note of a move that was begun: a few names for each of ``limits.ATTACHMENTS`` files."""
COPY_BYTES: Final = 1 * 1_024 * 1_024
"""A piece of an attachment while it is copied."""
TRIES_FOR_A_NAME: Final = 1_000
"""How many files of one name may lie in ``failed/``."""
ALARMS: Final = 100
"""Different troubles that are raised as alarms until a turn has gone well."""
REASON_LINES: Final = 100
"""Faults that a reason file lists one by one."""
