"""Frames and paths that somebody hands us are read like any other warehouse."""

import datetime as dt
import decimal
import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Table
from resources.warehouses.frames import FramesWarehouse, Part

TABLE = Table("marts/people")


def frames(*values: object) -> FramesWarehouse:
    """A warehouse of these values, each a part."""
    return FramesWarehouse(
        TABLE.name, [Part(f"part {at}", lambda each=each: each) for at, each in enumerate(values)]
    )


def read(warehouse: FramesWarehouse, *columns: str) -> list[tuple[object, ...]]:
    """All rows of these columns."""
    with warehouse.read(TABLE, columns=columns) as batches:
        return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


@dataclass(frozen=True)
class Stream:
    """Like a frame of polars or DuckDB: it hands out Arrow's C stream, and nothing else of it is known."""

    table: pa.Table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Arrow's own interface."""
        return self.table.__arrow_c_stream__(requested_schema)


@dataclass(frozen=True)
class Lazy:
    """Like a lazy frame of polars."""

    table: pa.Table

    def collect(self) -> Stream:
        """The frame itself."""
        return Stream(self.table)


def as_parquet(table: pa.Table, folder: Path) -> Path:
    """The path of a file with it."""
    pq.write_table(table, folder / "people.parquet")
    return folder / "people.parquet"


@pytest.mark.parametrize(
    "made",
    [
        lambda table, _: table,
        lambda table, _: table.to_pandas(),
        lambda table, _: table.to_pandas(types_mapper=pd.ArrowDtype),
        lambda table, _: table.to_pandas().set_index("id"),
        lambda table, _: Stream(table.cast(pa.schema([("id", pa.int32()), ("email", pa.string_view())]))),
        lambda table, _: Lazy(table),
        as_parquet,
        lambda table, folder: str(as_parquet(table, folder)),
    ],
    ids=["arrow", "pandas", "pandas on arrow", "a named index", "c stream", "lazy", "path", "path as text"],
)
def test_whatever_is_a_table_gives_its_rows(made: Callable[[pa.Table, Path], object], tmp_path: Path) -> None:
    """And nobody need say which kind it is."""
    table = pa.table({"id": [1, 2, None], "email": ["a@x.org", None, "c@x.org"]})
    if made.__code__.co_names and "set_index" in made.__code__.co_names:
        table = table.slice(0, 2)
    found = read(frames(made(table, tmp_path)), "email", "id")
    assert found == [(row["email"], row["id"]) for row in table.to_pylist()]


def test_values_of_a_frame_arrive_in_plain_types() -> None:
    """As from a database: exact numbers stay exact, dates are dates, categories are text."""
    frame = pd.DataFrame(
        {
            "price": [decimal.Decimal("12.50"), None],
            "born": [dt.date(2000, 1, 2), None],
            "seen": pd.to_datetime(["2026-01-01T00:00:00+02:00", None], utc=True),
            "plan": pd.Categorical(["pro", None]),
            "lists": [["A", "B"], None],
            "agreed": [True, None],
        }
    )
    first, second = read(frames(frame), *frame.columns)
    moment = dt.datetime(2025, 12, 31, 22, tzinfo=dt.UTC)
    assert first == ("12.50", dt.date(2000, 1, 2), moment, "pro", ["A", "B"], True)
    assert second == (None,) * 6


def test_the_categories_of_polars_arrive_as_text() -> None:
    """They are a dictionary of string views, which Arrow itself cannot decode."""
    codes = pa.array([1, 0, None], pa.uint32())
    plans = pa.DictionaryArray.from_arrays(codes, pa.array(["free", "pro"], pa.string_view()))
    assert read(frames(pa.table({"plan": plans})), "plan") == [("pro",), ("free",), (None,)]


def test_parts_have_the_types_of_the_first() -> None:
    """A day without an age makes floats of pandas' integers; they become integers again."""
    found = read(frames(pd.DataFrame({"age": [30]}), pd.DataFrame({"age": [31.0, float("nan")]})), "age")
    assert found == [(30,), (31,), (None,)]


def test_one_part_is_held_at_a_time() -> None:
    """The memory of a partitioned asset is that of its largest partition."""
    alive: list[weakref.ref[pd.DataFrame]] = []

    def load() -> pd.DataFrame:
        gc.collect()
        assert not [each for each in alive if each() is not None]
        frame = pd.DataFrame({"id": [len(alive)]})
        alive.append(weakref.ref(frame))
        return frame

    warehouse = FramesWarehouse(TABLE.name, [Part(str(at), load) for at in range(4)])
    assert read(warehouse, "id") == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pd.DataFrame({"email": ["secret@x.org", 1]}), "Column email of asset marts/people .part 0. holds values of more"),
        (pd.DataFrame([[1, "secret@x.org"]], columns=["email", "email"]), "More than one column .* is named email"),
        (pd.DataFrame({"e_mail": ["secret@x.org"]}), "Asset marts/people .part 0. has no column email. Nearest: e_mail"),
        ({"email": ["secret@x.org"]} and ["secret@x.org"], "gives is not a table .list."),
        (None, "gives is not a table .NoneType."),
        ("no/such.parquet", "No file fits no/such.parquet"),
    ],
    ids=["mixed", "twice", "missing", "a list", "nothing", "no file"],
)  # fmt: skip
def test_what_cannot_be_read_is_said_without_a_value(value: object, words: str) -> None:
    """In the user's terms: the asset and the column."""
    with pytest.raises(WarehouseError, match=words) as caught:
        read(frames(value), "email")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
