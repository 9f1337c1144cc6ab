"""An S3 server for a test, and the way to it in the environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.cluster import missing_for_store, object_store, way_to_store


@pytest.fixture
def store_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an S3 server of its own, with a bucket `contacts`; everything that reads the environment finds it."""
    if reason := missing_for_store():
        pytest.skip(reason)
    with object_store(tmp_path) as url:
        for name, value in way_to_store(url).items():
            monkeypatch.setenv(name, value)
        yield url
