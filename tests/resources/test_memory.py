"""Memory goes back to the machine."""

import numpy as np
import pyarrow as pa

from resources.memory import give_back


def test_it_can_always_be_asked_for() -> None:
    """With much held, with nothing held, twice: it is a favour, never a failure."""
    held = [np.zeros(1 << 20), pa.array(range(1_000))]
    give_back()
    del held
    give_back()
    assert pa.default_memory_pool().bytes_allocated() >= 0
