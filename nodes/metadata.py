"""Every table of a node: the link's, and those of the rooms beside it."""

from nodes.care.patients import tables as _patients
from nodes.desk import tables as _desk
from nodes.desk.compose import tables as _compose
from nodes.link.tables import metadata

assert _desk.mail.metadata is _patients.patients.metadata is _compose.drafts.metadata is metadata

__all__ = ["metadata"]
