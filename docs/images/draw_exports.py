"""Draws the plots of docs/exports.md from an invented account, by asking the questions of that page.

Run it from the root: `python -m docs.images.draw_exports`. The account is the local Mailtrap on virtual time, so the
plots are the same each time. The page's own test asks the same questions of the same account, and draws them.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from assets.analyst_database import DATABASE, write_database
from assets.drift import find_drift
from assets.export_jobs import Patience
from assets.exports import take_export
from tests.assets.world import World, people

HERE = Path(__file__).parent
PAGE = HERE.parent / "exports.md"
Answer = Sequence[tuple[Any, ...]]

NEW_EACH_WEEK = (400, 90, 110, 130, 150, 140, 170, 160)
LEAVE_EACH_WEEK = (0, 9, 14, 11, 31, 12, 16, 13)
WEEKS = len(NEW_EACH_WEEK)
LOST, EDITED, RENAMED = 6, 11, 4
_WEEK_SECONDS = 7 * 86_400.0
_BROKEN = (
    *(("email", "p@localhost"), ("email", "Jo <jo@example.com>"), ("email", "nobody")),
    *(("name", "x" * 300), ("name", "tab\there"), ("email", "a@x.org, b@x.org")),
)


def main() -> None:
    """Live some weeks, ask, draw."""
    with tempfile.TemporaryDirectory() as folder:
        world = lived(Path(folder))
        try:
            for name, answer in asked(world).items():
                draw(name, answer, HERE)
        finally:
            world.close()


def questions() -> dict[str, str]:
    """The SQL blocks of the page, by the name in the comment of their first line."""
    blocks = re.findall(
        r"^```sql\n-- (\w+):.*?\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return dict(blocks)


def asked(world: World) -> dict[str, Answer]:
    """What each question of the page gives, by its name."""
    with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
        return {name: connection.sql(query).fetchall() for name, query in questions().items()}


# The account


def lived(folder: Path) -> World:
    """An account that grows, where some people leave and some are lost, and a table some of whose rows are refused."""
    world = World(folder)
    world.mailtrap.advance(datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp() - world.mailtrap.clock.time())
    plan = {"name": "Plan", "merge_tag": "plan", "data_type": "text"}
    world.mailtrap.seed({"lists": ["Newsletter", "Offers", "Product news"], "fields": [plan]})
    world.mailtrap.turn(export_layout="list_names")
    world.wants()
    ids = {each.name: each.id for each in world.client.lists()}
    for week in range(WEEKS):
        _live_a_week(world, week, lists=[ids["Offers"], ids["Product news"]])
    find_drift(world.client, world.store, world.sync, patience=_patience(world))
    write_database(world.store.lake, world.store.journal)
    return world


def _live_a_week(world: World, week: int, *, lists: Sequence[int]) -> None:
    """The sync runs; somebody puts its people into more lists; some leave; an export is taken."""
    here, new = sum(NEW_EACH_WEEK[:week]), NEW_EACH_WEEK[week]
    world.run([*people(here + new), *_broken_rows(7 * week + 20)])
    for number in range(here, here + new, 5):
        email = f"p{number}@example.com"
        world.client.upsert_contact(email, email=email, list_ids_included=lists[: 1 + number % 10 // 5])
    if leavers := range(here - LEAVE_EACH_WEEK[week], here):
        world.mailtrap.unsubscribe(*(f"p{number}@example.com" for number in leavers))
    if week == WEEKS - 1:
        _meddle(world)
    world.mailtrap.advance(60.0)
    take_export(world.client, world.store, patience=_patience(world))
    world.mailtrap.advance(_WEEK_SECONDS - world.mailtrap.clock.time() % 86_400.0 + 21_600.0)


def _broken_rows(count: int) -> list[dict[str, Any]]:
    """Rows that are refused, each kind half as often as the one before."""
    rows = people(count, first=900_000)
    for number, row in enumerate(rows):
        column, value = _BROKEN[min((number + 1 & -(number + 1)).bit_length() - 1, len(_BROKEN) - 1)]
        row[column] = value
    return rows


def _meddle(world: World) -> None:
    """Somebody deletes people in Mailtrap, and edits others."""
    store = world.mailtrap.account.contacts
    for number in range(LOST):
        row = store.row(f"p{3 * number}@example.com")
        assert row is not None
        store.delete(row)
    for number in range(100, 100 + EDITED + RENAMED):
        email = f"p{number}@example.com"
        edit = {"plan": "team"} if number < 100 + EDITED else {"first_name": "Somebody"}
        world.client.upsert_contact(email, email=email, fields=edit)


def _patience(world: World) -> Patience:
    return Patience(clock=world.mailtrap.clock.time, sleep=world.mailtrap.clock.sleep)


# The plots

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, AMBER, GREEN, RED, VIOLET = "#2563eb", "#f59e0b", "#0f9d76", "#dc2626", "#7c3aed"


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture: its title, how high it is, and who draws it."""

    title: str
    inches: float
    draw: Callable[[Any, Answer], None]


def draw(name: str, answer: Answer, folder: Path) -> Path:
    """The picture of a question's answer: exports-NAME.svg."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "exports", "font.family": "sans-serif", "text.color": INK})
    from matplotlib import pyplot

    plot, path = PLOTS[name], folder / f"exports-{name}.svg"
    figure, axes = pyplot.subplots(figsize=(8.0, plot.inches), layout="constrained")
    figure.suptitle(f"{plot.title}\n", x=0.006, ha="left", fontsize=12, weight="bold")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9.5, length=0, pad=7)
    plot.draw(axes, answer)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _lists(axes: Any, rows: Answer) -> None:
    rows = rows[::-1]
    names, there, gone = ([row[place] for row in rows] for place in range(3))
    _bars(axes, names, [("subscribed", BLUE, there), ("unsubscribed", AMBER, gone)])


def _growth(axes: Any, rows: Answer) -> None:
    days = [_day(row[0]) for row in rows]
    there, gone = ([row[place] for row in rows] for place in (1, 2))
    axes.stackplot(days, there, gone, colors=(BLUE, AMBER), alpha=0.9)
    axes.margins(x=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="white", linewidth=0.8, alpha=0.6)
    right = {"ha": "left", "va": "center", "fontsize": 10, "weight": "bold"}
    end = len(days) - 1 + 0.08
    axes.text(end, there[-1] / 2, f"{there[-1]:,} subscribed", color=BLUE, **right)
    axes.text(end, there[-1] + gone[-1] / 2, f"{gone[-1]:,} unsubscribed", color="#b45309", **right)


def _left(axes: Any, rows: Answer) -> None:
    by_taking: dict[str, dict[str, int]] = defaultdict(dict)
    for taken_at, lists, count, after_import, _sync in rows:
        week = by_taking[f"{_day(taken_at)}\nafter import {after_import}"]
        named = " + ".join(sorted(lists)) or "no list"
        week[named] = week.get(named, 0) + count
    names = sorted({name for week in by_taking.values() for name in week}, key=len)
    bottom = [0] * len(by_taking)
    for name, colour in zip(names, (BLUE, VIOLET, AMBER, GREEN, RED), strict=False):
        counts = [week.get(name, 0) for week in by_taking.values()]
        axes.bar(list(by_taking), counts, bottom=bottom, color=colour, label=name, width=0.62)
        bottom = [low + count for low, count in zip(bottom, counts, strict=True)]
    for place, total in enumerate(bottom):
        axes.text(place, total, f"{total}\n", ha="center", va="center", fontsize=10, weight="bold")
    axes.yaxis.set_visible(False)
    axes.legend(
        frameon=False, fontsize=9.5, loc="upper right", title="was in", title_fontsize=9.5, alignment="left"
    )
    axes.margins(y=0.12)


def _reasons(axes: Any, rows: Answer) -> None:
    for place, (_sync, column, reason, count, remedy) in enumerate(rows):
        down = -1.35 * place
        axes.barh(down, count, color=BLUE, height=0.36)
        axes.text(count, down, f"  {count}", va="center", fontsize=10, weight="bold")
        heading = f"{column}: {reason.replace('_', ' ')}"
        axes.text(0, down + 0.4, heading, va="center", fontsize=10, weight="bold")
        axes.text(0, down - 0.36, remedy, va="center", fontsize=8.5, color=MUTED)
    axes.set_xlim(0, 1.1 * max(row[3] for row in rows))
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)


def _proof(axes: Any, rows: Answer) -> None:
    found = {state: (count, fields) for _sync, state, count, fields in rows}
    colours = {
        "applied": GREEN,
        "differs": AMBER,
        "missing": RED,
        "unsubscribed": VIOLET,
        "over_limit": MUTED,
    }
    states = [state for state in colours if state in found][::-1]
    counts = [found[state][0] for state in states]
    axes.barh(
        [state.replace("_", " ") for state in states],
        counts,
        color=[colours[state] for state in states],
        height=0.62,
    )
    for place, state in enumerate(states):
        count, fields = found[state]
        words = f"  {count:,}" + (f"   in {', '.join(sorted(fields))}" if fields else "")
        axes.text(count, place, words, va="center", fontsize=10, weight="bold")
    axes.set_xlim(0, 1.12 * max(counts))
    axes.xaxis.set_visible(False)


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"


def _bars(axes: Any, names: Sequence[str], parts: Sequence[tuple[str, str, Sequence[int]]]) -> None:
    """One bar a name, of parts on top of each other, each with its number; small parts have theirs at the end."""
    left, whole = [0] * len(names), max(map(sum, zip(*(counts for *_, counts in parts), strict=True)))
    for label, colour, counts in parts:
        axes.barh(names, counts, left=left, color=colour, label=label, height=0.6)
        for place, count in enumerate(counts):
            if count > 0.07 * whole:
                axes.text(
                    left[place] + count / 2,
                    place,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    color="white",
                    weight="bold",
                )
            elif count:
                axes.text(
                    left[place] + count,
                    place,
                    f"  {count:,}",
                    va="center",
                    fontsize=10,
                    color=colour,
                    weight="bold",
                )
        left = [start + count for start, count in zip(left, counts, strict=True)]
    axes.set_xlim(0, 1.08 * whole)
    axes.xaxis.set_visible(False)
    axes.legend(frameon=False, fontsize=9.5, loc="lower right", reverse=True)


PLOTS = {
    "lists": Plot("People by list and status", 2.4, _lists),
    "growth": Plot("People by taking", 2.8, _growth),
    "left": Plot("People who left since the taking before, by list and last import", 3.1, _left),
    "reasons": Plot("Refused rows by reason, with the remedy", 4.8, _reasons),
    "proof": Plot("People told, by what the export shows", 2.6, _proof),
}

if __name__ == "__main__":
    main()
