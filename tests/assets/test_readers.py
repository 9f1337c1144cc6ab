"""The tables that people read with tools of their own: every tool that docs/exports.md names can read every one of them.

The quick test knows which types of Parquet Spark takes; the proofs ask polars and Spark themselves, where somebody has
installed them (and Java).
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from assets import opt_outs
from assets.account import refresh_knowledge
from assets.drift import find_drift
from assets.export_jobs import Patience
from assets.exports import LATEST, take_export
from tests.assets.world import World, people

OWN = ("source_rows", "accepted_contacts", "pending_contacts", "no_consent", "ledger", "evidence")
"""What the syncs keep for themselves has keyed hashes as UUIDs of 16 bytes: faster, and not for Spark."""
TYPES = {
    *(("BOOLEAN", "NONE"), ("INT32", "NONE"), ("INT32", "DATE"), ("INT64", "NONE"), ("INT64", "TIMESTAMP")),
    *(("DOUBLE", "NONE"), ("BYTE_ARRAY", "STRING"), ("INT64", "INT")),  # unsigned: Spark makes it a decimal
}
ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY"}
FIELDS = (("age", "integer"), ("score", "float"), ("vip", "boolean"), ("born", "date"), ("plan", "text"))
ADA = {
    "first_name": 'O\'Hara "Jo"\r\n🦊',
    "age": 2**53 + 1,
    "score": -1.25e-7,
    "vip": True,
    "born": "1815-12-10",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three takings, the last with a field more, and all that follows from a sync."""
    folder = tmp_path_factory.mktemp("account")
    world = World(folder)
    clock = world.mailtrap.clock
    patience = Patience(clock=clock.time, sleep=clock.sleep)
    fields = [{"name": tag.title(), "merge_tag": tag, "data_type": kind} for tag, kind in FIELDS]
    ada = {"email": "ada@example.com", "fields": ADA, "lists": ["Newsletter", "VIP"]}
    world.mailtrap.seed({"lists": ["Newsletter", "VIP"], "fields": fields, "contacts": [ada]})
    world.mailtrap.turn(export_layout="list_names")
    world.mailtrap.faults.add({"fault": "F-10", "variant": "some"})
    world.wants()
    world.run([*people(30), {**people(1)[0], "id": "x", "email": "nobody"}])
    world.mailtrap.unsubscribe("p1@example.com")
    world.mailtrap.suppress("p2@example.com")
    for late in ([], [], [{"name": "Late", "merge_tag": "late", "data_type": "integer"}]):
        world.mailtrap.advance(86_400.0)
        world.mailtrap.seed({"fields": late})
        take_export(world.client, world.store, patience=patience)
    find_drift(world.client, world.store, world.sync, patience=patience)
    now = datetime.now(UTC) + timedelta(days=2)  # all is read again
    refresh_knowledge(
        world.client, world.store.lake, world.store.journal, key=world.store.key, now=now, patience=patience
    )
    opt_outs.keep(world.store.lake, now=now)
    yield folder / "lake"
    world.close()


def tables(lake: Path) -> list[Path]:
    """All but what is ours alone."""
    found = sorted(lake.rglob("*.parquet"))
    return [each for each in found if each.relative_to(lake).parts[1] not in OWN]


def test_all_tables_for_people_are_there(lake: Path) -> None:
    """Else the tests below prove little."""
    names = {"/".join(each.relative_to(lake).parts[:2]) for each in tables(lake)}
    assert names == {
        *(f"mailtrap/{name}" for name in ("exported_contacts", "suppressions", "unsubscribed", "opt_outs")),
        "people/drift",
        "people/rejections",
    }
    assert [each for each in tables(lake) if not pq.read_metadata(each).num_rows] == []


def test_each_column_has_a_type_that_spark_takes(lake: Path) -> None:
    """No UUID, no nanoseconds, no unsigned number, no time of day; and only encodings that every reader has had for long."""
    for path in tables(lake):
        file = pq.ParquetFile(path)
        for number, column in enumerate(file.schema):
            here = (path.name, column.path)
            assert (column.physical_type, column.logical_type.type) in TYPES, here
            assert "nano" not in str(column.logical_type), here
            written = file.metadata.row_group(0).column(number)
            assert set(written.encodings) <= ENCODINGS and written.compression == "ZSTD", here


def test_pandas_and_arrow_read_the_folder_of_takings_as_one_table(lake: Path) -> None:
    """With the columns of the newest, where that says so."""
    folder = lake / "mailtrap/exported_contacts/versions"
    newest = sorted(folder.iterdir())[-1]
    every = ds.dataset(folder, schema=pq.read_schema(newest)).to_table()
    assert every.num_rows == 3 * pq.read_metadata(newest).num_rows and "late" in every.column_names
    ada = pd.read_parquet(lake / LATEST, dtype_backend="pyarrow").set_index("email").loc["ada@example.com"]
    assert (ada["age"], ada["born"], list(ada["lists"])) == (
        2**53 + 1,
        date(1815, 12, 10),
        ["Newsletter", "VIP"],
    )


def assert_ada(row: Mapping[str, Any]) -> None:
    """Every type has come through."""
    assert {name: row[name] for name in ADA} == {**ADA, "born": date(1815, 12, 10)}
    assert (list(row["lists"]), row["status"], row["plan"]) == (["Newsletter", "VIP"], "subscribed", None)
    assert row["created_at"] is not None


@pytest.mark.proof
def test_polars_reads_every_table(lake: Path) -> None:
    """Lazily, with a predicate that its statistics answer; and the folder of takings at once."""
    pl = pytest.importorskip("polars")
    for path in tables(lake):
        assert pl.scan_parquet(path).collect().height == pq.read_metadata(path).num_rows
    latest = pl.scan_parquet(lake / LATEST)
    assert str(latest.collect_schema()["created_at"]) == "Datetime(time_unit='us', time_zone='UTC')"
    (ada,) = latest.filter(pl.col("age") > 0).collect().to_dicts()
    assert_ada(ada)
    vips = latest.filter(pl.col("lists").list.contains("VIP")).collect()
    assert vips["email"].to_list() == ["ada@example.com"]
    takings = sorted((lake / "mailtrap/exported_contacts/versions").iterdir())
    newest = pl.read_parquet_schema(takings[-1])
    every = pl.scan_parquet(takings, schema=newest, missing_columns="insert", include_file_paths="taking")
    assert (
        every.group_by("taking").len().collect()["len"].to_list()
        == [pq.read_metadata(takings[0]).num_rows] * 3
    )


SPARK = """
import json, sys
from pyspark.sql import SparkSession
make = SparkSession.builder.master("local[1]")
for name, value in (("ui.enabled", "false"), ("driver.bindAddress", "127.0.0.1"), ("driver.host", "127.0.0.1"),
                    ("sql.session.timeZone", "UTC")):
    make = make.config(f"spark.{name}", value)
spark = make.getOrCreate()
latest, folder, *paths = sys.argv[1:]
every = spark.read.option("mergeSchema", "true").parquet(folder)
print(json.dumps({
    "rows": {path: len(spark.read.parquet(path).collect()) for path in paths},
    "ada": [row.asDict() for row in spark.read.parquet(latest).where("age > 0").collect()],
    "every": every.count(), "columns": every.columns,
}, default=str))
spark.stop()
"""


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_spark_reads_every_table(lake: Path) -> None:
    """And the folder of takings as one table, with the columns of all; in a Python of its own, named by PYTHON_OF_SPARK.

    Beside our own packages it cannot be: it asks for an older pandas.
    """
    python = os.environ.get("PYTHON_OF_SPARK", "")
    if not python:
        pytest.skip("PYTHON_OF_SPARK names no Python that has pyspark (and Java)")
    paths, folder = tables(lake), lake / "mailtrap/exported_contacts/versions"
    ran = subprocess.run(
        [python, "-c", SPARK, *map(str, (lake / LATEST, folder, *paths))],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["rows"] == {str(path): pq.read_metadata(path).num_rows for path in paths}
    (ada,) = found["ada"]
    assert_ada({**ada, "born": date.fromisoformat(ada["born"])})
    assert found["every"] == 3 * pq.read_metadata(lake / LATEST).num_rows and "late" in found["columns"]
