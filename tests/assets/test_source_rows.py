"""Extracts: what enters the lake, and what is only counted."""

from pathlib import Path

import duckdb
import pyarrow as pa

from assets.partitions import WHOLE, file_of
from assets.rules.address import hash_addresses
from assets.rules.traces import People
from assets.source_rows import extract
from resources.lake import Lake
from resources.warehouses import connect
from tests.assets.world import KEY, SYNC


def test_rows_of_erased_people_are_counted_but_never_kept(tmp_path: Path) -> None:
    """Whatever the spelling; the rows of everybody else are all there, in their order."""
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        con.execute(
            'create table people(id varchar, email varchar, yes boolean, name varchar, plan varchar, "at" timestamptz)'
        )
        con.execute(
            """insert into people select i, case when i = 7 then ' ERASED@Example.com ' else 'p' || i || '@example.com' end,
            true, 'n', 'free', '2026-01-01' from range(20) t(i)"""
        )
    erased = hash_addresses(pa.array(["erased@example.com"]), KEY.encode()).storage.to_pylist()
    lake, warehouse = Lake(tmp_path / "lake"), connect(f"duckdb:///{tmp_path}/w.duckdb")
    try:
        people = People.of_hashes(erased, key=KEY.encode())
        assert extract(warehouse, lake, SYNC, partition=WHOLE, erased=people) == 20
    finally:
        warehouse.close()
    path = file_of(SYNC, "source_rows", WHOLE)
    kept = [row for batch in lake.read(path, ["id"]) for row in batch["id"].to_pylist()]
    assert kept == [str(number) for number in range(20) if number != 7]
    assert lake.metadata(path)["erased"] == "1"
