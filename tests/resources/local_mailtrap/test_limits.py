"""Limiters and peaks: one law, from two sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.local_mailtrap.limits import Limiter, peak

gaps = st.lists(st.floats(min_value=0, max_value=5), max_size=60)


@given(gaps=gaps, limit=st.integers(1, 8), window=st.sampled_from([1.0, 3.0, 10.0]))
def test_no_window_ever_holds_more_than_the_limit(gaps: list[float], limit: int, window: float) -> None:
    """Whatever the arrivals, those that a sliding limiter lets in have no higher peak."""
    limiter, now, admitted = Limiter(), 1000.0, []
    for gap in gaps:
        now += gap
        if limiter.used(now, window_seconds=window, fixed=False) < limit:
            limiter.add(now)
            admitted.append(now)
    assert peak(admitted, window) <= limit


@given(gaps=gaps)
def test_a_peak_is_what_counting_by_hand_finds(gaps: list[float]) -> None:
    """For every stamp, those in the window that ends with it."""
    stamps = [sum(gaps[: end + 1]) for end in range(len(gaps))]
    by_hand = max(
        (sum(end - 10 < each <= end for each in stamps[: at + 1]) for at, end in enumerate(stamps)), default=0
    )
    assert peak(stamps, 10) == by_hand


@pytest.mark.parametrize(("fixed", "expected"), [(False, 2), (True, 0)])
def test_a_fixed_window_forgets_when_the_clock_turns(fixed: bool, expected: int) -> None:
    """Two requests at the end of a minute count in the next one only when the window slides."""
    limiter = Limiter()
    limiter.add(119.0)
    limiter.add(119.5)
    assert limiter.used(121.0, window_seconds=60, fixed=fixed) == expected
    assert Limiter().wait_seconds(121.0, window_seconds=60, fixed=True) == 59.0
