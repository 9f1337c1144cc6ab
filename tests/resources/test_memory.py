"""Memory goes back to the machine."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from resources.memory import give_back


def test_it_can_always_be_asked_for() -> None:
    """With much held, with nothing held, twice: it is a favour, never a failure."""
    held = [np.zeros(1 << 20), pa.array(range(1_000))]
    give_back()
    del held
    give_back()
    assert pa.default_memory_pool().bytes_allocated() >= 0


@pytest.mark.parametrize(("chosen", "expected"), [("", "jemalloc"), ("system", "system")])
def test_arrow_uses_the_allocator_that_gives_back_soonest(chosen: str, expected: str) -> None:
    """Unless somebody chose one; and where it is not built in, Arrow's own choice stays."""
    if expected not in pa.supported_memory_backends():
        expected = pa.default_memory_pool().backend_name
    said = "from resources import memory; memory.allocate_sparingly(); import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environ = {"ARROW_DEFAULT_MEMORY_POOL": chosen} if chosen else {}
    found = subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=True, env=environ
    )
    assert found.stdout.strip() == expected


def test_a_process_that_worked_ends_without_a_word() -> None:
    """What is kept out of garbage collection is let in again before the end: DuckDB complains of what is left over."""
    said = "from resources import memory; import duckdb, pandas; memory.allocate_sparingly(); duckdb.connect().sql('select 1').fetchall()"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")
