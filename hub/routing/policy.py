"""Who may send what to whom: rules in order, the first that matches decides.

A pattern is ``mailbox@facility`` with ``*`` anywhere in either part, or ``*`` alone, which
matches every address; a kind pattern is like ``ORU^*`` or ``ORU``, which are the same
(``protocols.hl7.catalogue``). ``from_kind`` and ``to_kind`` are kinds of facilities, or ``*``.
Evaluating a rule touches no state, so the same rules can be run over a past ledger.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from config.hub import Effect, Policy, PolicyRule
from protocols.hl7 import catalogue

CACHE_ANSWERS: Final = 65_536
ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class _Compiled:
    allow: bool
    sender: re.Pattern[str]
    kind: str
    to: re.Pattern[str]
    sender_kind: str
    to_kind: str


class Rules:
    """A compiled policy. Answers are kept, since the same pairs ask again and again."""

    def __init__(self, policy: Policy) -> None:
        self._rules: Sequence[_Compiled] = [_compile(rule) for rule in policy.rules]
        self._default = policy.default is Effect.ALLOW
        self.allows = lru_cache(CACHE_ANSWERS)(self._allows)

    def _allows(
        self, sender: str, kind: str, recipient: str, sender_kind: str = "", to_kind: str = ""
    ) -> bool:
        """Return whether ``sender`` may send ``kind`` to ``recipient``; with the kinds of both facilities."""
        for rule in self._rules:
            if (
                rule.sender.fullmatch(sender)
                and catalogue.matches(rule.kind, kind)
                and rule.to.fullmatch(recipient)
                and rule.sender_kind in (ANY, sender_kind)
                and rule.to_kind in (ANY, to_kind)
            ):
                return rule.allow
        return self._default


def _compile(rule: PolicyRule) -> _Compiled:
    return _Compiled(
        rule.effect is Effect.ALLOW, _pattern(rule.sender), rule.kind, _pattern(rule.to),
        rule.sender_kind, rule.to_kind,
    )  # fmt: skip


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))
