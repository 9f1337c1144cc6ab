"""The law that every row is counted once: what is missing, or counted twice, is said."""

import pytest

from assets.rules import guards


@pytest.mark.parametrize(("accepted", "unaccounted"), [(7, 0), (6, 1), (8, -1)])
def test_rows_that_nobody_or_two_counted_are_seen(accepted: int, unaccounted: int) -> None:
    """`read` less the sum of all outcomes, and nothing else, decides."""
    rows = {"read": 10, "accepted": accepted, "rejected": 2, "no_consent": 1}
    assert guards.unaccounted(rows) == unaccounted


@pytest.mark.parametrize("outcome", guards.OUTCOMES)
def test_every_outcome_counts(outcome: str) -> None:
    """No place where a row can end is forgotten in the sum."""
    assert guards.unaccounted({"read": 1, outcome: 1}) == 0
