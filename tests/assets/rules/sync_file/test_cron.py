"""A cron line that is accepted here is one that the scheduler accepts."""

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from assets.rules.sync_file.cron import cron_fault

GOOD = [
    "* * * * *",
    "0 * * * *",
    "*/5 6-20 * * mon-fri",
    "0 0 1,15 * *",
    "59 23 31 12 7",
    "0 6 29 feb *",
    "1-9/2 * * * *",
]
BAD = ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
       "5-1 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "1/2 * * * *", "@daily", "0 0 30 2 *", "0 0 31 4,6 *",
       "٣ * * * *", "1.5 * * * *"]  # fmt: skip
PART = st.sampled_from(
    ["*", "*/2", "*/70", "1", "0", "5", "12", "24", "31", "60", "1-5", "1-5/2", "7", "mon", "jan", "1,2", "x"]
)


@pytest.mark.parametrize("line", GOOD)
def test_ordinary_lines_pass(line: str) -> None:
    """What people write in crontabs is accepted."""
    assert cron_fault(line) is None
    assert is_valid_cron_string(line)


@pytest.mark.parametrize("line", BAD)
def test_odd_lines_are_refused_with_a_remedy(line: str) -> None:
    """Also lines that other crons would read in their own way."""
    fault = cron_fault(line)
    assert fault is not None
    assert all(fault)


@given(st.lists(PART, min_size=4, max_size=6).map(" ".join))
def test_what_passes_here_passes_the_scheduler(line: str) -> None:
    """The scheduler is the oracle: a code location must never fail to load because of a line that we let pass."""
    if cron_fault(line) is None:
        assert is_valid_cron_string(line)
