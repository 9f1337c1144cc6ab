"""The steps of a sync run: what each took of what the whole run cost.

Dagster noted when a step began and ended, the measurement how CPU time and memory grew meanwhile. Belongs here: putting
both together, and the table. Not here: measuring (`measured`), stages alone without Dagster (`stages`).
"""

import statistics
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measured import Cost


def of_last_run(home: Path, cost: Cost) -> list[dict[str, Any]]:
    """Each step of the newest run of a Dagster instance."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs(limit=1)
        stats = instance.get_run_step_stats(run.run_id)
    times = [(each.step_key, each.start_time, each.end_time) for each in stats]
    return [
        _cost(key.rpartition("__")[2], begin, end, cost)
        for key, begin, end in sorted(times, key=lambda each: each[1] or 0.0)
        if begin is not None and end is not None
    ]


def _cost(name: str, begin: float, end: float, cost: Cost) -> dict[str, Any]:
    at = [each[0] for each in cost.looks]
    first, last = bisect(at, begin) - 1, bisect(at, end)
    inside = cost.looks[max(0, first) : last + 1]
    return {
        "step": name,
        "wall_seconds": end - begin,
        "cpu_seconds": inside[-1][1] - inside[0][1] if inside else 0.0,
        "peak_bytes": max((each[2] for each in inside), default=0),
    }


def table(runs: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """The median of each step of these runs, by the rows they had, as Markdown."""
    lines = ["| rows | step | wall s | CPU s | rows/s | peak MiB |", "|---:|---|---:|---:|---:|---:|"]
    for rows, name, mine in _steps(runs):
        wall, cpu, peak = (_median(mine, key) for key in ("wall_seconds", "cpu_seconds", "peak_bytes"))
        lines.append(
            f"| {rows:,} | {name} | {wall:.2f} | {cpu:.2f} | {rows / wall:,.0f} | {peak / 2**20:,.0f} |"
        )
    return "\n".join(lines)


def _steps(
    runs: Mapping[int, Sequence[Mapping[str, Any]]],
) -> Iterator[tuple[int, str, list[Mapping[str, Any]]]]:
    for rows, mine in runs.items():
        steps: dict[str, list[Mapping[str, Any]]] = {}
        for step in (step for run in mine for step in run["steps"]):
            steps.setdefault(step["step"], []).append(step)
        yield from ((rows, name, found) for name, found in steps.items())


def _median(steps: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.median(float(each[key]) for each in steps)
