"""The private PostgreSQL server of this test run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import MISSING, Server, find_binaries, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real server with nothing in it, stopped when the tests end."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
    # Not pytest's own folder: user postgres may not look into those of root. A socket's path must be short, too.
    with (
        tempfile.TemporaryDirectory(prefix="contacts-pg-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), binaries) as server,
    ):
        yield server
