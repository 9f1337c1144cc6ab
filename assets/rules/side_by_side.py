"""The same work on one batch after the other, several at a time, the results in the order of the batches.

Arrow, DuckDB and numpy let go of Python's lock while they compute, so threads use the other cores. No more batches
are in memory than are under way. Belongs here: the threads. Not here: what is done with a batch.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")

THREADS = max(
    1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
)


def side_by_side(
    work: Callable[[Batch], Result], batches: Iterable[Batch], *, threads: int = THREADS, ahead: int = 0
) -> Iterator[Result]:
    """The results in order; when one fails, or nobody asks any more, nothing further is begun.

    Batches are made by whoever asks for results, up to `ahead` of them before a thread is free.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="batch") as pool:
        try:
            for batch in batches:
                under_way.append(pool.submit(work, batch))
                if len(under_way) >= threads + ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
