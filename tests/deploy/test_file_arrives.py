"""A file arrives in a bucket: the sensor sees it, asks once for a run, and that run tells Mailtrap its rows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from pipelines.definitions import build_definitions
from pipelines.sensors import file_sensor
from resources.warehouses.duckdb import open_warehouse
from tests.pipelines.syncing_world import SyncingWorld, syncing_world
from tests.pipelines.test_sensors import ask, changed

ADA, BOB = "ada@people.example.org", "bob@people.example.org"


@pytest.fixture
def inbox(store_url: str) -> pafs.FileSystem:
    """A bucket as somebody else writes to it."""
    return pafs.S3FileSystem(endpoint_override=store_url, region="us-east-1")


def test_a_file_that_arrives_in_a_bucket_is_sent_once(inbox: pafs.FileSystem, tmp_path: Path) -> None:
    """Empty, one file, the same file, one more, one gone: asked for when that changes, and only then."""
    (tmp_path / "world").mkdir()
    with syncing_world(tmp_path / "world", people_a_day=1) as world:
        tick = Ticks(world)
        assert "no file" in tick().lower()
        put(inbox, "a.parquet", ADA)
        assert [each.job_name or "sync_whole" for each in tick()] == ["sync_whole"]
        tick.run()
        assert set(world.contacts()) == {ADA}
        assert tick() == "The files are the same as before."
        put(inbox, "b.parquet", BOB)
        assert len(tick()) == 1
        tick.run()
        assert set(world.contacts()) == {ADA, BOB}
        assert tick() == "The files are the same as before." and len(world.imports()) == 2
        inbox.delete_file("contacts/inbox/a.parquet")
        assert len(tick()) == 1


def put(inbox: pafs.FileSystem, name: str, address: str) -> None:
    """Write a file of one person there."""
    row = {
        "id": name,
        "email": address,
        "consent": True,
        "first_name": "A",
        "updated_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    pq.write_table(pa.Table.from_pylist([row]), f"contacts/inbox/{name}", filesystem=inbox)


class Ticks:
    """The sensor as the daemon asks it, an hour after everything was written; and the run that it asks for."""

    def __init__(self, world: SyncingWorld) -> None:
        self.world, self.cursor = world, None
        self.sync = changed(world, "whole", table=None, file="s3://contacts/inbox/*.parquet")
        self.definitions = build_definitions([self.sync], environ={}, resources=world.resources)
        job: Any = self.definitions.resolve_job_def("sync_whole")
        self.sensor = file_sensor(self.sync, job, clock=lambda: 4_102_444_800.0)

    def __call__(self) -> Any:
        """The runs that one tick asks for, or why it asks for none."""
        warehouse = open_warehouse(f"duckdb:///{self.world.folder / 'warehouse.duckdb'}")
        answer, self.cursor = ask(self.sensor, self.world.instance, cursor=self.cursor, warehouse=warehouse)
        return answer

    def run(self) -> None:
        """What the daemon would launch."""
        job: dg.JobDefinition = self.definitions.resolve_job_def("sync_whole")
        assert job.execute_in_process(instance=self.world.instance).success
