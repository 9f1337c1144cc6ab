"""Work over tables that an erasure may rewrite meanwhile: done again when one did.

An erasure takes rows out of files that a run may just be reading, twice, by position. Runs do not wait for erasures,
nor for one another: they look whether one came in between, and begin again. Not here: erasing (`erasure`).
"""

from collections.abc import Callable
from typing import TypeVar

from resources.errors import ConnectorError, UnfinishedError
from resources.journal import Journal

T = TypeVar("T")
ERASURE = "erasure"
"""The lease that an erasure holds while it rewrites tables."""
WAIT_SECONDS = 1800.0
_TRIES = 5


def steady(journal: Journal, work: Callable[[], T]) -> T:
    """The result of work during which nothing was rewritten. The work can be done twice without harm."""
    for _ in range(_TRIES):
        before = _moment(journal)
        try:
            result = work()
        except ConnectorError:
            if _moment(journal) == before:
                raise
        else:
            if _moment(journal) == before:
                return result
    raise UnfinishedError(
        "People were erased all the while that the tables were being read.",
        "Nothing was sent.",
        "Run again when the erasures have ended.",
    )


def _moment(journal: Journal) -> tuple[int, float]:
    with journal.lease(ERASURE, wait_seconds=WAIT_SECONDS):
        return journal.erasures()
