"""Why the attachment store refuses; a full or failing disk is in :mod:`runtime.storage_errors`."""


class AttachmentError(Exception):
    """Anything that is wrong with one attachment or with what was asked of it."""


class AttachmentMissing(AttachmentError):  # noqa: N818 - it names a state, as a caller reads it
    """No such upload or attachment of this facility."""


class Conflict(AttachmentError):  # noqa: N818 - likewise
    """The same id was announced before with another size or root."""


class OutOfOrder(AttachmentError):  # noqa: N818 - likewise
    """Chunks are missing before the one that came, or before the end."""


class BadChunk(AttachmentError):  # noqa: N818 - likewise
    """A chunk has not the length that its place demands, or an argument is out of bounds."""


class RootMismatch(AttachmentError):  # noqa: N818 - likewise
    """All chunks are there but are not those that were announced; the upload was discarded."""


class TooManyUploads(AttachmentError):  # noqa: N818 - likewise
    """The facility has as many unfinished uploads as it may."""


class BeingUploaded(AttachmentError):  # noqa: N818 - likewise
    """Another hub process has the upload in hand; it lets go when its session with the node is over."""


class Damaged(AttachmentError):  # noqa: N818 - likewise
    """What the disk holds is not what was stored; the file was moved to quarantine and is never forwarded."""
