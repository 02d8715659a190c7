"""A node's settings: ``node.toml`` in its home. The commented sample beside this says what each one does.

A gateway's section switches it on: without ``[mllp]``, ``[api]`` or ``[folder]`` that gateway is None here
and the node does not run it; ``[mllp]`` without ``listen`` only delivers. The desk is a process of its own,
and its section only says how. Everything else has a default, so an empty file is a valid one.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from config.common import Log
from config.fields import Address, HostPort
from config.kinds import (
    ADDRESS,
    ANY,
    HEADER_PATTERN,
    KIND_PATTERN,
    LISTEN,
    MAILBOX_OR_ANY,
    MESSAGE_TYPE_PATTERN,
    NAME,
    ORIGIN,
    PATH,
    TARGET,
    ZONE,
    Choice,
    Count,
    Duration,
    Size,
)
from config.load import read_settings
from config.schema import ListOf, Section, TableOf, section, setting


class Acknowledge(StrEnum):
    """What must have happened before a local system gets its AA or CA."""

    STORED = "stored"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    PROCESSED = "processed"


@section
class Node:
    """``[node]``: what this node is to the others."""

    hub: HostPort | None = setting(TARGET, default=None)


@section
class Http:
    """``[http]``: health, readiness and metrics."""

    listen: HostPort = setting(LISTEN, default="127.0.0.1:7610")


@section
class MllpRoute:
    """``[[mllp.route]]``: messages that match all three patterns go to ``to``, whatever MSH-5/6 say."""

    kind: str = setting(MESSAGE_TYPE_PATTERN, default="*")
    application: str = setting(HEADER_PATTERN, default="*")
    facility: str = setting(HEADER_PATTERN, default="*")
    to: tuple[Address, ...] = setting(ListOf(ADDRESS, least=1))


@section
class MllpDelivery:
    """``[mllp.delivery]``: patience with the local systems that messages are delivered to."""

    answer_timeout_s: float = setting(Duration("1s", "1h"), default="30s")
    retry_first_s: float = setting(Duration("100ms", "1h"), default="1s")
    retry_cap_s: float = setting(Duration("100ms", "24h"), default="5m")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield the keys that do not go together, with what would be right."""
        if self.retry_first_s > self.retry_cap_s:
            yield "retry_first", "needs to be at most retry_cap"


@section
class Mllp:
    """``[mllp]``: the gateway to local systems that speak MLLP, both ways."""

    listen: HostPort | None = setting(LISTEN, default=None)
    acknowledge: Acknowledge = setting(Choice(Acknowledge), default="stored")
    sender: str | None = setting(NAME, key="from", default=None)
    max_message_bytes: int = setting(Size("1KiB", "1GiB"), default="16MiB")
    max_connections: int = setting(Count(1, 10_000), default=256)
    idle_timeout_s: float = setting(Duration("1s", "7d"), default="1h")
    answer_within_s: float = setting(Duration("100ms", "10m"), default="4s")
    routes: tuple[MllpRoute, ...] = setting(ListOf(Section(MllpRoute)), key="route", default=[])
    deliver: Mapping[str, HostPort] = setting(TableOf(MAILBOX_OR_ANY, TARGET), default={})
    delivery: MllpDelivery = setting(Section(MllpDelivery), default={})


@section
class Api:
    """``[api]``: the JSON interface for local programs."""

    listen: HostPort = setting(LISTEN, default="127.0.0.1:7611")


@section
class Folder:
    """``[folder]``: the exchange folder; ``path`` is relative to the home unless absolute."""

    path: Path = setting(PATH, default="exchange")
    poll_s: float = setting(Duration("100ms", "1h"), default="1s")
    mailboxes: tuple[str, ...] = setting(ListOf(MAILBOX_OR_ANY, least=1), default=["*"])


@section
class Desk:
    """``[desk]``: the medical teams' pages. ``origin`` is where browsers reach them through a proxy."""

    listen: HostPort = setting(LISTEN, default="127.0.0.1:7612")
    origin: str | None = setting(ORIGIN, default=None)
    zone: str = setting(ZONE, default="Africa/Algiers")
    mailboxes: tuple[str, ...] = setting(ListOf(MAILBOX_OR_ANY), default=["*"])


@section
class Messages:
    """``[messages]``: how long a message may take before it comes back."""

    valid_for_s: float = setting(Duration("1m", "90d"), default="5d")
    valid_for_kind_s: Mapping[str, float] = setting(TableOf(KIND_PATTERN, Duration("1m", "90d")), default={})


@section
class Retention:
    """``[retention]``: how long finished messages are kept. Unfinished and failed ones are never removed."""

    sent_s: float = setting(Duration("1h", "36500d"), default="90d")
    received_s: float = setting(Duration("1h", "36500d"), default="90d")


@section
class Disk:
    """``[disk]``: below this much free space new work is refused."""

    floor_bytes: int = setting(Size("1MiB", "100TiB"), default="500MiB")


@section
class NodeSettings:
    """All settings of a node."""

    node: Node = setting(Section(Node), default={})
    http: Http = setting(Section(Http), default={})
    mllp: Mllp | None = setting(Section(Mllp), default=None)
    api: Api | None = setting(Section(Api), default=None)
    folder: Folder | None = setting(Section(Folder), default=None)
    desk: Desk = setting(Section(Desk), default={})
    messages: Messages = setting(Section(Messages), default={})
    retention: Retention = setting(Section(Retention), default={})
    disk: Disk = setting(Section(Disk), default={})
    log: Log = setting(Section(Log), default={})

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together: a mailbox has one consumer, or it would be taken twice."""
        named = set(self.desk.mailboxes) - {ANY}
        taken = {
            "mllp.deliver": named & set(self.mllp.deliver if self.mllp is not None else ()),
            "folder.mailboxes": named & set(self.folder.mailboxes if self.folder is not None else ()),
        }
        for key, both in taken.items():
            if both:
                names = ", ".join(f'"{name}"' for name in sorted(both))
                yield (
                    "desk",
                    f"its mailboxes and {key} both name {names}; a mailbox needs one place that takes",
                )

    def at_desk(self, mailbox: str) -> bool:
        """Return whether the desk takes what comes for a mailbox: it is named there, or no other door has it.

        ``"*"`` of the desk is what neither ``mllp.deliver`` nor ``folder.mailboxes`` has, by name or by
        their own ``"*"``; a name at the desk comes before the others' ``"*"``.
        """
        if mailbox in self.desk.mailboxes:
            return True
        others = {*(self.mllp.deliver if self.mllp is not None else ())}
        others |= {*(self.folder.mailboxes if self.folder is not None else ())}
        return ANY in self.desk.mailboxes and mailbox not in others and ANY not in others


def load_node(path: Path) -> NodeSettings:
    """Return the settings in the file ``path``; raises SettingsError with every fault in it."""
    return read_settings(path, NodeSettings)
