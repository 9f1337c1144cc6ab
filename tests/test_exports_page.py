"""The questions of docs/exports.md are answered by the views, on the account that its plots were drawn from."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pandas as pd
import pytest

from assets.analyst_database import DATABASE
from assets.exports import LATEST, ExportConfig
from docs.images.draw_exports import DAYS, PAGE, lived, questions


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """What each question of the page gives, by its name; and one answer of pandas."""
    world = lived(tmp_path_factory.mktemp("account"))
    try:
        with world.store.lake.local(DATABASE) as path, duckdb.connect(path, read_only=True) as connection:
            found = {name: connection.sql(query).fetchall() for name, query in questions().items()}
        with world.store.lake.local(LATEST) as path:
            sizes = pd.read_parquet(path, dtype_backend="pyarrow").groupby("status").size()
        yield {**found, "pandas": list(sizes.items())}
    finally:
        world.close()


def test_there_are_five_questions(answers: dict[str, list[tuple[Any, ...]]]) -> None:
    """And each has an answer."""
    assert set(questions()) == {"lists", "growth", "left", "reasons", "proof"}
    assert all(answers.values())


def test_lists_and_growth_count_the_same_people(answers: dict[str, list[tuple[Any, ...]]]) -> None:
    """The last taking is the latest; pandas says the same."""
    lists = {name: subscribed + gone for name, subscribed, gone in answers["lists"]}
    assert set(lists) == {"Newsletter", "Offers"}
    taken = [row[0] for row in answers["growth"]]
    assert len(taken) == DAYS and taken == sorted(taken)
    _, subscribed, unsubscribed = answers["growth"][-1]
    assert subscribed + unsubscribed == lists["Newsletter"] > lists["Offers"]
    assert dict(answers["pandas"]) == {"subscribed": subscribed, "unsubscribed": unsubscribed}


def test_everybody_who_left_is_found_with_the_import_before(
    answers: dict[str, list[tuple[Any, ...]]],
) -> None:
    """Who left after the first taking; each change is seen once."""
    left = sum(row[2] for row in answers["left"])
    assert left == answers["growth"][-1][2] - answers["growth"][0][2]
    assert all(of_sync == "people" and after_import for *_, after_import, of_sync in answers["left"])


def test_refusals_and_proof_add_up(answers: dict[str, list[tuple[Any, ...]]]) -> None:
    """Reasons have remedies; everybody told is applied or has left."""
    assert all(remedy for *_, remedy in answers["reasons"])
    assert {state for _, state, *_ in answers["proof"]} == {"applied", "unsubscribed"}


def test_the_page_explains_every_line_of_the_launchpad() -> None:
    """With its default."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in ExportConfig.model_fields if f"| `{name}` |" not in page] == []
