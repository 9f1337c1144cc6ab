"""Memory that a step no longer needs, given back to the machine.

Allocators keep what was freed, for the next step of the same kind; the next step is of another kind, so that the peaks
of all steps would add up. Here: which allocator, and giving back. Not here: how much a step may use
(`assets/rules/comparison.connect`).
"""

import atexit
import contextlib
import ctypes
import gc
import os
from functools import cache

import duckdb
import pyarrow as pa

_M_ARENA_MAX = -8  # of malloc.h
_GARBAGE_THRESHOLDS = (700, 10, 10)  # Python's own, up to 3.12; a command raises them while it imports
_KEPT_MILLISECONDS = 200  # at 0 all that is used anew costs a page fault: a tenth of a run's CPU time


@cache
def allocate_sparingly() -> None:
    """When work begins: let Arrow and the C library keep little of what was freed, unless told otherwise from outside.

    With payloads of 10 MB in four threads, jemalloc peaks 150 MB lower than Arrow's first choice, for 2 % of time; one
    arena of the C library for all threads, instead of one for each, another 70 MB lower, for nothing; and what was
    freed kept for a fifth of a second, instead of a second, another 50. Modules and definitions are not looked through
    for garbage any more, batches of rows as often as Python does by itself.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)  # or DuckDB says at the end that it was never freed
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    if "MALLOC_ARENA_MAX" not in os.environ and (limit := _of_c_library("mallopt")) is not None:
        limit(_M_ARENA_MAX, 1)
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.jemalloc_set_decay_ms(_KEPT_MILLISECONDS)
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def empty(connection: duckdb.DuckDBPyConnection) -> None:
    """Have a DuckDB that nobody uses just now return what it read and what it freed: it keeps both up to its limit."""
    with contextlib.suppress(duckdb.Error):
        (limit,) = connection.execute("SELECT current_setting('memory_limit')").fetchall()[0]
        try:
            connection.execute("SET memory_limit = '1MB'")
        finally:
            connection.execute(f"SET memory_limit = '{limit}'")


def give_back() -> None:
    """Return what Arrow and the C library hold without need; costs some milliseconds."""
    pa.default_memory_pool().release_unused()
    if (trim := _of_c_library("malloc_trim")) is not None:
        trim(0)


@cache
def _of_c_library(name: str) -> "ctypes._NamedFuncPointer | None":
    """A function of glibc's; other C libraries have none of these, or need none."""
    try:
        found: ctypes._NamedFuncPointer = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    return found
