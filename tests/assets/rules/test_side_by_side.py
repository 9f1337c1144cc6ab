"""Batches side by side: in order, not too many, and ended together."""

import threading
from collections.abc import Iterator

import pytest

from assets.rules.side_by_side import side_by_side


def test_results_come_in_the_order_of_the_batches() -> None:
    """Also when a later batch is done first."""
    second = threading.Event()

    def work(batch: int) -> int:
        if batch == 0:
            assert second.wait(10)
        if batch == 1:
            second.set()
        return batch * 10

    assert list(side_by_side(work, range(7), threads=2)) == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (1, 1), (2, 0), (3, 2)])
def test_no_more_batches_are_made_than_are_under_way(threads: int, ahead: int) -> None:
    """So that memory does not grow with the table."""
    made, taken, most = 0, 0, 0

    def batches() -> Iterator[int]:
        nonlocal made, most
        for number in range(20):
            made, most = made + 1, max(most, made + 1 - taken)
            yield number

    for _ in side_by_side(lambda batch: batch, batches(), threads=threads, ahead=ahead):
        taken += 1
    assert (made, taken) == (20, 20)
    assert most <= threads + ahead + 1


def test_one_thread_keeps_the_order_of_the_work_itself() -> None:
    """A file is written by one thread, batch after batch, while the next one is made."""
    written: list[int] = []
    assert list(side_by_side(written.append, range(50), threads=1, ahead=1)) == [None] * 50
    assert written == list(range(50))


@pytest.mark.parametrize("fails", ["work", "batches"])
def test_a_failure_is_raised_and_nothing_further_is_begun(fails: str) -> None:
    """Whether it is in the work or in making the next batch."""
    begun: list[int] = []

    def batches() -> Iterator[int]:
        for number in range(100):
            if fails == "batches" and number == 3:
                raise ValueError(number)
            yield number

    def work(batch: int) -> None:
        begun.append(batch)
        if fails == "work" and batch == 3:
            raise ValueError(batch)

    with pytest.raises(ValueError, match="3"):
        list(side_by_side(work, batches(), threads=2))
    assert max(begun) < 8


def test_who_stops_asking_ends_it() -> None:
    """An iterator that is closed leaves no thread behind."""
    results = side_by_side(lambda batch: batch, range(100), threads=2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]
