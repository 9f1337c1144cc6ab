"""The file of pending contacts, as it is read by those who send it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets import pending
from resources.lake import Lake


def test_a_payload_is_read_without_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However screening cut the batches, a row group is what a payload holds."""
    monkeypatch.setattr(pending, "ROWS_PER_GROUP", 5)
    lake = Lake(tmp_path / "lake")
    rows = pa.Table.from_pylist([{"json": str(number)} for number in range(17)], pending.PENDING_SCHEMA)
    with pending.pending_file(lake, "p.parquet") as sink:
        for batch in rows.to_batches(max_chunksize=7):
            sink.write(batch)
    with lake.local("p.parquet") as path:
        file = pq.ParquetFile(path)
        groups = [file.read_row_group(each, columns=["json"]) for each in range(file.num_row_groups)]
    assert [group["json"][0].as_py() for group in groups] == ["0", "5", "10", "15"]
    assert sum(group.num_rows for group in groups) == 17
