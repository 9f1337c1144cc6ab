"""Numbers against their own past."""

import pytest

from assets.rules.usual import compare


@pytest.mark.parametrize(
    ("value", "former", "is_usual"),
    [
        pytest.param(0, [], True, id="no past"),
        pytest.param(0, [1000, 1000], True, id="too short a past"),
        pytest.param(1000, [1000, 990, 1010], True, id="the same"),
        pytest.param(501, [1000, 1000, 1000], True, id="a little more than half"),
        pytest.param(499, [1000, 1000, 1000], False, id="less than half"),
        pytest.param(2001, [1000, 1000, 1000], False, id="more than twice"),
        pytest.param(2001, [1000, 50_000, 1000, 1000], False, id="one outlier does not make a habit"),
        pytest.param(0, [90, 90, 90], True, id="small numbers jump about"),
    ],
)
def test_unusual_is_twice_or_half_the_median(value: float, former: list[float], is_usual: bool) -> None:
    """Rows: half or twice the median is far, unless it is a hundred rows."""
    assert compare(value, former, times=2.0, slack=100.0).is_usual is is_usual


def test_being_faster_than_usual_is_no_alarm() -> None:
    """Seconds count upwards only."""
    assert compare(1, [100, 100, 100], times=3.0, falls_count=False).is_usual
    assert not compare(301, [100, 100, 100], times=3.0, falls_count=False).is_usual
