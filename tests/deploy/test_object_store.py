"""The lake on an S3 server: whole or not at all, nothing left open on this machine, errors that say what to do."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pyarrow as pa
import pytest

from resources.errors import LakeError, SettingsError
from resources.lake import Lake
from resources.settings import read
from tests.deploy.cluster import missing_for_store, way_to_store
from tests.pipelines.dagster_world import free_port

TABLE = pa.table({"n": list(range(1000))})


@pytest.fixture
def lake(store_url: str, tmp_path: Path) -> Lake:
    """A lake in a bucket; where it is and how to get in stands in the environment."""
    return Lake("s3://contacts/lake", scratch=tmp_path / "scratch")


def test_a_table_appears_whole_or_not_at_all(lake: Lake) -> None:
    """What a failing writer leaves is not seen, and what was there before stays."""
    with lake.writer("people/t/a.parquet", TABLE.schema) as sink:
        sink.write(TABLE)
    with pytest.raises(ZeroDivisionError), lake.writer("people/t/a.parquet", TABLE.schema) as sink:
        sink.write(TABLE.slice(0, 1))
        1 / 0  # noqa: B018
    assert lake.list() == ["people/t/a.parquet"]
    assert lake.rows("people/t/a.parquet") == 1000
    lake.delete("people/t/a.parquet")
    lake.delete("people/t/a.parquet")
    assert lake.list() == []


def test_a_small_table_is_there_when_its_block_ended_well(lake: Lake) -> None:
    """Put together in memory, whole or not at all as well; a store that refuses it says so."""
    with lake.writer("people/t/a.parquet", TABLE.schema, small=True) as sink:
        sink.write(TABLE)
    with (
        pytest.raises(ZeroDivisionError),
        lake.writer("people/t/a.parquet", TABLE.schema, small=True) as sink,
    ):
        sink.write(TABLE.slice(0, 1))
        1 / 0  # noqa: B018
    assert lake.list() == ["people/t/a.parquet"]
    assert lake.rows("people/t/a.parquet") == 1000
    other = Lake("s3://nobodys-bucket/lake")
    with pytest.raises(LakeError, match="permissions"), other.writer("a", TABLE.schema, small=True) as sink:
        sink.write(TABLE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a store of this process is asked for: methods and paths."""
    if reason := missing_for_store():
        pytest.skip(reason)
    from moto.server import ThreadedMotoServer
    from werkzeug.serving import WSGIRequestHandler

    seen: list[str] = []
    log = lambda self, *_: seen.append(f"{self.command} {self.path.partition('?')[0]}")  # noqa: E731
    monkeypatch.setattr(WSGIRequestHandler, "log_request", log)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in way_to_store(f"http://{host}:{port}").items():
            monkeypatch.setenv(name, value)
        urlopen(Request(f"http://{host}:{port}/contacts", method="PUT"), timeout=30).close()
        seen.clear()
        yield seen
    finally:
        server.stop()


def test_a_store_is_asked_as_little_as_can_be(asked: list[str]) -> None:
    """Each request takes tens of milliseconds and costs money; a payload needs several files."""
    lake = Lake("s3://contacts/lake")
    wide = pa.table(dict.fromkeys("abcdefgh", TABLE["n"]))
    with lake.writer("t/part.parquet", wide.schema, small=True) as sink:
        sink.write(wide)
    assert asked == ["PUT /contacts/lake/t/part.parquet"]
    lake.read_slice("t/part.parquet", ["a", "h"], first=0, rows=10)
    asked.clear()
    lake.read_slice("t/part.parquet", ["a", "b", "c", "e", "f", "h"], first=10, rows=10)
    assert asked == ["HEAD /contacts/lake/t/part.parquet"] * 2 + ["GET /contacts/lake/t/part.parquet"]
    asked.clear()
    with lake.writer("t/whole.parquet", wide.schema) as sink:
        sink.write(wide)
    assert (
        len(asked) == 4
    )  # to where nobody looks, copied to its name, removed there; and Arrow makes a folder


def test_a_local_copy_is_private_and_goes(lake: Lake, tmp_path: Path) -> None:
    """Also the one of a process that was killed, with the next sweep."""
    lake.write_bytes("a.bin", b"rows")
    with lake.local("a.bin") as path:
        assert path.is_relative_to(tmp_path / "scratch")
        assert path.read_bytes() == b"rows"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        of_a_dead_process = path.parent.with_name(path.parent.name.replace(f".{os.getpid()}-", ".999999999-"))
        of_a_dead_process.mkdir()
        assert lake.sweep(now=0.0, older_than_seconds=0.0) == 1
        assert path.exists()
    assert not path.exists() and not of_a_dead_process.exists()


def test_many_local_copies_keep_their_order_and_go(lake: Lake) -> None:
    """The files of a ledger are fetched several at a time; later ones overrule earlier ones."""
    names = [f"{number % 3}/{number // 3}.bin" for number in range(20)]
    for name in names:
        lake.write_bytes(name, name.encode())
    with lake.all_local(names) as paths:
        assert [path.read_text() for path in paths] == names
    assert not any(path.exists() for path in paths)
    with pytest.raises(LakeError, match=r"no file 9/9\.bin"), lake.all_local([*names, "9/9.bin"]):
        pass


def test_a_store_that_lets_nobody_in_says_what_to_do(lake: Lake) -> None:
    """A bucket that is not there: three parts, whatever was asked."""
    other = Lake("s3://nobodys-bucket/lake")
    with pytest.raises(LakeError, match="permissions of CONTACTS_LAKE"):
        other.write_bytes("a", b"x")
    with pytest.raises(LakeError, match="Run the asset that makes it"):
        other.read_bytes("a")


def test_credentials_in_the_url_are_refused() -> None:
    """A URL is shown: in logs, in the repr of a lake, in the process list."""
    with pytest.raises(SettingsError, match="CONTACTS_LAKE holds credentials") as refused:
        read({"CONTACTS_LAKE": "s3://AKIAEXAMPLE:secret-thing@bucket/lake"})
    assert "secret-thing" not in str(refused.value)
