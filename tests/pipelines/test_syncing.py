"""The command `sync`: which partitions it takes, and that no name of one leads anywhere else."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.command import main
from tests.pipelines.syncing_world import DAYS, UNLIMITED, SyncingWorld, syncing_world

HOSTILE = (
    "../x",
    "../../outside/2026-03-01",
    "/etc/passwd",
    "2026-03-01\n2026-03-02",
    "2026-03-01/../../x",
    "2026-03-01\0",
    "\x1b[31mred",
    "",
    "...",
    "2026-03-01...",
    "2026-03-04...2026-03-01",
    "2026-03-01...../x",
    "2026-02-30",
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncingWorld]:
    """Three syncs, and the settings with which the command finds them."""
    with syncing_world(tmp_path, people_a_day=1) as made:
        mailtrap = made.mailtrap
        (tmp_path / "dagster").mkdir()
        for name, value in {
            "MAILTRAP_API_TOKEN": mailtrap.token,
            "MAILTRAP_API_URL": mailtrap.api_origin,
            "MAILTRAP_DOWNLOAD_HOSTS": mailtrap.storage_origin.partition("//")[2],
            "MAILTRAP_CONTACTS_LIMIT": UNLIMITED,
            "MAILTRAP_TOKEN_LIMIT": UNLIMITED,
            "MAILTRAP_SUPPRESSIONS_LIMIT": UNLIMITED,
            "CONTACTS_WAREHOUSE": f"duckdb:///{tmp_path / 'warehouse.duckdb'}",
            "CONTACTS_SYNCS": str(tmp_path / "syncs"),
            "CONTACTS_HOME": str(tmp_path / "contacts"),
            "CONTACTS_POLL_SECONDS": "0.02",
            "DAGSTER_HOME": str(tmp_path / "dagster"),
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def lines_of(said: str) -> list[str]:
    """What a person reads, one sentence a line."""
    return [line for line in said.splitlines() if line.strip()]


def test_a_partition_that_there_is_not_is_refused_and_touches_nothing(
    world: SyncingWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was typed: a way out of the lake, a line of its own, an empty variable, days in the wrong order."""
    before = sorted(world.folder.rglob("*"))
    for sync in ("daily", "buckets", "whole"):
        for partition in HOSTILE:
            assert main(["sync", sync, "--partition", partition]) == 2, (sync, partition)
            told = lines_of(capsys.readouterr().err)
            assert len(told) == 3, told
            assert not re.search(r"[\x00-\x08\x0b-\x1f]", "".join(told))
    assert sorted(world.folder.rglob("*")) == before
    assert main(["plan", "daily", "--partition", "../x"]) == 2
    assert not list(world.folder.rglob("x*"))
    assert world.imports() == []


def test_a_link_in_the_lake_leads_nobody_out_of_it(
    world: SyncingWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link in the place of a partition's file is replaced; one in the place of a folder stops the run."""
    lake, outside = world.folder / "contacts" / "lake", world.folder / "outside"
    (lake / "daily" / "source_rows").mkdir(parents=True)
    outside.mkdir()
    kept = outside / "file.parquet"
    kept.write_bytes(b"somebody else's")
    link = lake / "daily" / "source_rows" / f"{DAYS[0]}.parquet"
    link.symlink_to(kept)
    assert main(["sync", "daily", "--partition", DAYS[0]]) == 0
    assert kept.read_bytes() == b"somebody else's" and not link.is_symlink()
    (lake / "buckets").symlink_to(outside)
    capsys.readouterr()
    assert main(["sync", "buckets", "--partition", "0"]) != 0
    assert "is a link that leads out of it" in capsys.readouterr().err
    assert list(outside.iterdir()) == [kept] and kept.read_bytes() == b"somebody else's"


def test_a_link_in_the_place_of_the_tombstones_is_told_in_three_sentences(
    world: SyncingWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sync that could not know who was erased does not begin."""
    home = world.folder / "contacts"
    home.mkdir()
    (home / "tombstones").symlink_to(world.folder / "elsewhere")
    assert main(["sync", "whole"]) == 2
    said = capsys.readouterr().err
    assert "The file tombstones in CONTACTS_HOME cannot be used" in said and "Traceback" not in said
    assert world.imports() == [] and not (world.folder / "elsewhere").exists()


def test_a_journal_that_cannot_be_reached_is_told_once(
    world: SyncingWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the run; what looks how far it has come adds nothing to that."""
    fell: list[object] = []
    monkeypatch.setattr(threading, "excepthook", fell.append)
    monkeypatch.setenv("CONTACTS_JOURNAL", "postgresql://somebody:secret-thing@127.0.0.1:1/journal")
    assert main(["sync", "whole"]) == 4
    said = capsys.readouterr().err
    assert said.count("The journal's tables could not be made") == 1 and "secret-thing" not in said
    assert fell == [] and world.imports() == []
