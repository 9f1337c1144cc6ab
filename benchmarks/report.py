"""Results in words: lines while it runs, a table of ratios, docs/performance.md and its picture."""

import os
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import field, steps

Results = Mapping[str, Any]
OURS = "ours"
START = 1_000
PLACES = {each.name: place for place, each in enumerate(field.FIELD)}
DISTURBED = 0.1
"""A run in which the host gave more of the processors to others counts only where there is no better one."""


def line(result: Mapping[str, Any]) -> str:
    """One run."""
    words = f"{result['contestant']:<16}{result['rows']:>12,} rows  {result['wall_seconds']:8.2f} s wall "
    words += f"{result['cpu_seconds']:8.2f} s CPU  {result['peak_bytes'] / 2**20:7.0f} MiB"
    words += f"  host took {result['stolen']:.0%}" if result["stolen"] > DISTURBED else ""
    return words + (f"  NOT COUNTED: {result['problem']}" if result["problem"] else "")


def machine() -> str:
    """What it ran on."""
    names = [text.split(":", 1)[1].strip() for text in _cpu_lines() if text.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {(names or [platform.processor()])[0]}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def counted(results: Results) -> dict[tuple[int, str], list[Any]]:
    """The runs that count, of each contestant at each size: undisturbed ones, where there are any."""
    runs: dict[tuple[int, str], list[Any]] = {}
    for each in results["results"]:
        if not each["problem"]:
            runs.setdefault((each["rows"], each["contestant"]), []).append(each)
    quiet = {key: [each for each in mine if each["stolen"] <= DISTURBED] for key, mine in runs.items()}
    return {key: quiet[key] or mine for key, mine in runs.items()}


def medians(results: Results) -> list[dict[str, Any]]:
    """The median of each contestant at each size, and of its runs beyond their starts, as ratios to ours."""
    runs = counted(results)
    rows = []
    for (size, name), mine in sorted(runs.items(), key=lambda item: (item[0][0], PLACES[item[0][1]])):
        found: dict[str, Any] = {"rows": size, "contestant": name, "runs": len(mine)}
        for key in ("wall_seconds", "cpu_seconds", "peak_bytes"):
            found[key] = statistics.median(each[key] for each in mine)
        for kind in ("wall", "cpu"):
            beyond = _beyond_starts(runs, size, name, kind)
            ours = _beyond_starts(runs, size, OURS, kind)
            ratios = [seconds / _near(at, ours) for at, seconds in beyond.items()] if ours else []
            found[f"{kind}_beyond"] = statistics.median(beyond.values()) if beyond else None
            found[f"{kind}_ratio"] = statistics.median(ratios) if ratios else None
        wall = found["wall_beyond"]
        found["rows_per_second"] = size / wall if wall else None
        rows.append(found)
    return rows


def _beyond_starts(
    runs: Mapping[tuple[int, str], list[Any]], size: int, name: str, kind: str
) -> dict[float, float]:
    """When each run began, and its seconds beyond those of the nearest start; none where the start is nearly all."""
    if size == START:
        return {}
    key = f"{kind}_seconds"
    starts = {each["began"]: each[key] for each in runs.get((START, name), [])}
    mine = runs.get((size, name), []) if starts else []
    beyond = {each["began"]: each[key] - _near(each["began"], starts, among=1) for each in mine}
    return beyond if all(each > 0.05 for each in beyond.values()) else {}


def _near(at: float, values: Mapping[float, float], *, among: int = 2) -> float:
    """The mean of what was measured nearest to a moment, before and after it; or just then."""
    nearest = [at] if at in values else sorted(values, key=lambda began: abs(began - at))[:among]
    return statistics.mean(values[began] for began in nearest)


def table(results: Results) -> str:
    """Ratios first, as Markdown."""
    head = (
        "rows",
        "contestant",
        "wall ÷ ours, beyond start",
        "CPU ÷ ours, beyond start",
        "wall s",
        "CPU s",
        "rows/s beyond start",
        "peak MiB",
        "runs",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|---|" + "---:|" * (len(head) - 2)]
    for each in medians(results):
        ratios = ["" if each[key] is None else f"**{each[key]:.2f}**" for key in ("wall_ratio", "cpu_ratio")]
        rate = "" if each["rows_per_second"] is None else f"{each['rows_per_second']:,.0f}"
        cells = [
            f"{each['rows']:,}",
            each["contestant"],
            *ratios,
            f"{each['wall_seconds']:.2f}",
            f"{each['cpu_seconds']:.2f}",
        ]
        lines.append(
            "| " + " | ".join([*cells, rate, f"{each['peak_bytes'] / 2**20:,.0f}", str(each["runs"])]) + " |"
        )
    return "\n".join(lines)


def table_of_steps(results: Results) -> str:
    """Where the time of ours goes, as Markdown."""
    ours = {size: runs for (size, name), runs in sorted(counted(results).items()) if name == OURS}
    return steps.table(ours)


def write(results: Results, docs: Path) -> None:
    """The results in docs/performance.md, and their picture."""
    picture(results, docs / "images" / "performance.png")
    found = f"Measured on {results['machine']}. Medians; ratios to the runs of `ours` nearest in time.\n\n"
    found += "![Seconds and memory of each contestant](images/performance.png)\n\n" + table(results)
    put(docs / "performance.md", "results", found)
    put(docs / "performance.md", "steps", table_of_steps(results))


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a page; the words around it stay."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def picture(results: Results, path: Path) -> None:
    """Wall seconds and peak memory, side by side, at the size where most took part."""
    from matplotlib.figure import Figure

    rows = [each for each in medians(results) if each["rows"] != START]
    if not rows:
        return
    sizes = [each["rows"] for each in rows]
    size = max(set(sizes), key=lambda value: (sizes.count(value), value))
    shown = [each for each in rows if each["rows"] == size][::-1]
    figure = Figure(figsize=(11, 0.5 * len(shown) + 1.6), dpi=130, layout="constrained")
    for axes, key, scale, words in zip(
        figure.subplots(1, 3, sharey=True),
        ("wall_seconds", "cpu_seconds", "peak_bytes"),
        (1, 1, 2**20),
        ("seconds", "CPU seconds", "peak MiB"),
        strict=True,
    ):
        values = [each[key] / scale for each in shown]
        colours = ["#0072B2" if each["contestant"].startswith(OURS) else "#9AA3AC" for each in shown]
        axes.barh([each["contestant"] for each in shown], values, color=colours, height=0.65)
        for position, value in enumerate(values):
            axes.text(
                value,
                position,
                f" {value:,.1f}" if value < 100 else f" {value:,.0f}",
                va="center",
                fontsize=9,
            )
        axes.set_title(f"{words}, {size:,} rows", loc="left", fontsize=11)
        axes.set_xlim(0, max(values) * 1.2)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.set_xticks([])
        axes.tick_params(left=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
