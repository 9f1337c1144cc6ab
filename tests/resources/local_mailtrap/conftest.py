"""A local Mailtrap on virtual time, and clients that reach it without sockets."""

from collections.abc import Iterator

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.fixtures import local_mailtrap, local_mailtrap_server

__all__ = ["local_mailtrap", "local_mailtrap_server"]


@pytest.fixture
def mailtrap() -> LocalMailtrap:
    """A fresh one; waits cost no time."""
    return LocalMailtrap()


@pytest.fixture
def api(mailtrap: LocalMailtrap) -> Iterator[httpx.Client]:
    """A client with the token; paths are below the account's."""
    base = f"{mailtrap.api_origin}/api/accounts/{mailtrap.account.id}"
    headers = {"Authorization": f"Bearer {mailtrap.token}"}
    with httpx.Client(transport=mailtrap.transport(), base_url=base, headers=headers) as client:
        yield client


@pytest.fixture
def files(mailtrap: LocalMailtrap) -> Iterator[httpx.Client]:
    """A client without any token, for the storage host."""
    with httpx.Client(transport=mailtrap.transport()) as client:
        yield client


@pytest.fixture
def admin(mailtrap: LocalMailtrap) -> Iterator[httpx.Client]:
    """A client of the admin API."""
    headers = {"Authorization": f"Bearer {mailtrap.admin_token}"}
    base = f"{mailtrap.api_origin}/__emulator__"
    with httpx.Client(transport=mailtrap.transport(), base_url=base, headers=headers) as client:
        yield client
