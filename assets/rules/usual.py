"""Whether a number of a run is as usual, compared with the runs before it.

Belongs here: judging numbers against their own past. Not here: reading the past (`assets/checks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FEWEST_RUNS = 3
"""With fewer runs before it nothing is usual yet, and nothing is said."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A number beside its usual value."""

    value: float
    usual: float
    runs: int
    is_usual: bool


def compare(
    value: float, former: Sequence[float], *, times: float, slack: float = 0.0, falls_count: bool = True
) -> Compared:
    """Unusual is more than `times` the median of former runs, or less than that part of it, by more than `slack`."""
    if len(former) < FEWEST_RUNS:
        return Compared(value, value, len(former), is_usual=True)
    usual = float(median(former))
    far = value > usual * times or (falls_count and value * times < usual)
    return Compared(value, usual, len(former), is_usual=not far or abs(value - usual) <= slack)
