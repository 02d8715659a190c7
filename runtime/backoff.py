"""Exponential back-off with full jitter: how long to wait before trying again.

The n-th wait in a row is drawn evenly between nothing and ``min(cap, base * 2**n)``. Drawing from the whole
range, not from its upper end, is what keeps a thousand nodes that lost their hub in the same second from all
coming back in the same second ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

A :class:`Backoff` only says how long; the caller waits. Randomness is passed in, so a simulation repeats.
"""

from random import Random

MAX_DOUBLINGS = 62
"""Beyond this the bound no longer grows; it keeps the power of two a small number however long we fail."""


class Backoff:
    """The waits of one thing that is tried again and again; one instance each, kept between tries."""

    def __init__(self, *, base_s: float, cap_s: float, random: Random) -> None:
        """Take ``base_s``, the bound of the first wait, ``cap_s``, the bound of all, and a source of chance.

        Raises ValueError unless 0 < base_s <= cap_s.
        """
        if not 0 < base_s <= cap_s:
            raise ValueError(f"back-off needs 0 < base_s <= cap_s, not {base_s} and {cap_s}")
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many waits were asked for since the last :meth:`reset`."""
        return self._failures

    def next_s(self) -> float:
        """Return the seconds to wait after one more failure: 0 up to ``min(cap_s, base_s * 2**failures)``."""
        bound_s = min(self._cap_s, self._base_s * 2 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        return self._random.uniform(0, bound_s)

    def reset(self) -> None:
        """Start over from ``base_s``: it worked."""
        self._failures = 0
