"""From a file in ``out/`` to a message in the outbox; what comes of it is an outcome, never an exception.

Exceptions that do come out (NoRoom, StorageError, OSError) mean *not now*: the file stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from config.node import Mllp
from nodes.gateways import drafting
from nodes.gateways.addressing import addresses_of
from nodes.gateways.folder import bounds, outgoing
from nodes.gateways.folder.places import Places, Unfit, open_places
from nodes.gateways.mllp_in import key_of
from nodes.link import addressbook
from nodes.link.errors import NodeError, NoRoom
from nodes.link.ids import id_text
from nodes.link.outbox import Draft
from nodes.link.post import Post
from protocols.errors import RemoteProtocolError
from protocols.hl7.header import read_header
from protocols.link.envelope import Priority
from protocols.link.errors import RemoteError
from runtime.executors import Executor

_T = TypeVar("_T")
_REFUSALS: Final = (Unfit, NodeError, RemoteProtocolError, RemoteError)
_AGAIN: Final = "\nPut it right, then put the files into out/ again, the control file last.\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """All of a file was put: the files that belong to it and the ids of its messages."""

    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be sent as it is; ``sent`` messages of it were."""

    code: str
    reason: str
    sent: int = 0


class Sender:
    """Takes files out of ``out/``, one at a time; the reactor's thread, file work on the executor."""

    def __init__(
        self,
        post: Post,
        root: Path,
        facility: str,
        mllp: Mllp,
        valid_for: drafting.ValidFor,
        executor: Executor,
    ) -> None:
        self._post, self._root, self._facility = post, root, facility
        self._mllp, self._valid_for, self._executor = mllp, valid_for, executor

    async def take_pair(self, name: str) -> Taken | Failed:
        """Send what the control file ``name`` says."""
        opened = ExitStack()
        try:
            pair = await self._executor.run(
                lambda: opened.enter_context(
                    outgoing.open_pair(opened.enter_context(open_places(self._root)).out, name)
                )
            )
            draft = await self._draft(pair)
            put = await self._post.put(draft)
        except NoRoom:
            raise
        except _REFUSALS as fault:
            return Failed(_code(fault), reason(name, [(name, fault)], ()))
        finally:
            opened.close()
        return Taken((*pair.control.files, name), (id_text(put.id),))

    async def _draft(self, pair: outgoing.Pair) -> Draft:
        control = pair.control
        kind = drafting.kind_of(control.kind, pair.body)
        valid_for_ms = drafting.valid_for_ms(control.valid_for, kind, self._valid_for)
        sender = await self._post.read(
            lambda connection: drafting.sender_of(connection, self._facility, control.sender)
        )
        await self._post.read(lambda connection: drafting.check_recipients(connection, control.recipients))
        prepared = await self._post.prepare(pair.body, pair.sources)
        return Draft(
            sender=sender,
            recipients=control.recipients,
            kind=kind,
            prepared=prepared,
            key=outgoing.key_of(pair, prepared),
            subject=control.subject,
            patient=control.patient,
            priority=Priority[control.priority.upper()],
            valid_for_ms=valid_for_ms,
        )

    async def take_message(self, name: str) -> Taken | Failed:
        """Send an HL7 file, or every message of a batch file, to whom each addresses itself.

        A message is known by MSH-3, MSH-4 and MSH-10 as it is over MLLP, so it is one message at both doors.
        """
        ids: list[str] = []
        faults: list[tuple[str, Exception]] = []
        try:
            messages = await self._executor.run(
                self._inside(lambda places: outgoing.read_messages(places.out, name))
            )
            own = await self._post.read(
                lambda connection: addressbook.mailboxes_of(connection, self._facility)
            )
        except _REFUSALS as fault:
            return Failed(_code(fault), reason(name, [(name, fault)], ()))
        for number, message in enumerate(messages, 1):
            try:
                ids.append(await self._put_message(message, own))
            except NoRoom:
                raise
            except _REFUSALS as fault:
                where = name if len(messages) == 1 else f"{name}, message {number} of {len(messages)}"
                faults.append((where, fault))
        if faults:
            return Failed(_code(faults[0][1]), reason(name, faults, tuple(ids)), len(ids))
        return Taken((name,), tuple(ids))

    async def _put_message(self, message: bytes, own: frozenset[str] | None) -> str:
        header = read_header(message)
        addresses = addresses_of(header, self._mllp, self._facility, own)
        prepared = await self._post.prepare(message)
        key = key_of(header)
        draft = drafting.self_addressed(
            header, message, addresses, prepared, key=key, valid_for=self._valid_for
        )
        put = await self._post.put(draft)
        return id_text(put.id)

    def _inside(self, work: Callable[[Places], _T]) -> Callable[[], _T]:
        def inside() -> _T:
            with open_places(self._root) as places:
                return work(places)

        return inside


def reason(name: str, faults: list[tuple[str, Exception]], sent: tuple[str, ...]) -> str:
    """Return the text of a reason file: what is wrong, where, and what would be right."""
    lines = [f"{shown(name)} was not sent." if not sent else f"Not all of {shown(name)} was sent.", ""]
    for where, fault in faults[: bounds.REASON_LINES]:
        lines += [f"where: {shown(where)}", f"what:  {fault}", f"code:  {_code(fault)}", ""]
    if len(faults) > bounds.REASON_LINES:
        lines += [f"and {len(faults) - bounds.REASON_LINES} more", ""]
    if sent:
        lines += ["These were sent, and are not sent twice if they come again:", *sent[: bounds.REASON_LINES]]
    return "\n".join(lines) + _AGAIN


def shown(name: str) -> str:
    """Return a file's name for people: what cannot be printed is a question mark."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)


def _code(fault: Exception) -> str:
    if isinstance(fault, (NodeError, Unfit, RemoteError)):
        return fault.code
    return fault.wire_code if isinstance(fault, RemoteProtocolError) else "fault"
