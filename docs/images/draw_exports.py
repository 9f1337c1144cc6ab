"""Draws the plots of docs/exports.md from an invented account, by asking the questions of that page.

Run it from the root: `python -m docs.images.draw_exports`. The account is the local Mailtrap on virtual time, so the
plots are the same each time. The page's own test asks the same questions of the same account.
"""

import re
import tempfile
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
DAYS = 5
INK, MUTED, COLOURS = "#1f2937", "#9ca3af", ("#2563eb", "#f59e0b", "#10b981")


def main() -> None:
    """Live five days, ask, draw."""
    with tempfile.TemporaryDirectory() as folder:
        world = lived(Path(folder))
        try:
            with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
                asked = questions()
                _draw_growth(connection.sql(asked["growth"]).fetchall())
                _draw_reasons(connection.sql(asked["reasons"]).fetchall())
        finally:
            world.close()


def questions() -> dict[str, str]:
    """The SQL blocks of the page, by the name in the comment of their first line."""
    blocks = re.findall(
        r"^```sql\n-- (\w+):.*?\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return dict(blocks)


def lived(folder: Path) -> World:
    """An account that grows, where some people leave, and a table some of whose rows are refused."""
    world = World(folder)
    world.mailtrap.advance(datetime(2026, 3, 1, 6, tzinfo=UTC).timestamp() - world.mailtrap.clock.time())
    world.mailtrap.seed(
        {
            "lists": ["Newsletter", "Offers"],
            "fields": [{"name": "Plan", "merge_tag": "plan", "data_type": "text"}],
        }
    )
    world.wants()
    offers = next(each.id for each in world.client.lists() if each.name == "Offers")
    for day in range(DAYS):
        rows = people(300 + 60 * day, plan="free", day=1)
        for number, row in enumerate(rows):
            row["plan"] = ("free", "free", "pro", "team")[number % 4]
            if number % 60 == 7:
                row["email"] = f"nobody{number}"
            if number % 90 == 11:
                row["email"] = f"p{number}@localhost"
        world.run(rows)
        for number in range(day * 20, day * 20 + 20):
            if number % 3 and number % 60 != 7 and number % 90 != 11:
                email = f"p{number}@example.com"
                world.client.upsert_contact(email, email=email, list_ids_included=[offers])
        world.mailtrap.unsubscribe(
            *(f"p{number}@example.com" for number in range(day * 10, day * 10 + 3 * day))
        )
        _take(world)
        world.mailtrap.advance(86_400.0 - world.mailtrap.clock.time() % 86_400.0 + 21_600.0)
    find_drift(world.client, world.store, world.sync, patience=_patience(world))
    write_database(world.store.lake, world.store.journal)
    return world


def _take(world: World) -> None:
    world.mailtrap.advance(60.0)
    take_export(world.client, world.store, patience=_patience(world))


def _patience(world: World) -> Patience:
    return Patience(clock=world.mailtrap.clock.time, sleep=world.mailtrap.clock.sleep)


def _draw_growth(rows: list[tuple[Any, ...]]) -> None:
    axes, save = _canvas("Subscribed and unsubscribed, by taking", "exports-growth.svg")
    days = [f"{row[0]:%d %b}" for row in rows]
    axes.stackplot(days, [row[1] for row in rows], [row[2] for row in rows], colors=COLOURS[:2], alpha=0.85)
    axes.text(days[-1], rows[-1][1] / 2, "subscribed ", ha="right", color="white", weight="bold")
    axes.text(
        days[-1],
        rows[-1][1] + rows[-1][2] * 1.5,
        "unsubscribed ",
        ha="right",
        color=COLOURS[1],
        weight="bold",
    )
    axes.margins(x=0)
    save()


def _draw_reasons(rows: list[tuple[Any, ...]]) -> None:
    axes, save = _canvas("Refused rows, by reason", "exports-reasons.svg")
    names = [f"{row[1]}: {row[2]}" for row in rows][::-1]
    bars = axes.barh(names, [row[3] for row in rows][::-1], color=COLOURS[0])
    axes.bar_label(bars, padding=4, color=INK)
    axes.xaxis.set_visible(False)
    save()


def _canvas(title: str, name: str) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "exports", "font.family": "sans-serif", "text.color": INK, "axes.edgecolor": MUTED}
    )
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 2.6), layout="constrained")
    axes.set_title(title, loc="left", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)

    def save() -> None:
        figure.savefig(HERE / name, metadata={"Date": None})
        pyplot.close(figure)

    return axes, save


if __name__ == "__main__":
    main()
