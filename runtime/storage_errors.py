"""What can go wrong with stored things, as types of our own.

Two families. A *refusal* (:class:`StorageFull`, :class:`DatabaseLocked`, :class:`DatabaseBusy`,
:class:`DatabaseUnavailable`) leaves what is stored as it was; the work was not taken and may be offered
again. So it may after :class:`DatabaseLost`, although nobody knows whether it was taken: what is offered
again has to stand being done twice. A *failure* (:class:`StorageFailed`, :class:`DatabaseCorrupt`) means
that what the disk holds is no longer known: the process has to end, and nothing is tried again in it,
because after a failed fsync the kernel may have dropped the very pages that a second fsync would then
report as safe.
"""


class StorageError(Exception):
    """Anything that is wrong with a database or a file store; the text names the file and what to do."""


class StorageFull(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """The disk (or a size limit) has no room: the work was refused, nothing that was stored is harmed."""


class StorageFailed(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """The disk reported an input/output error: the process must end, nothing may be retried in it."""


class DatabaseCorrupt(StorageFailed):
    """The database file is damaged, or is no database; restore it from a backup."""


class DatabaseLocked(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """Another process kept the database locked for longer than the busy timeout; nothing was changed."""


class DatabaseUnavailable(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """The database cannot be opened or reached, or the URL names one that cannot be used."""


class DatabaseLost(DatabaseUnavailable):
    """The server went away in the middle: what was asked last may have been committed or not; ask again."""


class DatabaseBusy(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """More work is queued than the bound allows, or the database is closing; refused before it was queued."""
