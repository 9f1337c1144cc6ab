"""Which runs of the benchmarks count, and what they are compared with."""

from typing import Any

import pytest

from benchmarks import report


def run(
    contestant: str, rows: int, *, began: float, wall: float, stolen: float = 0.0, problem: str = ""
) -> Any:
    """A run of which only these things matter."""
    return {
        "contestant": contestant, "rows": rows, "began": began, "wall_seconds": wall, "cpu_seconds": wall,
        "peak_bytes": 1, "stolen": stolen, "problem": problem,
        "steps": [{"step": "all", "wall_seconds": wall, "cpu_seconds": wall, "peak_bytes": 1}],
    }  # fmt: skip


def test_a_run_that_the_host_disturbed_counts_only_where_there_is_no_better_one() -> None:
    """Its seconds are the host's, not ours; but a table of a busy machine is better than none."""
    results = {
        "results": [
            run("ours", 1_000, began=1, wall=5),
            run("ours", 1_000_000, began=2, wall=10),
            run("ours", 1_000_000, began=3, wall=70, stolen=0.5),
            run("ours", 1_000_000, began=4, wall=1, problem="delivered others"),
            run("drt", 1_000_000, began=5, wall=50, stolen=0.3),
        ]
    }
    found = {(each["rows"], each["contestant"]): each for each in report.medians(results)}
    assert found[1_000_000, "ours"]["wall_seconds"] == 10
    assert found[1_000_000, "ours"]["runs"] == 1
    assert found[1_000_000, "drt"]["wall_seconds"] == 50
    assert "| 1,000,000 | all | 10.00 |" in report.table_of_steps(results)


def test_a_ratio_is_to_the_runs_of_ours_that_are_nearest_in_time_beyond_what_a_start_costs() -> None:
    """Machines drift within minutes."""
    results = {
        "results": [
            *(run("ours", 1_000, began=at, wall=5) for at in (1, 10)),
            run("dlt", 1_000, began=4, wall=2),
            *(run("ours", 1_000_000, began=at, wall=wall) for at, wall in ((2, 8), (3, 10), (11, 100))),
            run("dlt", 1_000_000, began=5, wall=14),
        ]
    }
    dlt = next(
        each for each in report.medians(results) if each["contestant"] == "dlt" and each["rows"] > 1_000
    )
    assert dlt["wall_ratio"] == pytest.approx((14 - 2) / ((8 - 5 + 10 - 5) / 2))
