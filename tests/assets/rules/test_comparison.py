"""New, changed, unchanged, stale, withheld, gone: what a comparison says about everybody."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.rules import comparison
from assets.rules.comparison import TOLD_SCHEMA, Change, Told, Withheld

ACCEPTED = pa.schema(
    [("_address_hash", pa.uuid()), ("_fingerprint", pa.uint64()), ("_as_of", pa.timestamp("us", tz="UTC"))]
)


def person(number: int) -> bytes:
    """The keyed hash of somebody."""
    return UUID(int=number).bytes


def day(number: int | None) -> datetime | None:
    """A day of January 2026."""
    return None if number is None else datetime(2026, 1, number, tzinfo=UTC)


def accepted(path: Path, *rows: tuple[int, int, int | None]) -> Path:
    """A file of accepted contacts: person, fingerprint, day."""
    table = {
        "_address_hash": pa.array([person(who) for who, _, _ in rows], pa.uuid()),
        "_fingerprint": pa.array([print_ for _, print_, _ in rows], pa.uint64()),
        "_as_of": pa.array([day(when) for _, _, when in rows], pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(table, ACCEPTED), path)
    return path


def told(path: Path, *rows: tuple[int, int | None, int | None], partition: str = "all") -> Path:
    """A part of a ledger: person, fingerprint, day."""
    count = len(rows)
    table = {
        "address_hash": pa.array([person(who) for who, _, _ in rows], pa.uuid()),
        "fingerprint": pa.array([print_ for _, print_, _ in rows], pa.uint64()),
        "as_of": pa.array([day(when) for _, _, when in rows], pa.timestamp("us", tz="UTC")),
        "import_id": pa.array([1] * count, pa.int64()),
        "list_ids": pa.array([[7]] * count, pa.list_(pa.int64())),
        "partition": pa.array([partition] * count),
    }
    pq.write_table(pa.table(table, TOLD_SCHEMA), path)
    return path


def people(path: Path, *who: int, as_of: int | None = None) -> Path:
    """A file of hashes."""
    table = {
        "address_hash": pa.array([person(each) for each in who], pa.uuid()),
        "as_of": pa.array([day(as_of)] * len(who), pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(table), path)
    return path


def said(tmp_path: Path, files: list[Path], **question: object) -> list[tuple[int, int, str]]:
    """The answer as (file, row, change)."""
    given = {"told": Told(), "withheld": Withheld(), **question}
    batches = comparison.compare(comparison.connect(tmp_path), files, **given)
    rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    return sorted((file, row, Change(change).name) for file, row, change in rows)


def changes(tmp_path: Path, files: list[Path], **question: object) -> list[str]:
    """The changes in the order of the rows."""
    return [change for _, _, change in said(tmp_path, files, **question)]


def test_without_a_ledger_everybody_is_new(tmp_path: Path) -> None:
    """The first run tells Mailtrap about everyone."""
    file = accepted(tmp_path / "a", (1, 10, 1), (2, 20, None))
    assert changes(tmp_path, [file]) == ["new", "new"]


@pytest.mark.parametrize(("resend", "change"), [(False, "refused"), (True, "new")])
def test_refused_values_are_known_again_unless_all_is_sent(tmp_path: Path, resend: bool, change: str) -> None:
    """By person and fingerprint; who is unchanged or withheld stays so."""
    file = accepted(tmp_path / "a", (1, 10, 1), (2, 20, 1), (3, 30, 1), (4, 40, 1))
    refused = told(tmp_path / "refused", (1, 10, None), (2, 21, None), (3, 30, None), (4, 40, None))
    known = Told(parts=(told(tmp_path / "told", (3, 30, 1)),))
    no = Withheld(suppressed=(people(tmp_path / "no", 4),))
    given = {"told": known, "withheld": no, "refused": refused, "resend": resend}
    same = "changed" if resend else "unchanged"
    assert changes(tmp_path, [file], **given) == [change, "new", same, "suppressed"]


def test_values_and_dates_decide(tmp_path: Path) -> None:
    """Same print: unchanged; other print: changed, unless Mailtrap was told something newer."""
    file = accepted(tmp_path / "a", (1, 10, 5), (2, 21, 5), (3, 31, 5), (4, 40, 6), (5, 50, 5), (6, 61, None))
    base = told(tmp_path / "t", (1, 10, 5), (2, 20, 4), (3, 30, 6), (4, 40, 5), (5, 50, 7), (6, 60, 7))
    expected = ["unchanged", "changed", "stale", "newer_unchanged", "unchanged", "changed"]
    assert changes(tmp_path, [file], told=Told(base=(base,))) == expected


def test_later_parts_overrule_earlier_ones(tmp_path: Path) -> None:
    """Base, then parts in their order; a part without a print means that Mailtrap holds the person no longer."""
    file = accepted(tmp_path / "a", (1, 12, 1), (2, 20, 1), (3, 30, 1))
    base = told(tmp_path / "t0", (1, 10, 1), (2, 20, 1), (3, 30, 1))
    parts = (told(tmp_path / "t1", (1, 11, 1), (2, None, 1)), told(tmp_path / "t2", (1, 12, 1)))
    assert changes(tmp_path, [file], told=Told(base=(base,), parts=parts)) == [
        "unchanged",
        "new",
        "unchanged",
    ]


def test_the_withheld_are_never_pending(tmp_path: Path) -> None:
    """Erased before suppressed before unsubscribed, whatever has changed."""
    file = accepted(tmp_path / "a", (1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1))
    withheld = Withheld(
        erased=(people(tmp_path / "e", 1),),
        suppressed=(people(tmp_path / "s", 1, 2, 2),),
        unsubscribed=(people(tmp_path / "u", 1, 2, 3),),
    )
    expected = ["erased", "suppressed", "unsubscribed", "new"]
    assert changes(tmp_path, [file], withheld=withheld) == expected


@pytest.mark.parametrize(
    ("no", "expected"), [(4, "new"), (5, "no_consent"), (6, "no_consent"), (None, "no_consent")], ids=str
)
def test_a_newer_no_of_another_day_counts(tmp_path: Path, no: int | None, expected: str) -> None:
    """An older no was answered by this yes; one without a date may be newer, so it counts."""
    file = accepted(tmp_path / "a", (1, 1, 5))
    withheld = Withheld(no_consent=(people(tmp_path / "n", 1, as_of=no),))
    assert changes(tmp_path, [file], withheld=withheld) == [expected]


def test_of_several_days_the_newest_counts(tmp_path: Path) -> None:
    """A person in two partitions of one run is sent once, as the newest row says."""
    files = [accepted(tmp_path / "a", (1, 10, 1), (2, 20, 1)), accepted(tmp_path / "b", (1, 11, 2))]
    assert said(tmp_path, files) == [(0, 0, "stale"), (0, 1, "new"), (1, 0, "new")]


def test_resend_sends_the_unchanged_but_not_the_stale(tmp_path: Path) -> None:
    """A full resync must not overwrite what is newer."""
    file = accepted(tmp_path / "a", (1, 10, 5), (2, 21, 5))
    base = told(tmp_path / "t", (1, 10, 5), (2, 20, 6))
    assert changes(tmp_path, [file], told=Told(base=(base,)), resend=True) == ["changed", "stale"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("insert", ["unchanged", "new", "unchanged"]), ("update", ["changed", "unchanged", "changed"])],
)
def test_insert_and_update_look_at_whom_mailtrap_has(tmp_path: Path, mode: str, expected: list[str]) -> None:
    """Insert adds strangers only, update changes acquaintances only."""
    file = accepted(tmp_path / "a", (1, 10, 1), (2, 20, 1), (3, 31, 1))
    base = told(tmp_path / "t", (3, 30, 1))
    existing = people(tmp_path / "x", 1, 3)
    assert changes(tmp_path, [file], told=Told(base=(base,)), mode=mode, existing=existing) == expected


def test_gone_are_those_in_none_of_the_files(tmp_path: Path) -> None:
    """Rejected people are not gone; people of other partitions are none of our business."""
    present = [accepted(tmp_path / "a", (1, 1, 1)), people(tmp_path / "r", 2)]
    parts = (
        told(tmp_path / "t", (1, 1, 1), (2, 2, 1), (3, 3, 1)),
        told(tmp_path / "u", (4, 4, 1), partition="other"),
    )
    connection = comparison.connect(tmp_path)
    for partition, expected in (("all", [3]), (None, [3, 4])):
        batches = comparison.gone(connection, present=present, told=Told(parts=parts), partition=partition)
        found = [row["address_hash"].int for batch in batches for row in batch.to_pylist()]
        assert found == expected


def test_a_ledger_of_many_parts_is_read_in_little_memory(tmp_path: Path) -> None:
    """A first load leaves a part for each payload; they are one scan, not one after the other held open."""
    rows = 20_000
    paths = []
    for number in range(100):
        path = tmp_path / f"part-{number}.parquet"
        hashes = pa.array(
            [UUID(int=(number * rows + row) // 2 * 2**64).bytes for row in range(0, rows, 4)], pa.binary(16)
        )
        columns = {
            "address_hash": pa.ExtensionArray.from_storage(pa.uuid(), hashes),
            "fingerprint": pa.array(range(len(hashes)), pa.uint64()),
            "as_of": pa.nulls(len(hashes), pa.timestamp("us", tz="UTC")),
            "import_id": pa.nulls(len(hashes), pa.int64()),
            "list_ids": pa.array([[1]] * len(hashes), pa.list_(pa.int64())),
            "partition": pa.repeat("all", len(hashes)),
        }
        pq.write_table(pa.table(columns, schema=comparison.TOLD_SCHEMA), path)
        paths.append(path)
    connection = comparison.connect(tmp_path, memory_megabytes=44)
    told = comparison.told_sql(comparison.Told(parts=(*paths, paths[0])))
    assert connection.sql(f"select count(*) from ({told})").fetchall() == [(100 * rows // 4,)]
