"""What is wrong with a settings file: every fault at once, each with its place and its remedy."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where it stands, what stands there, and what would be right."""

    file: str
    """The file's path as it was given."""
    key: str
    """The key's path as TOML writes it, such as ``mllp.deliver."labo"``; empty for the file as a whole."""
    value: str | None
    """The value as TOML writes it, cut if long; None where there is none to show."""
    right: str
    """What would be right, as a phrase."""

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: {self.right}" if self.value is None else f"{place} = {self.value}: {self.right}"


class SettingsError(Exception):
    """A settings file that cannot be used; ``faults`` are all that were found, in the file's order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
