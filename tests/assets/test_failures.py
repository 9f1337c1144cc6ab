"""What Dagster is told when a step fails: three parts, what a retry would do, and no value of any row."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from assets.contacts import screen
from assets.failures import told_to_dagster
from assets.partitions import WHOLE, file_of
from resources.errors import GuardError, SettingsError
from resources.lake import Lake
from tests.assets.world import SYNC

CANARY = "canary@people.example"


@told_to_dagster
def _stumbles() -> None:
    raise KeyError(CANARY)


@told_to_dagster
def _stumbles_late() -> Iterator[int]:
    yield 1
    raise ValueError(CANARY)


@pytest.mark.parametrize("body", [_stumbles, lambda: list(_stumbles_late())])
def test_an_error_that_nobody_foresaw_is_told_by_its_type_and_its_place(body: object) -> None:
    """Foreign errors quote the value they stumbled over, and Dagster keeps their words and their causes for ever."""
    with pytest.raises(dg.Failure) as raised:
        body()  # type: ignore[operator]
    failure = raised.value
    assert CANARY not in f"{failure.description} {failure.metadata} {failure.__cause__!r}"
    assert failure.__suppress_context__ and failure.__cause__ is None
    assert "Error at test_failures.py:" in (failure.description or "")
    assert {"happened", "meaning", "remedy", "outcome"} <= set(failure.metadata)
    assert failure.allow_retries is False


def test_our_own_errors_and_those_of_dagster_pass() -> None:
    """A guard keeps its words; a failure that a body raises itself is left alone."""

    @told_to_dagster
    def guarded() -> None:
        raise GuardError("Too many.", "Nothing was sent.", "Look.")

    @told_to_dagster
    def failing() -> None:
        raise dg.Failure("as it is")

    with pytest.raises(dg.Failure, match=r"Too many\. Nothing was sent\. Look\."):
        guarded()
    with pytest.raises(dg.Failure, match=r"^as it is$"):
        failing()


def test_a_table_without_a_column_that_the_sync_reads_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    """Said in three parts, for the command and for Dagster alike."""
    lake = Lake(tmp_path)
    with lake.writer(file_of(SYNC, "source_rows", WHOLE), pa.schema([("id", pa.string())])) as sink:
        sink.write(pa.table({"id": [CANARY]}))
    with pytest.raises(SettingsError) as raised:
        screen(lake, SYNC, partition=WHOLE, key=b"k" * 32, now=datetime(2026, 6, 1, tzinfo=UTC))
    error = raised.value
    assert error.happened and error.meaning and error.remedy and CANARY not in str(error)
    assert not lake.exists(file_of(SYNC, "accepted_contacts", WHOLE))
