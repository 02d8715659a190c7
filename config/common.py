"""The sections that a hub's and a node's settings share."""

from enum import StrEnum

from config.kinds import Choice
from config.schema import section, setting


class LogLevel(StrEnum):
    """From which level on a line is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line looks; ``auto`` is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


@section
class Log:
    """``[log]``: what goes to stderr."""

    level: LogLevel = setting(Choice(LogLevel), default="info")
    format: LogFormat = setting(Choice(LogFormat), default="auto")
