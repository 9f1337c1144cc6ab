"""Pytest fixtures: `pytest_plugins = ["resources.local_mailtrap.fixtures"]` in a conftest.py, and ask for one.

Belongs here: fixtures that users may import. Not here: tests.
"""

from collections.abc import Iterator

import pytest

from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap


@pytest.fixture
def local_mailtrap() -> LocalMailtrap:
    """A fresh Mailtrap in process, on virtual time: `httpx.Client(transport=local_mailtrap.transport())`."""
    return LocalMailtrap()


@pytest.fixture
def local_mailtrap_server() -> Iterator[LocalMailtrap]:
    """A fresh Mailtrap on loopback: point a client at `.api_origin`, with `.token`."""
    mailtrap = LocalMailtrap(clock=real_clock())
    with mailtrap.running():
        yield mailtrap
