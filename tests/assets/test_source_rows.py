"""Extracts: what enters the lake, and what is only counted."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from assets.partitions import WHOLE, file_of
from assets.rules.address import hash_addresses
from assets.rules.sync import BucketPartition
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


def test_all_rows_of_a_person_are_in_one_bucket_however_they_are_spelt(tmp_path: Path) -> None:
    """A no as `Ann <ann@example.com>` has to meet the yes of ann@example.com; and every row is in one bucket, once."""
    spellings = [
        "{}@example.com",
        "Ann <{}@EXAMPLE.com>",
        "mailto:{}@example.com",
        "{}@example.com.",
        "{}@\u200bexample.com",
    ]
    people = {f"{who}-{way}": text.format(who) for who in "abcdefghij" for way, text in enumerate(spellings)}
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        con.execute(
            'create table people(id varchar, email varchar, yes boolean, name varchar, plan varchar, "at" timestamptz)'
        )
        con.executemany(
            "insert into people values (?, ?, true, 'n', 'free', '2026-01-01')", list(people.items())
        )
    count = 3
    sync = replace(SYNC, source=replace(SYNC.source, partition=BucketPartition(count)))
    lake, warehouse = Lake(tmp_path / "lake"), connect(f"duckdb:///{tmp_path}/w.duckdb")
    try:
        read = [extract(warehouse, lake, sync, partition=str(number)) for number in range(count)]
    finally:
        warehouse.close()
    buckets = [
        [row for batch in lake.read(file_of(sync, "source_rows", str(number)), ["id"]) for row in batch["id"].to_pylist()]
        for number in range(count)
    ]  # fmt: skip
    assert [len(each) for each in buckets] == read and min(read)
    assert sorted(row for rows in buckets for row in rows) == sorted(people)
    assert all(len({row[0] for row in rows}) * len(spellings) == len(rows) for rows in buckets)
