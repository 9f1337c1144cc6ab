"""Signs of life: given while a run is at work, taken away at its end, left standing by the dead."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.database import create_tables, open_engine
from resources.life import at_work, is_silent


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A journal's database."""
    opened = open_engine(f"sqlite:///{tmp_path}/journal.db")
    create_tables(opened)
    yield opened
    opened.dispose()


def later(seconds: float) -> float:
    """A moment to come."""
    return time.time() + seconds


def test_a_run_at_work_is_not_silent_and_one_that_ended_is_not_either(engine: sa.Engine) -> None:
    """Only a sign that stands and is old is of a dead run."""
    with at_work(engine, "r"):
        assert not is_silent(engine, "r")
        assert is_silent(engine, "r", clock=lambda: later(100))
    assert not is_silent(engine, "r", clock=lambda: later(100))
    assert not is_silent(engine, "never seen", clock=lambda: later(100))


def test_the_sign_is_given_again_and_again(engine: sa.Engine) -> None:
    """A run of hours is not silent because it began long ago."""
    with at_work(engine, "r", every_seconds=0.02):
        began = time.time()
        while is_silent(engine, "r", silent_seconds=0.0, clock=lambda: began + 0.05):
            assert time.time() < began + 30


def test_a_journal_that_cannot_be_reached_ends_no_run(tmp_path: Path) -> None:
    """Signs are a courtesy: without them nothing is known, and nobody is called dead."""
    lost = open_engine(f"sqlite:///{tmp_path}/journal.db")
    with at_work(lost, "r"):
        assert not is_silent(lost, "r")
    lost.dispose()
