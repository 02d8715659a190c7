"""The control file: a few facts, TOML or JSON, about the message whose files lie beside it.

::

    to = ["labo@chu-oran"]            # one or more; NAME@group reaches a group
    from = "urgences"                 # optional if the facility has one mailbox
    subject = "…"                     # the rest is optional
    patient = "…"
    id = "…"                          # the sender's own key; derived from the content if absent
    kind = "ORU^R01"                  # read from the HL7 header if absent; "file" without a payload
    payload = "result.hl7"            # what is sent; absent: attachments only
    attachments = ["scan.dcm"]
    priority = "stat"                 # or "routine"
    valid_for = "2d"

A payload that is HL7 (it begins with MSH, or ``kind`` is an HL7 kind, with ``^``) is the message's body, byte
for byte. Any other travels as the first attachment, because a body has no name: ``report.pdf`` arrives as
``report.pdf``.

Unknown keys are refused: a misspelt ``valid_for`` must not be taken for none.
"""

from __future__ import annotations

import tomllib
from typing import Final, Literal

import msgspec
from msgspec import Struct

from nodes.gateways.folder.places import Unfit, check_name
from protocols.link import limits

SUFFIXES: Final = (".toml", ".json")
_RIGHT: Final = "correct the control file and put it into out/ again"


class Control(Struct, frozen=True, forbid_unknown_fields=True):
    """A control file as it was written; names of files are checked, nothing else is."""

    to: list[str] | str
    sender: str | None = msgspec.field(default=None, name="from")
    subject: str = ""
    patient: str = ""
    id: str | None = None
    kind: str | None = None
    payload: str | None = None
    attachments: list[str] = msgspec.field(default_factory=list)
    priority: Literal["stat", "routine"] = "routine"
    valid_for: str | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses, whether one was written or a list."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is named, the payload first."""
        return (*([self.payload] if self.payload is not None else []), *self.attachments)


KEYS: Final = tuple(one.encode_name for one in msgspec.structs.fields(Control))


def parse_control(name: str, raw: bytes) -> Control:
    """Read the control file ``name``; :class:`Unfit` says which key is wrong and what would be right."""
    try:
        text = raw.decode("utf-8-sig")
        found = msgspec.json.decode(text) if name.lower().endswith(".json") else tomllib.loads(text)
        control = msgspec.convert(found, Control)
    except UnicodeDecodeError as error:
        raise _unfit(name, f"byte {error.start + 1} is not UTF-8") from None
    except RecursionError:
        raise _unfit(name, "it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise _unfit(name, f"{error}; the keys are: {', '.join(KEYS)}") from None
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, ValueError) as error:
        raise _unfit(name, str(error)) from None
    if len(control.attachments) > limits.ATTACHMENTS:
        raise _unfit(
            name, f"{len(control.attachments)} attachments, at most {limits.ATTACHMENTS} are allowed"
        )
    if not control.files:
        raise _unfit(name, "it names neither a payload nor an attachment, so there is nothing to send")
    for file in control.files:
        check_name(file, name)
        if file == name:
            raise _unfit(name, "it names itself as a file to send")
    if len(set(control.files)) < len(control.files):
        raise _unfit(name, "it names one file twice")
    return control


def _unfit(name: str, wrong: str) -> Unfit:
    return Unfit(name, wrong, _RIGHT, code="bad-control")
