"""Work over tables that an erasure, or another run, may rewrite meanwhile: done again when one did.

An erasure takes rows out of files that a run may just be reading, twice, by position; so does a run over the same
partitions that makes these files anew. Runs do not wait for erasures, nor for one another: they look whether something
came in between, and begin again. Not here: erasing (`erasure`).
"""

from collections.abc import Callable
from typing import TypeVar

from resources.errors import UnfinishedError
from resources.journal import Journal
from resources.memory import give_back

T = TypeVar("T")
ERASURE = "erasure"
"""The lease that an erasure holds while it rewrites tables."""
WAIT_SECONDS = 1800.0
_TRIES = 5


def steady(journal: Journal, work: Callable[[], T], *, written: Callable[[], object] = lambda: None) -> T:
    """The result of work during which nothing was rewritten; its memory is given back when it is done.

    The work can be done twice without harm.

    `written` says, in a value that can be compared, when the tables at hand were written.
    """
    for _ in range(_TRIES):
        before = _moment(journal, written)
        try:
            result = work()
        except Exception:
            if _moment(journal, written) == before:
                raise
        else:
            if _moment(journal, written) == before:
                return result
        finally:
            give_back()
    raise UnfinishedError(
        "The tables were rewritten all the while that they were being read.",
        "Nothing was sent.",
        "Run again when the erasures, or the other runs of this sync, have ended.",
    )


def _moment(journal: Journal, written: Callable[[], object]) -> tuple[tuple[int, float], object]:
    with journal.lease(ERASURE, wait_seconds=WAIT_SECONDS):
        return journal.erasures(), written()
