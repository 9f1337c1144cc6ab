"""The small decisions that the facts of a sync make themselves."""

import pytest

from assets.rules.sync import Consent, FieldRule, Limit, Problem, Source, Sync, SyncFileError


@pytest.mark.parametrize(
    ("limit", "part", "whole", "exceeded"),
    [
        (Limit(count=5), 5, 10, False),
        (Limit(count=5), 6, 10_000, True),
        (Limit(share=0.05), 5, 100, False),
        (Limit(share=0.05), 6, 100, True),
        (Limit(share=0.0), 0, 0, False),
        (Limit(count=0), 1, 1, True),
        (Limit(), 10, 10, False),
    ],
)
def test_a_limit_is_exceeded_only_above_it(limit: Limit, part: int, whole: int, *, exceeded: bool) -> None:
    """Exactly the limit is still allowed, and nothing of nothing never exceeds it."""
    assert limit.exceeded(part, whole) is exceeded


def test_a_limit_reads_as_it_was_written() -> None:
    """Messages show it in the words of the sync file."""
    assert (str(Limit(share=0.025)), str(Limit(count=500))) == ("2.5%", "500")


def test_columns_come_once_and_in_a_fixed_order() -> None:
    """A column that serves twice is read once."""
    sync = Sync(
        name="a",
        source=Source(table="t", key="id"),
        email="address",
        consent=Consent("agreed", granted_at="since"),
        fields=(FieldRule("x", "since", type="date"), FieldRule("y", "id")),
    )
    assert sync.columns == ("id", "address", "agreed", "since")


def test_an_error_lists_every_problem_with_its_place() -> None:
    """One line per problem, the way editors and terminals can jump to."""
    error = SyncFileError(
        (Problem("a.yaml", 3, "mode", "is odd.", "Mend it."), Problem("b.yaml", 0, "", "is no folder.", ""))
    )
    assert str(error) == "a.yaml:3: mode: is odd. Mend it.\nb.yaml: is no folder."
