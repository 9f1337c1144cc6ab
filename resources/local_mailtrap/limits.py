"""The three limiters: of a token, of an account's contacts API, of an account's suppressions.

Belongs here: how many requests fit in a window, and the peaks that were seen. Not here: which request belongs to which
pool (`routes.py`), what a refusal says (`answers.py`).
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Literal

Pool = Literal["token", "contacts", "suppressions"]


class Limiter:
    """Admits so many requests in a window: the last seconds (sliding) or the current one of the clock (fixed)."""

    def __init__(self) -> None:
        self._stamps: deque[float] = deque()

    def used(self, now: float, *, window_seconds: float, fixed: bool) -> int:
        """How many requests count at this moment."""
        start = now - now % window_seconds if fixed and window_seconds else now - window_seconds
        while self._stamps and (self._stamps[0] < start if fixed else self._stamps[0] <= start):
            self._stamps.popleft()
        return len(self._stamps)

    def wait_seconds(self, now: float, *, window_seconds: float, fixed: bool) -> float:
        """How long until a request fits again."""
        if fixed and window_seconds:
            return window_seconds - now % window_seconds
        return max(0.0, self._stamps[0] + window_seconds - now) if self._stamps else 0.0

    def add(self, now: float) -> None:
        """Count a request."""
        self._stamps.append(now)


def peak(stamps: Sequence[float], window_seconds: float) -> int:
    """The most stamps in any window of this length that ends at a stamp; stamps are in order."""
    starts = (bisect_right(stamps, stamp - window_seconds) for stamp in stamps)
    return max((here + 1 - start for here, start in enumerate(starts)), default=0)
