"""A hub's settings: ``hub.toml`` in its home. The commented sample beside this says what each one does.

Everything has a default, so an empty file is a valid one.
"""

from enum import StrEnum
from pathlib import Path

from config.common import Log
from config.fields import HostPort
from config.kinds import (
    ADDRESS_PATTERN,
    DATABASE_URL,
    KIND_PATTERN,
    LISTEN,
    MAILBOX_OR_ANY,
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
from config.schema import ListOf, Section, section, setting


class Effect(StrEnum):
    """What the policy does with a message."""

    ALLOW = "allow"
    DENY = "deny"


class Admission(StrEnum):
    """What a node's keys need, beside its one-time code, before they count."""

    ONE_PERSON = "code"
    TWO_PERSON = "two-person"


@section
class Hub:
    """``[hub]``: the hub's name, and where the nodes' links arrive."""

    name: str = setting(NAME, default="hub")
    listen: tuple[HostPort, ...] = setting(ListOf(LISTEN, single=True, least=1), default=["127.0.0.1:7600"])
    advertise: HostPort | None = setting(TARGET, default=None)
    admission: Admission = setting(Choice(Admission), default="code")


@section
class Http:
    """``[http]``: health, readiness and metrics."""

    listen: HostPort = setting(LISTEN, default="127.0.0.1:7601")


@section
class Console:
    """``[console]``: the administrators' pages. ``origin`` is where browsers reach them through a proxy."""

    listen: HostPort = setting(LISTEN, default="127.0.0.1:7602")
    origin: str | None = setting(ORIGIN, default=None)
    zone: str = setting(ZONE, default="Africa/Algiers")


@section
class Database:
    """``[database]``: where the tables are; None stands for SQLite in the home."""

    url: str | None = setting(DATABASE_URL, default=None)


@section
class Files:
    """``[files]``: where attachments are, relative to the home unless absolute; None: ``attachments``."""

    path: Path | None = setting(PATH, default=None)


@section
class Limits:
    """``[limits]``: what one node, one address and all of them may ask of this hub."""

    max_message_bytes: int = setting(Size("1KiB", "1GiB"), default="16MiB")
    max_attachment_bytes: int = setting(Size("1KiB", "100TiB"), default="64GiB")
    max_sessions: int = setting(Count(1, 1_000_000), default=20_000)
    handshakes_per_second: int = setting(Count(1, 10_000), default=5)
    credit_messages: int = setting(Count(1, 512), default=512)
    credit_volume_bytes: int = setting(Size("64KiB", "1GiB"), default="32MiB")


@section
class Messages:
    """``[messages]``: how long a sender may give a message before it comes back."""

    valid_for_max_s: float = setting(Duration("1m", "90d"), default="30d")


@section
class Retention:
    """``[retention]``: how long traces of finished messages are kept. What is unfinished is never removed."""

    ledger_s: float = setting(Duration("1h", "36500d"), default="400d")
    attachments_s: float = setting(Duration("10m", "36500d"), default="1d")


@section
class Disk:
    """``[disk]``: below this much free space new work is refused."""

    floor_bytes: int = setting(Size("1MiB", "100TiB"), default="2GiB")


@section
class PolicyRule:
    """``[[policy.rule]]``: what matches all patterns meets ``effect``; the first match wins."""

    effect: Effect = setting(Choice(Effect))
    sender: str = setting(ADDRESS_PATTERN, key="from", default="*")
    kind: str = setting(KIND_PATTERN, default="*")
    to: str = setting(ADDRESS_PATTERN, default="*")
    sender_kind: str = setting(MAILBOX_OR_ANY, key="from_kind", default="*")
    to_kind: str = setting(MAILBOX_OR_ANY, default="*")


@section
class Policy:
    """``[policy]``: who may send what to whom, until a policy was applied (``hub.admin.policy``)."""

    default: Effect = setting(Choice(Effect), default="allow")
    rules: tuple[PolicyRule, ...] = setting(ListOf(Section(PolicyRule)), key="rule", default=[])


@section
class PolicyFile:
    """A policy in a file of its own: ``wasl-hub policy apply``."""

    policy: Policy = setting(Section(Policy), default={})


@section
class HubSettings:
    """All settings of a hub."""

    hub: Hub = setting(Section(Hub), default={})
    http: Http = setting(Section(Http), default={})
    console: Console = setting(Section(Console), default={})
    database: Database = setting(Section(Database), default={})
    files: Files = setting(Section(Files), default={})
    limits: Limits = setting(Section(Limits), default={})
    messages: Messages = setting(Section(Messages), default={})
    retention: Retention = setting(Section(Retention), default={})
    disk: Disk = setting(Section(Disk), default={})
    policy: Policy = setting(Section(Policy), default={})
    log: Log = setting(Section(Log), default={})


def load_hub(path: Path) -> HubSettings:
    """Return the settings in the file ``path``; raises SettingsError with every fault in it."""
    return read_settings(path, HubSettings)
