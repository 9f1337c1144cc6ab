"""The lake: files whole or not at all, private, never outside of it."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from resources.errors import LakeError, SettingsError
from resources.lake import Lake

SCHEMA = pa.schema([("who", pa.uuid()), ("n", pa.int64())])


def rows(start: int, count: int) -> pa.Table:
    """Rows with a running number."""
    hashes = [number.to_bytes(16, "big") for number in range(start, start + count)]
    return pa.table({"who": pa.array(hashes, pa.uuid()), "n": range(start, start + count)}, SCHEMA)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake in a folder."""
    return Lake(tmp_path / "lake")


def test_what_was_written_is_read_in_batches_and_slices(lake: Lake) -> None:
    """Over the borders of row groups, in order."""
    with lake.writer("s/t/x.parquet", SCHEMA, rows_per_group=10) as sink:
        for start in range(0, 35, 7):
            sink.write(rows(start, 7))
        sink.note("facts", "35")
    assert lake.rows("s/t/x.parquet") == 35
    assert lake.metadata("s/t/x.parquet")["facts"] == "35"
    assert pa.Table.from_batches(lake.read("s/t/x.parquet", ["n"], rows_per_batch=4))[
        "n"
    ].to_pylist() == list(range(35))
    assert lake.read_slice("s/t/x.parquet", first=8, rows=15)["n"].to_pylist() == list(range(8, 23))
    assert lake.read_slice("s/t/x.parquet", ["n"], first=35, rows=1).num_rows == 0


def test_a_store_that_shows_what_is_only_begun_is_given_small_files_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Azure does: what is opened under its name is there at once, and empty. At S3 it is there when it is closed."""
    lake = Lake(tmp_path / "lake")
    lake._fs, lake._base, lake.is_local = pafs._MockFileSystem(), "bucket", False
    lake._fs.create_dir("bucket/t", recursive=True)
    opened: list[str] = []
    create = lake._create
    monkeypatch.setattr(lake, "_create", lambda path: opened.append(path) or create(path))
    with lake.writer("t/x.parquet", SCHEMA, small=True) as sink:
        sink.write(rows(0, 5))
        assert not lake.exists("t/x.parquet")
    assert lake.list() == ["t/x.parquet"] and lake.rows("t/x.parquet") == 5
    assert len(opened) == 1 and ".partial-" in opened[0]


def test_slices_are_the_rows_that_were_asked_for(lake: Lake) -> None:
    """Whatever they share with one another and with row groups, in any order, also beyond the end."""
    with lake.writer("x.parquet", SCHEMA, rows_per_group=10) as sink:
        sink.write(rows(0, 35))
    slices = [(0, 10), (10, 5), (15, 5), (8, 24), (34, 9), (35, 1), (3, 0), (0, 35), (2, 2)]
    found = list(lake.read_slices("x.parquet", ["n"], slices))
    assert [each["n"].to_pylist() for each in found] == [
        list(range(35))[first : first + count] for first, count in slices
    ]
    assert lake.read_slice("x.parquet", first=30, rows=9).schema == SCHEMA


def test_slices_of_one_file_read_its_footer_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The footer of a file of many row groups takes longer to read than one of them."""
    with lake.writer("x.parquet", SCHEMA, rows_per_group=10) as sink:
        sink.write(rows(0, 35))
    given: list[object] = []
    opened = pq.ParquetFile

    def counted(*source: Any, metadata: object = None, **more: Any) -> pq.ParquetFile:
        given.append(metadata)
        return opened(*source, metadata=metadata, **more)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    for first in range(35):
        assert lake.read_slice("x.parquet", ["n"], first=first, rows=1)["n"].to_pylist() == [first]
    assert given.count(None) == 1


def test_a_file_is_not_read_by_the_footer_of_another(lake: Lake) -> None:
    """A step that is done again writes under the same name, maybe as many bytes; another name may be as old."""
    for path, groups, written in (
        ("x.parquet", (10, 30), 1),
        ("y.parquet", (30, 10), 1),
        ("y.parquet", (10, 30), 2),
    ):
        with lake.writer(path, SCHEMA, compression="none", dictionary=False) as sink:
            sink.write(rows(0, groups[0]))
            sink.write(rows(groups[0], groups[1]))
        os.utime(Path(lake.root, path), (written, written))
        assert lake.size(path) == lake.size("x.parquet")
        assert lake.read_slice(path, ["n"], first=5, rows=30)["n"].to_pylist() == list(range(5, 35))
    lake.delete("y.parquet")
    with pytest.raises(LakeError, match="no file"):
        lake.read_slice("y.parquet", ["n"], first=7, rows=9)


def test_a_slice_takes_no_more_memory_than_it_holds(lake: Lake) -> None:
    """Several payloads are read at a time: what each takes beyond its rows counts as often."""
    texts = pa.schema([("text", pa.string())])
    with lake.writer("x.parquet", texts, rows_per_group=50_000, dictionary=False) as sink:
        sink.write(pa.table({"text": ["x" * 200] * 50_000}, texts))
    read = f"""
import pyarrow as pa
from resources.lake import Lake
held = Lake({lake.root!r}).read_slice("x.parquet", first=0, rows=50_000)
print(held.nbytes, pa.default_memory_pool().max_memory())
"""
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    held, most = map(int, done.stdout.split())
    assert held > 10_000_000
    assert most < 1.3 * held


@pytest.mark.parametrize(
    ("whole_groups", "groups"),
    [(True, [5, 5, 5, 5, 2]), (False, [3, 1, 5, 5, 2, 5, 1])],
    ids=["a payload is read without its neighbours", "what was sorted together stays together"],
)
def test_row_groups(lake: Lake, whole_groups: bool, groups: list[int]) -> None:
    """However many rows came at a time, they are all there, in order."""
    with lake.writer("x.parquet", SCHEMA, rows_per_group=5, whole_groups=whole_groups) as sink:
        for first, last in ((0, 3), (3, 4), (4, 16), (16, 22)):
            sink.write(rows(first, last - first))
        assert sink.rows == 22
    with lake.local("x.parquet") as file:
        found = pq.ParquetFile(file)
        assert [found.metadata.row_group(each).num_rows for each in range(found.num_row_groups)] == groups
    assert pa.Table.from_batches(lake.read("x.parquet")) == rows(0, 22)


def test_an_error_leaves_the_former_file_and_no_scraps(lake: Lake) -> None:
    """Whole or not at all."""
    with lake.writer("s/t/x.parquet", SCHEMA) as sink:
        sink.write(rows(0, 3))
    with pytest.raises(RuntimeError), lake.writer("s/t/x.parquet", SCHEMA) as sink:
        sink.write(rows(0, 9))
        raise RuntimeError
    assert lake.rows("s/t/x.parquet") == 3
    assert lake.list("s") == ["s/t/x.parquet"]
    assert [path.name for path in Path(lake.root, "s", "t").iterdir()] == ["x.parquet"]


def test_a_full_disk_is_a_sentence_and_loses_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former file stays readable."""
    lake.write_bytes("a", b"former")
    with pytest.raises(LakeError, match="No space left") as caught, lake._whole("a") as stream:
        stream.write(b"new")
        raise OSError(28, "No space left on device")
    assert "as it was" in str(caught.value)
    assert lake.read_bytes("a") == b"former"


def test_everything_is_private_whatever_the_umask(lake: Lake) -> None:
    """Folders 0700, files 0600."""
    former = os.umask(0)
    try:
        lake.write_bytes("s/t/x", b"")
    finally:
        os.umask(former)
    found = {stat.S_IMODE(path.stat().st_mode) for path in Path(lake.root).rglob("*") if path.is_dir()}
    assert found == {0o700}
    assert stat.S_IMODE(Path(lake.root, "s/t/x").stat().st_mode) == 0o600


@pytest.mark.parametrize("path", ["../x", "/etc/x", "s/../../x", "s\\x", "s\0x", ""])
def test_no_name_leads_out_of_the_lake(lake: Lake, path: str) -> None:
    """Whatever a partition or a list is called."""
    with pytest.raises(LakeError, match="leads out"):
        lake.write_bytes(path, b"")


def test_no_link_leads_out_of_the_lake(lake: Lake, tmp_path: Path) -> None:
    """A link in the place of a folder is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    Path(lake.root, "s").symlink_to(outside)
    with pytest.raises(LakeError, match="link"):
        lake.write_bytes("s/x", b"")
    assert list(outside.iterdir()) == []


def test_damaged_and_missing_files_are_told_apart(lake: Lake) -> None:
    """Each with what to do."""
    lake.write_bytes("x.parquet", b"PAR1 no more")
    with pytest.raises(LakeError, match="cannot be read as Parquet"):
        lake.rows("x.parquet")
    with pytest.raises(LakeError, match="There is no file"):
        lake.rows("y.parquet")


def test_deleting_twice_is_fine(lake: Lake) -> None:
    """The second time there is nothing to do."""
    lake.write_bytes("x", b"")
    lake.delete("x")
    lake.delete("x")
    assert not lake.exists("x")


def test_scratch_is_private_and_gone_afterwards(lake: Lake) -> None:
    """Nothing of a run is left there."""
    with lake.scratch() as folder:
        pq.write_table(rows(0, 1), folder / "x")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_lake_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """With the schemes that can."""
    with pytest.raises(SettingsError, match="s3://"):
        Lake("nosuch://x")


def test_a_full_disk_while_duckdb_spills_is_an_error_of_ours(lake: Lake) -> None:
    """Without the words of the query, which hold paths; and the scratch folder goes."""
    with pytest.raises(LakeError, match="Make room") as raised, lake.scratch() as folder:
        config = {"memory_limit": "20MB", "temp_directory": str(folder), "max_temp_directory_size": "1MB"}
        with duckdb.connect(config=config) as connection:
            connection.sql(
                "select n, count(*) from range(5000000) t(n) group by n order by n desc"
            ).fetchall()
    assert raised.value.__cause__ is None and str(folder) not in str(raised.value)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("url", "region"), [("s3://bucket/lake", "eu-west-3"), ("s3://bucket/lake?region=us-east-2", "us-east-2")]
)
def test_a_bucket_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, url: str, region: str
) -> None:
    """Nobody has to be asked for its region, and none who could not be reached stops a run before it begins."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert Lake(url)._fs.region == region
