"""An upstream asset can be the source of a sync: by its IO manager, or by the files that it names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.rules.sync import Sync
from assets.rules.sync_file import parse_sync
from assets.source_rows import source_rows
from assets.upstream import place_in, rows_of
from resources.errors import WarehouseError
from resources.store.settings import StoreResource
from resources.warehouses import Table

PAGE = (Path(__file__).parents[2] / "docs" / "warehouses.md").read_text()
SECTION = PAGE.partition("## Rows of an upstream asset")[2].partition("\n## ")[0]
KEY = dg.AssetKey(["marts", "loyal_customers"])
PEOPLE = pa.table(
    {
        "customer_id": list(range(40)),
        "email": [f"person{number}@x.org" for number in range(40)],
        "agreed": [True] * 40,
        "given_name": ["Ada"] * 40,
        "updated_at": pa.array([f"2026-01-0{1 + number % 4}" for number in range(40)]).cast(
            pa.timestamp("us")
        ),
        "diagnosis": ["private"] * 40,
    }
)


def block(language: str) -> str:
    """What the page shows in this language."""
    found = re.search(rf"```{language}\n(.*?)```", SECTION, re.S)
    assert found
    return found[1]


def sync_of(partition: str = "") -> Sync:
    """The page's sync, perhaps with partitions."""
    text = block("yaml").replace("updated_at: updated_at}", f"updated_at: updated_at{partition}}}")
    return parse_sync(text, path="loyal.yaml")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster with nothing in it."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def pulled(
    instance: dg.DagsterInstance,
    folder: Path,
    *upstream: Any,
    sync: Sync | None = None,
    partition: str | None = None,
) -> list[dict[str, Any]]:
    """The rows that source_rows brought into the lake, run alone; `upstream` is only known."""
    chosen = sync or sync_of()
    definitions = dg.Definitions(
        assets=[*upstream, source_rows(chosen, owners=["team:data"])],
        jobs=[dg.define_asset_job("pull", selection=["loyal/source_rows"])],
        resources={"store": StoreResource(home=str(folder / "home"))},
    )
    job = definitions.resolve_job_def("pull")
    assert job.execute_in_process(instance=instance, partition_key=partition).success
    path = folder / "home" / "lake" / "loyal" / "source_rows" / f"{partition or 'all'}.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def made(instance: dg.DagsterInstance, metadata: Mapping[str, Any], partition: str | None = None) -> None:
    """Somebody, somewhere, reports that the asset was materialized."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(KEY, metadata=dict(metadata), partition=partition)
    )


def test_the_page_s_frame_becomes_source_rows(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """An ordinary asset that returns a DataFrame, loaded through Dagster's own IO manager; only named columns are kept."""
    page = ModuleType("page")
    exec(block("python"), vars(page))  # the page's own example
    dg.materialize([page.loyal_customers], instance=instance)
    found = pulled(instance, tmp_path, page.loyal_customers)
    assert [row["email"] for row in found] == ["ada@example.org", "grace@example.org", "alan@example.org"]
    assert set(found[0]) == {"customer_id", "updated_at", "email", "agreed", "given_name"}


def test_an_asset_elsewhere_is_read_by_the_file_that_it_names(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Nothing but its key is known here; the newest materialization counts."""
    pq.write_table(PEOPLE.slice(0, 1), tmp_path / "old.parquet")
    pq.write_table(PEOPLE, tmp_path / "new.parquet")
    made(instance, {"dagster/uri": dg.MetadataValue.url(f"file://{tmp_path}/old.parquet")})
    made(instance, {"path": dg.MetadataValue.path(tmp_path / "new.parquet")})
    assert len(pulled(instance, tmp_path)) == len(PEOPLE)


def test_partitions_of_the_sync_cut_the_asset_s_rows(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Days and buckets, of a file and of a frame: each row once."""
    pq.write_table(PEOPLE, tmp_path / "people.parquet")
    made(instance, {"path": str(tmp_path / "people.parquet")})
    daily = sync_of(", partition: {by: day, start: 2026-01-01}")
    found = pulled(instance, tmp_path, sync=daily, partition="2026-01-03")
    assert sorted(row["customer_id"] for row in found) == list(range(2, 40, 4))
    buckets = sync_of(", partition: {by: bucket, count: 2}")

    @dg.asset(key=KEY)
    def loyal_customers() -> pd.DataFrame:
        return PEOPLE.to_pandas()

    dg.materialize([loyal_customers], instance=instance)
    halves = [
        pulled(instance, tmp_path, loyal_customers, sync=buckets, partition=each) for each in ("0", "1")
    ]
    assert sorted(row["customer_id"] for half in halves for row in half) == list(range(40))
    assert all(halves)


def test_all_partitions_of_the_asset_are_read(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Frames by its IO manager, and a file for the day that was written by somebody else."""
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")

    @dg.asset(key=KEY, partitions_def=days)
    def loyal_customers(context: dg.AssetExecutionContext) -> pd.DataFrame:
        first = int(context.partition_key[-1]) - 1
        return PEOPLE.slice(first * 10, 10).to_pandas()

    for day in ("2026-01-01", "2026-01-02"):
        dg.materialize([loyal_customers], instance=instance, partition_key=day)
    pq.write_table(PEOPLE.slice(20, 10), tmp_path / "third.parquet")
    made(instance, {"path": str(tmp_path / "third.parquet")}, partition="2026-01-03")
    found = pulled(instance, tmp_path, loyal_customers)
    assert [row["customer_id"] for row in found] == list(range(30))


def test_asset_and_sync_can_be_made_in_one_run(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The sync waits for the asset, and reads what it has just made."""

    @dg.asset(key=KEY)
    def loyal_customers() -> pa.Table:
        return PEOPLE.slice(0, 7)

    result = dg.materialize(
        [loyal_customers, source_rows(sync_of(), owners=["team:data"])],
        instance=instance,
        resources={"store": StoreResource(home=str(tmp_path / "home"))},
    )
    (event,) = result.asset_materializations_for_node("loyal__source_rows")
    assert event.metadata["dagster/row_count"].value == 7


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({"dagster/uri": "s3://marts/people"}, "s3://marts/people"),
        ({"dagster/uri": "gs://marts/people/", "path": "/data/x.parquet"}, "gs://marts/people/"),
        ({"path": "/exports/people.csv.gz"}, "/exports/people.csv.gz"),
        ({"path": "/dagster/storage/marts/people"}, None),
        ({"path": "/dagster/storage/people.pickle"}, None),
        ({"dagster/uri": "postgresql://host/database"}, None),
        ({"dagster/uri": "snowflake://account/db/people.parquet"}, None),
        ({"path": 7}, None),
        ({}, None),
    ],
)
def test_only_files_that_can_be_read_are_taken_for_the_rows(
    metadata: Mapping[str, Any], place: str | None
) -> None:
    """Dagster's own pickles, and tables of a database, are left to the IO manager."""
    found = dg.AssetMaterialization(KEY, metadata=dict(metadata)).metadata
    assert place_in(found) == place


def test_an_asset_that_was_never_made_is_said_to_be_so(instance: dg.DagsterInstance) -> None:
    """Not that a file of Dagster's own is missing."""
    assert "has never been materialized" in refused(instance)


def test_a_value_that_cannot_be_loaded_is_said_without_its_words(instance: dg.DagsterInstance) -> None:
    """What an IO manager says may quote a row."""
    made(instance, {"rows": 3})
    words = refused(instance)
    assert "cannot be loaded (ValueError)" in words and "dagster/uri" in words
    assert "secret" not in words


def refused(instance: dg.DagsterInstance) -> str:
    """The complaint about an asset whose IO manager fails."""

    def load(_partition: str | None) -> object:
        raise ValueError("secret@x.org")

    with pytest.raises(WarehouseError) as caught:
        rows_of(KEY.path, instance=instance, load=load).columns(Table("marts/loyal_customers"))
    assert caught.value.__cause__ is None
    return str(caught.value)
