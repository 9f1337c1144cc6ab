"""Files: every way to write a CSV, every way to break one, folders, compression, and files that change."""

import bz2
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Bucket, Days, Files, Window, connect
from resources.warehouses.file_formats import BYTES_PER_BLOCK, DefaultDialect

Rows = list[dict[str, object]]


def write(folder: Path, name: str, content: bytes) -> Path:
    """A file in a folder that may not exist yet."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows_of(folder: Path, relation: Files, *columns: str, window: Window | None = None) -> Rows:
    """All rows; of all columns when none is named."""
    warehouse = connect(f"files://{folder}")
    names = columns or warehouse.columns(relation).names
    with warehouse.read(relation, columns=names, window=window) as batches:
        return [row for batch in batches for row in batch.to_pylist()]


GOOD: dict[str, tuple[bytes, DefaultDialect | None, Rows]] = {
    "as RFC 4180": (b'id,email\r\n1,"a""b"\r\n', None, [{"id": "1", "email": 'a"b'}]),
    "byte-order mark": (b"\xef\xbb\xbfid,email\n1,a\n", None, [{"id": "1", "email": "a"}]),
    "newline in quotes": (
        b'id,email\n1,"a\r\nb"\n2,c',
        None,
        [{"id": "1", "email": "a\r\nb"}, {"id": "2", "email": "c"}],
    ),
    "missing is not empty": (
        b'id,email\n1,\n2,""\n',
        None,
        [{"id": "1", "email": None}, {"id": "2", "email": ""}],
    ),
    "nothing is guessed": (b"id,email\n007,1e5\n", None, [{"id": "007", "email": "1e5"}]),
    "header only": (b"id,email\n", None, []),
    "blank lines": (b"id,email\n\n1,a\n\n", None, [{"id": "1", "email": "a"}]),
    "semicolons": (b"id;email\n1;a,b\n", DefaultDialect(delimiter=";"), [{"id": "1", "email": "a,b"}]),
    "no quotes": (b'id,email\n1,"a\n', DefaultDialect(quote=None), [{"id": "1", "email": '"a'}]),
    "escaped quotes": (b'id,email\n1,"a\\"b"\n', DefaultDialect(escape="\\"), [{"id": "1", "email": 'a"b'}]),
    "latin-1": (
        "id,email\n1,é\n".encode("latin-1"),
        DefaultDialect(encoding="latin-1"),
        [{"id": "1", "email": "é"}],
    ),
    "utf-16": (
        "id,email\n1,é€😀\n".encode("utf-16"),
        DefaultDialect(encoding="utf-16"),
        [{"id": "1", "email": "é€😀"}],
    ),
    "mapped header": (
        b"No,E-Mail\n1,a\n",
        DefaultDialect(columns=(("No", "id"), ("E-Mail", "email"))),
        [{"id": "1", "email": "a"}],
    ),
    "no header": (
        b"1,a\n",
        DefaultDialect(header=False, columns=(("", "id"), ("", "email"))),
        [{"id": "1", "email": "a"}],
    ),
    "empty without header": (b"", DefaultDialect(header=False, columns=(("", "id"),)), []),
    "own nulls": (
        b"id,email\nNULL,N/A\n",
        DefaultDialect(null_values=("NULL", "N/A")),
        [{"id": None, "email": None}],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_declared_dialect_is_understood(tmp_path: Path, name: str) -> None:
    """Every column is text, as it stands in the file."""
    content, dialect, expected = GOOD[name]
    write(tmp_path, "people.csv", content)
    assert rows_of(tmp_path, Files("people.csv", dialect)) == expected


BAD: dict[str, tuple[bytes, DefaultDialect | None, str, str]] = {
    "too many fields": (
        b'id,email\n1,a\n2,"b\nc"\n\n3,ada@example.com,x\n',
        None,
        "Line 6 .* 3 fields instead of 2",
        "data",
    ),
    "too few fields": (b"id,email\n1,a\nada@example.com\n", None, "Line 3 .* 1 fields instead of 2", "data"),
    "unclosed quote": (b'id,email\n1,a\n2,"ada@example.com\n3,c\n', None, "Line 3 .* never closed", "data"),
    "wrong encoding": (b"id,email\n1,ad\xe9@example.com\n", None, "not written in utf-8", "data"),
    "wrong declared encoding": (
        b"id,email\n1,\xff\xff\xff\n",
        DefaultDialect(encoding="utf-16"),
        "not written in utf-16|cannot be read",
        "data",
    ),
    "empty": (b"", None, "empty", "data"),
    "one name twice": (b"id,id\n1,2\n", None, "More than one column of people.csv is named id", "config"),
    "mapping to nothing": (
        b"id,email\n",
        DefaultDialect(columns=(("Email", "mail"),)),
        "no column Email. Nearest: email",
        "config",
    ),
    "endless row": (b'id,email\n1,"' + b"a\n" * BYTES_PER_BLOCK, None, "unclosed quote", "data"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_refused_with_its_line_and_without_its_content(tmp_path: Path, name: str) -> None:
    """One row too wide, and nobody knows which value belongs to which column."""
    content, dialect, words, outcome = BAD[name]
    write(tmp_path, "people.csv", content)
    with pytest.raises(WarehouseError, match=words) as caught:
        rows_of(tmp_path, Files("people.csv", dialect))
    assert caught.value.outcome == outcome and "ada@" not in str(caught.value)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: bytes(pa.compress(content, codec="zstd", asbytes=True)),
}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed_files_are_read_and_cut_ones_are_refused(tmp_path: Path, suffix: str) -> None:
    """A download that stopped half-way is not a short table."""
    content = b"id,email\n" + b"".join(b"%d,a%d@example.com\n" % (at, at * at) for at in range(20_000))
    packed = COMPRESSIONS[suffix](content)
    write(tmp_path, f"whole.csv{suffix}", packed)
    write(tmp_path, f"cut.csv{suffix}", packed[: len(packed) // 2])
    assert len(rows_of(tmp_path, Files(f"whole.csv{suffix}"), "id")) == 20_000
    with pytest.raises(WarehouseError) as caught:
        rows_of(tmp_path, Files(f"cut.csv{suffix}"), "id")
    assert caught.value.outcome == "data"


def test_folders_give_columns_and_patterns_choose(tmp_path: Path) -> None:
    """Partitioned exports are one relation; order of columns may differ from file to file."""
    write(tmp_path, "out/country=de/a.csv", b"id,email\n1,a\n")
    write(tmp_path, "out/country=fr%20x/b.csv.gz", gzip.compress(b"email,id\nb,2\n"))
    write(tmp_path, "out/country=__HIVE_DEFAULT_PARTITION__/c.csv", b"id,email\n3,c\n")
    write(tmp_path, "out/_SUCCESS", b"")
    found = rows_of(tmp_path, Files("out"), "id", "country")
    assert sorted(found, key=str) == [
        {"id": "1", "country": "de"},
        {"id": "2", "country": "fr x"},
        {"id": "3", "country": None},
    ]
    assert rows_of(tmp_path, Files("out/**/*.gz"), "ID") == [{"ID": "2"}]
    assert rows_of(tmp_path, Files(f"file://{tmp_path}/out/*/a.csv"), "id") == [{"id": "1"}]


def test_a_file_without_the_column_is_named(tmp_path: Path) -> None:
    """One odd export among many is found by its name."""
    write(tmp_path, "1.csv", b"id,email\n1,a\n")
    write(tmp_path, "2.csv", b"id,mail\n2,b\n")
    with pytest.raises(WarehouseError, match=r"2\.csv has no column email"):
        rows_of(tmp_path, Files("*.csv"), "email")


def test_json_lines_are_text_by_key(tmp_path: Path) -> None:
    """Keys may be missing in an object or a whole file; digits and nested JSON stay as they are."""
    lines = b'{"id": 12345678901234567890, "tags": ["a"], "ok": true}\r\n\n{"email": "a,\\"b", "id": null}\n'
    write(tmp_path, "1.jsonl", lines)
    write(tmp_path, "2.jsonl.gz", gzip.compress(b'{"id": 2}'))
    assert rows_of(tmp_path, Files("*.jsonl*"), "id", "tags", "ok", "email") == [
        {"id": "12345678901234567890", "tags": '["a"]', "ok": "true", "email": None},
        {"id": None, "tags": None, "ok": None, "email": 'a,"b'},
        {"id": "2", "tags": None, "ok": None, "email": None},
    ]
    with pytest.raises(WarehouseError, match="Nearest: email"):
        rows_of(tmp_path, Files("*.jsonl*"), "emial")


@pytest.mark.parametrize("line", [b'{"email": "ada@example.com"', b'["ada@example.com"]', b"ada@example.com"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: bytes) -> None:
    """By its number, not by what it says."""
    write(tmp_path, "people.jsonl", b'{"email": "a"}\n\n' + line + b"\n")
    with pytest.raises(WarehouseError, match=r"Line 3 of people\.jsonl is not a JSON object") as caught:
        rows_of(tmp_path, Files("people.jsonl"))
    assert caught.value.outcome == "data" and "ada" not in str(caught.value)


def test_a_day_of_a_csv_is_cut_by_what_the_text_says(tmp_path: Path) -> None:
    """Text that is a moment can be a window; text that is none is an error, not a row that vanishes."""
    write(
        tmp_path,
        "good.csv",
        b"id,moved\n1,2026-01-01\n2,2026-01-02T10:00:00Z\n3,\n4,2026-01-03 00:30:00+01\n",
    )
    write(tmp_path, "bad.csv", b"id,moved\n1,01/02/2026\n")
    window = Days("moved", datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    assert rows_of(tmp_path, Files("good.csv"), "id", window=window) == [{"id": "2"}, {"id": "4"}]
    with pytest.raises(WarehouseError) as caught:
        rows_of(tmp_path, Files("bad.csv"), "id", window=window)
    assert caught.value.outcome == "data"


def test_a_file_that_changes_is_not_read_as_two_halves(tmp_path: Path) -> None:
    """One state of the files for one run, or an error that a later run mends."""
    path = write(tmp_path, "people.csv", b"id,email\n1,a\n")
    warehouse = connect(f"files://{tmp_path}")
    with warehouse.read(Files("people.csv"), columns=["id"]) as batches:
        assert len(list(batches)) == 1
    path.write_bytes(b"id,email\n1,a\n2,b\n")
    with (
        pytest.raises(WarehouseError, match="changed while") as caught,
        warehouse.read(Files("people.csv"), columns=["id"]) as batches,
    ):
        list(batches)
    assert caught.value.outcome == "transient"


def test_parquet_types_become_plain_and_a_struct_is_refused(tmp_path: Path) -> None:
    """Only the columns that are asked for must be readable."""
    table = pa.table(
        {
            "id": pa.array([1], pa.uint64()),
            "price": pa.array([1], pa.int64()).cast(pa.decimal128(30, 2)),
            "key": pa.array([b"1" * 16], pa.uuid()),
            "kind": pa.array(["a"]).dictionary_encode(),
            "tags": [[1, 2]],
            "nothing": pa.nulls(1),
            "nested": [{"a": 1}],
        }
    )
    pq.write_table(table, tmp_path / "people.parquet")
    assert connect(f"files://{tmp_path}").count(Files("people.parquet")) == 1
    names = [name for name in table.schema.names if name != "nested"]
    assert rows_of(tmp_path, Files("people.parquet"), *names) == [
        {
            "id": "1",
            "price": "1.00",
            "key": "31313131-3131-3131-3131-313131313131",
            "kind": "a",
            "tags": ["1", "2"],
            "nothing": None,
        }
    ]
    with pytest.raises(WarehouseError, match="nested holds struct"):
        rows_of(tmp_path, Files("people.parquet"), "nested")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("people.xlsx", "no format"),
        ("missing-*.csv", "No file fits"),
        ("broken.parquet", "damaged"),
        ("nowhere://bucket/x.csv", "can open"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, pattern: str, words: str) -> None:
    """In the words of the person who named it."""
    write(tmp_path, "people.xlsx", b"x")
    write(tmp_path, "broken.parquet", b"no parquet at all")
    with pytest.raises(WarehouseError, match=words) as caught:
        rows_of(tmp_path, Files(pattern))
    assert caught.value.remedy


def test_a_parquet_file_with_a_name_twice_says_which(tmp_path: Path) -> None:
    """Nobody knows which of the two is the consent."""
    twins = pa.table([pa.array([True]), pa.array([False])], names=["agreed", "agreed"])
    pq.write_table(twins, tmp_path / "people.parquet")
    warehouse = connect(f"files://{tmp_path}")
    with (
        pytest.raises(WarehouseError, match=r"More than one column of people\.parquet is named agreed"),
        warehouse.read(Files("people.parquet"), columns=["agreed"]),
    ):
        pass


def test_reading_files_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    """As a statement in a database; the time of whoever takes the rows does not count."""
    write(tmp_path, "a.csv", b"id\n1\n2\n")
    with (
        pytest.raises(WarehouseError, match="did not finish the statement within 1e-09 seconds") as caught,
        connect(f"files:{tmp_path}", statement_timeout_seconds=1e-9).read(
            Files("a.csv"), columns=["id"]
        ) as batches,
    ):
        list(batches)
    assert caught.value.outcome == "transient"


HOSTILE = ['x"; DROP TABLE batch; --', "x'; SELECT 1; --", "{column}", "$.a.b", "/~0", "*", "a`b", "%(x)s"]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_odd_names_of_columns_are_only_names(tmp_path: Path, suffix: str) -> None:
    """In every format, as what is read and as what a window cuts by, and as folders' columns."""
    values = {name: ["2026-01-01", "2026-01-02"] for name in HOSTILE}
    table = pa.table(values)
    if suffix == "parquet":
        pq.write_table(table, tmp_path / "a.parquet")
    elif suffix == "csv":
        pacsv.write_csv(table, tmp_path / "a.csv")
    else:
        (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    warehouse, relation = connect(f"files:{tmp_path}"), Files(f"a.{suffix}")
    assert set(warehouse.columns(relation).names) == set(HOSTILE)
    for name in HOSTILE:
        day = Days(name, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
        for window in (day, Bucket(name, 0, 1)):
            with warehouse.read(relation, columns=HOSTILE, window=window) as batches:
                rows = [row for batch in batches for row in batch.to_pylist()]
            assert rows == table.to_pylist()[: 1 if window is day else 2]


def test_a_row_is_never_shown_as_names_of_columns(tmp_path: Path) -> None:
    """A file that lost its header has a person in its first line; messages go to logs and to Dagster."""
    (tmp_path / "people.csv").write_text("17,ada@example.com,Ada Lovelace\n18,bob@example.com,Bob\n")
    warehouse = connect(f"files://{tmp_path}")
    for attempt in (
        lambda: warehouse.columns(Files("people.csv")),
        lambda: warehouse.read(Files("people.csv"), columns=["email"]).__enter__(),
    ):
        with pytest.raises(WarehouseError, match="is no header") as refused:
            attempt()
        assert "ada" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,email\n1,ada@example.com\n".encode("utf-16"), "not written in utf-8"),
        (
            b'id,email\n1,a@example.com\n2,"b@example.com\n3,c@example.com,x\n4,d@example.com\n',
            "quote|cannot be read",
        ),
    ],
)
def test_a_file_that_cannot_be_searched_for_its_broken_line_is_told_in_our_words(
    tmp_path: Path, content: bytes, words: str
) -> None:
    """Looking for the line must not fail in a way that we do not know."""
    (tmp_path / "people.csv").write_bytes(content)
    warehouse = connect(f"files://{tmp_path}")
    with (
        pytest.raises(WarehouseError, match=words) as refused,
        warehouse.read(Files("people.csv"), columns=["email"]) as batches,
    ):
        list(batches)
    assert refused.value.outcome == "data"
