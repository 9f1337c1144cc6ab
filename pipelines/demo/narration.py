"""What the demo shows: a table for each step, one for the whole walk, a picture, and what to type next.

Belongs here: words and tables. Not here: any number that a summary does not hold.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.demo.walk import SYNC, Done, Step
from pipelines.demo.world import World
from pipelines.places import PLACES, places

WITHHELD = ("no_consent", "unsubscribed", "suppressed", "erased")
UNTOLD = ("schema", "seconds", "taken_at", "requests", "retries", "ambiguous")
DRAWN = ("first sync", "second sync")
NEXT = (
    ("make dev", "the same in Dagster's UI: the graph, each run, schedules, backfills"),
    ("make test", "every promise, tested on this machine"),
)


def opening(console: Console, world: World) -> None:
    """Say what the world is."""
    known = world.known
    console.print(
        f"  warehouse  [bold]{escape(near(world.warehouse))}[/]: {world.rows:,} rows, untidy", soft_wrap=True
    )
    console.print(
        f"  Mailtrap   [bold]{world.mailtrap.api}[/]: {len(known.subscribed)} of them are contacts already, "
        f"{len(known.unsubscribed)} have unsubscribed, {len(known.suppressed)} are suppressed",
        soft_wrap=True,
    )


def before(console: Console, step: Step, *, number: int, of: int) -> None:
    """Say what comes, and what one would type for it."""
    console.print(f"\n[bold]{number}/{of}  {step.name}[/]   {step.words}", soft_wrap=True)
    if step.typed:
        console.print(f"     [dim]$ {escape(step.typed)}[/]", soft_wrap=True)


def after(console: Console, done: Done) -> None:
    """Show what came of a step."""
    if done.code:
        console.print(f"     [bold red]failed, exit code {done.code}[/]")
        console.print(done.said[-3_000:] or "     It said nothing.", markup=False, soft_wrap=True)
    elif done.rows:
        console.print(_rows_table(done))
        for name, count in done.summary.get("gone", {}).items():
            if count:
                console.print(
                    f"     and {count:,} people {escape(name)} who took their consent back: one by one, "
                    "two requests each",
                    soft_wrap=True,
                )
    else:
        console.print(f"     {escape(_facts(done))}", soft_wrap=True)
    console.print(f"     [dim]{done.seconds:.1f} s[/]")


def ending(console: Console, world: World, *, done: Sequence[Done]) -> None:
    """The whole walk in one table, the picture, and what to type next."""
    console.print()
    console.print(_walk_table(done))
    if done[-1].code:
        console.print(
            f"\n  What was said is kept in [bold]{escape(near(world.folder / 'demo.log'))}[/]", soft_wrap=True
        )
        return
    places = {
        "picture": (_picture(done, world.folder / "where-every-row-went.png"), "where every row went"),
        "exported": (world.exported, "Mailtrap's contacts"),
        "rejections": (
            world.folder / "contacts" / "lake" / SYNC / "rejections",
            "each row with rule, reason, remedy",
        ),
    }
    console.print()
    for name, (path, words) in places.items():
        where = escape(near(path)) if path else "none: matplotlib is missing, the extra `demo` brings it"
        console.print(f"  {name:<11} [bold]{where}[/]  {words}", soft_wrap=True)
    console.print("\n[bold]What to type next[/]")
    for typed, words in NEXT:
        console.print(f"  [bold cyan]{typed:<11}[/] {words}", soft_wrap=True)
    console.print(
        f"  And then point [bold]pipelines/syncs/{SYNC}.yaml[/] at a table of your own: see README.md.",
        soft_wrap=True,
    )


def _rows_table(done: Done) -> Table:
    rows, read, planned = done.rows, done.rows.get("read", 0), done.summary.get("plan", False)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(min_width=36)
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    for place in places(planned=planned):
        if count := rows.get(place.key, 0):
            words = f"[{place.colour}]■[/] {place.words}"
            table.add_row(f"     {words}", f"{count:,}", f"{count / max(read, 1):.1%}")
    told = sum(rows.get(place.key, 0) for place in PLACES)
    adds_up = "=" if told == read else f"[bold red]but {told:,} are told of[/]"
    table.add_row(f"     [bold]{adds_up} rows read[/]", f"[bold]{read:,}[/]", "")
    return table


def _facts(done: Done) -> str:
    if done.step.act is not None:
        return done.said
    if checks := done.summary.get("checks"):
        return f"{len(checks)} things looked at, nothing wrong: " + ", ".join(
            check["what"] for check in checks
        )
    from pipelines.exporting import ONLY_IF_ANY  # with Dagster, which the walk has loaded by now

    numbers = {
        name: value
        for name, value in done.summary.items()
        if type(value) in (int, float) and (value or name not in ONLY_IF_ANY)
    }
    told = (
        f"{name.removeprefix('dagster/').replace('_', ' ')} {value:,}"
        for name, value in numbers.items()
        if name not in UNTOLD
    )
    return ", ".join(told) or "All is well."


def _walk_table(done: Sequence[Done]) -> Table:
    table = Table(title="The whole walk", title_justify="left", title_style="bold", box=None, padding=(0, 2))
    table.add_column("step")
    for name in ("rows read", "told", "unchanged", "withheld", "rejected", "requests", "seconds"):
        table.add_column(name, justify="right")
    for entry in done:
        rows, cells = entry.rows, [""] * 5
        if rows:
            withheld = sum(rows.get(key, 0) for key in WITHHELD)
            told = [rows.get(key, 0) for key in ("read", "accepted", "unchanged")]
            cells = [f"{count:,}" for count in (*told, withheld, rows.get("rejected", 0))]
        requests = entry.summary.get("requests")
        table.add_row(
            entry.step.name, *cells, "" if requests is None else f"{requests:,}", f"{entry.seconds:.1f}"
        )
    return table


def _picture(done: Sequence[Done], path: Path) -> Path | None:
    summaries = {entry.step.name: entry.summary for entry in done if entry.rows.get("read")}
    runs = [(name, summaries[name]) for name in DRAWN if name in summaries]
    try:
        from pipelines.picture import draw
    except ImportError:
        return None
    return draw(runs, path) if runs else None


def near(path: Path) -> str:
    """The path as one types it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
