"""The warehouse's side of the graph."""

import dagster as dg
import pytest

from assets.rules.sync import Sync
from assets.rules.sync_file import parse_sync
from assets.warehouse_tables import key_of, warehouse_tables


def a_sync(name: str, source: str) -> Sync:
    """A sync with this source."""
    text = f"sync: {name}\nsource: {source}\nemail: email\nconsent: {{granted: yes_please}}\n"
    return parse_sync(text + "lists: {include: [News]}\n", path=f"{name}.yaml")


@pytest.mark.parametrize(
    ("source", "key"),
    [
        pytest.param("{table: marts.people}", "warehouse/marts/people", id="table"),
        pytest.param("{query: select 1}", "warehouse/news_query", id="query"),
        pytest.param("{file: people/*.parquet}", "warehouse/news_files", id="files"),
    ],
)
def test_the_graph_starts_with_what_the_warehouse_has(source: str, key: str) -> None:
    """A table has its own name; a query and files are named after their sync."""
    sync = a_sync("news", source)
    (spec,) = warehouse_tables([sync])
    assert spec.key == key_of(sync) == dg.AssetKey(key.split("/"))
    assert "`email`: The address." in (spec.description or "")


def test_two_syncs_of_one_table_share_its_place() -> None:
    """One asset, with the columns that each of them reads."""
    (spec,) = warehouse_tables([a_sync("one", "{table: people}"), a_sync("two", "{table: people}")])
    assert "**one**" in (spec.description or "")
    assert "**two**" in (spec.description or "")
