"""Mailtrap's own Python SDK as a client: every contacts call, read by classes that somebody else wrote.

Skipped where the SDK is not installed; it is for tests only, never a dependency of the connector.
"""

import gzip
import importlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

pytest.importorskip("mailtrap", reason="Mailtrap's Python SDK is not installed")
requests = importlib.import_module("requests")
models = importlib.import_module("mailtrap.models.contacts")
suppression_models = importlib.import_module("mailtrap.models.suppressions")
errors = importlib.import_module("mailtrap.exceptions")
http = importlib.import_module("mailtrap.http")


class ToLoopback(requests.adapters.HTTPAdapter):  # type: ignore[misc,name-defined] # untyped, imported by name
    """Carries the SDK's requests, which know no other host than Mailtrap's, to the local one."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._origin = origin

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request to the local Mailtrap."""
        parts = urlsplit(request.url)
        request.url = f"{self._origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, *args, **kwargs)


@pytest.fixture
def sdk(local_mailtrap_server: LocalMailtrap) -> Iterator[Any]:
    """Makes an API object of the SDK, by module and class."""
    client = http.HttpClient(
        "mailtrap.io", headers={"Authorization": f"Bearer {local_mailtrap_server.token}"}
    )
    client._session.mount("https://", ToLoopback(local_mailtrap_server.api_origin))

    def make(module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"mailtrap.api.{module}"), name)(
            account_id=str(local_mailtrap_server.account.id), client=client
        )

    yield make
    client._session.close()


@pytest.fixture
def contacts(sdk: Any) -> Any:
    """The SDK's contacts API."""
    return sdk("contacts", "ContactsBaseApi")


def test_contacts(local_mailtrap_server: LocalMailtrap, contacts: Any) -> None:
    """Create, look up, update, delete; errors arrive as the SDK's own. It cannot read a field that is null."""
    local_mailtrap_server.turn(unset_fields="absent")
    made = contacts.contacts.create(
        models.CreateContactParams(email="Ada@example.com", fields={"first_name": "Ada"})
    )
    assert (made.email, made.status, made.fields["first_name"]) == ("ada@example.com", "subscribed", "Ada")
    assert contacts.contacts.get_by_id("ada@example.com") == contacts.contacts.get_by_id(made.id) == made
    changed = contacts.contacts.update(
        made.id, models.UpdateContactParams(email="ada@example.com", unsubscribed=True)
    )
    assert (changed.id, changed.status) == (made.id, "unsubscribed")
    with pytest.raises(errors.APIError, match="is invalid"):
        contacts.contacts.create(models.CreateContactParams(email="nope"))
    contacts.contacts.delete(made.id)
    with pytest.raises(errors.APIError, match="Not Found"):
        contacts.contacts.get_by_id(made.id)


def test_lists_and_fields(contacts: Any) -> None:
    """All calls on both."""
    made = contacts.contact_lists.create(models.ContactListParams(name="Customers"))
    assert (
        contacts.contact_lists.get_list(search="cust")
        == [made]
        == [contacts.contact_lists.get_by_id(made.id)]
    )
    assert contacts.contact_lists.update(made.id, models.ContactListParams(name="Former")).name == "Former"
    contacts.contact_lists.delete(made.id)
    assert contacts.contact_lists.get_list() == []
    field = contacts.contact_fields.create(
        models.CreateContactFieldParams(name="Age", data_type="integer", merge_tag="age")
    )
    assert contacts.contact_fields.get_by_id(field.id) == field == contacts.contact_fields.get_list()[-1]
    assert (
        contacts.contact_fields.update(field.id, models.UpdateContactFieldParams(name="Years")).name
        == "Years"
    )
    contacts.contact_fields.delete(field.id)
    with pytest.raises(errors.APIError):
        contacts.contact_fields.get_by_id(field.id)


def test_imports_events_and_exports(local_mailtrap_server: LocalMailtrap, contacts: Any) -> None:
    """The three calls that begin something."""
    local_mailtrap_server.turn(export_start_seconds=9)
    rows = [
        models.ImportContactParams(email=f"{each}@example.com", fields={"first_name": each}) for each in "ab"
    ]
    started = contacts.contact_imports.import_contacts(rows)
    assert started.status == "created"
    local_mailtrap_server.advance(10)
    ended = contacts.contact_imports.get_by_id(started.id)
    assert (ended.status, ended.created_contacts_count, ended.updated_contacts_count) == ("finished", 2, 0)
    event = contacts.contact_events.create(
        "a@example.com", models.ContactEventParams(name="Login", params={"n": 1})
    )
    assert (event.contact_email, event.name, event.params) == ("a@example.com", "Login", {"n": 1})
    everyone = models.CreateContactExportParams(filters=[])
    export = contacts.contact_exports.create(everyone)
    with pytest.raises(errors.APIError, match="There is a previous export initiated"):
        contacts.contact_exports.create(everyone)
    local_mailtrap_server.advance(10)
    url = contacts.contact_exports.get_by_id(export.id).url
    assert gzip.decompress(httpx.get(url).content).count(b"@example.com") == 2


def test_suppressions_and_accounts(sdk: Any) -> None:
    """Create, list, delete; the accounts of the token."""
    api = sdk("suppressions", "SuppressionsBaseApi").suppressions
    made = api.create(
        suppression_models.CreateSuppressionParams(email="a@example.com", domain_id=1, sending_stream="bulk")
    )
    assert api.get_list(email="A@example.com") == [made]
    assert api.delete(made.id).id == made.id and api.get_list() == []


def test_a_wrong_token_is_the_sdks_authorization_error(
    local_mailtrap_server: LocalMailtrap, contacts: Any
) -> None:
    """401 in the body that it expects."""
    local_mailtrap_server.fault("F-16")
    with pytest.raises(errors.AuthorizationError, match="Incorrect API token"):
        contacts.contact_lists.get_list()
