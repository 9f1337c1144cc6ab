"""Memory that a step no longer needs, given back to the machine.

Allocators keep what was freed, for the next step of the same kind; the next step is of another kind, so that the peaks
of all steps would add up. Here: giving back. Not here: how much a step may use (`assets/rules/comparison.connect`).
"""

import ctypes
from functools import cache

import pyarrow as pa


def give_back() -> None:
    """Return what Arrow and the C library hold without need; costs some milliseconds."""
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    """glibc's malloc_trim; other C libraries have none, or need none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
