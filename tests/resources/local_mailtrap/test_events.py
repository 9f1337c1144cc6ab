"""Custom events."""

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap


def test_an_event_is_echoed_and_kept(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-13: 201 with the contact's id and address; it can be read through the admin API only."""
    mailtrap.seed({"contacts": [{"email": "a@example.com"}]})
    event = {"name": "UserLogin", "params": {"user_id": 101, "is_active": True, "seen": None}}
    answer = api.post("/contacts/a%40example.com/events", json=event)
    assert answer.status_code == 201
    assert [*answer.json()] == ["contact_id", "contact_email", "name", "params"]
    assert answer.json() == {
        "contact_id": answer.json()["contact_id"],
        "contact_email": "a@example.com",
        **event,
    }
    assert [each["name"] for each in mailtrap.dump()["accounts"][0]["events"]] == ["UserLogin"]


@pytest.mark.parametrize(
    ("event", "errors"),
    [
        ({}, {"name": ["can't be blank", "must be a string"]}),
        ({"name": 1}, {"name": ["must be a string"]}),
        ({"name": "x" * 256}, {"name": ["is too long"]}),
        ({"name": "x", "params": []}, {"params": ["must be a hash"]}),
        ({"name": "x", "params": {"bar": "y" * 256}}, {"params": ["value for 'bar' is too long"]}),
        ({"name": "x", "params": {"bar": {}}}, {"params": ["value for 'bar' is invalid"]}),
    ],
)
def test_an_event_is_refused_with_flat_errors(
    mailtrap: LocalMailtrap, api: httpx.Client, event: object, errors: object
) -> None:
    """As live answers show."""
    mailtrap.seed({"contacts": [{"email": "a@example.com"}]})
    answer = api.post("/contacts/a@example.com/events", json=event)
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})


def test_an_event_of_nobody_is_404(api: httpx.Client) -> None:
    """Whatever its body."""
    assert api.post("/contacts/a@example.com/events", json={"name": "x"}).status_code == 404
