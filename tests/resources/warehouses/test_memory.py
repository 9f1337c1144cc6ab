"""Memory does not grow with the table: half a million rows and two and a half need the same (benchmarks/warehouses.py: one and five)."""

import pytest

from benchmarks.warehouses import measure
from tests.postgres import Server

ALLOWANCE_BYTES = 150_000_000
"""What allocators and caches may differ by (DuckDB keeps 128 MB of what it read); the two million rows more weigh about 300 MB in Arrow."""


@pytest.mark.proof
@pytest.mark.parametrize("name", ["duckdb", "parquet", "csv", "postgres"])
def test_five_times_the_rows_need_no_more_memory(postgres: Server, name: str) -> None:
    """Measured in processes of their own, by the peak that the system saw."""
    small, large = (measure(name, rows, postgres=postgres.url()) for rows in (500_000, 2_500_000))
    assert (small["rows"], large["rows"]) == (500_000, 2_500_000)
    assert large["peak_bytes"] < small["peak_bytes"] + ALLOWANCE_BYTES
