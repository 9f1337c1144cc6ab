"""Lists, call by call."""

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap


def test_lists_are_made_shown_renamed_and_deleted(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-10: no wrappers; 200 also for a new one; contacts leave a list that is gone."""
    made = api.post("/contacts/lists", json={"name": "Customers"})
    assert made.status_code == 200 and [*made.json()] == ["id", "name"]
    path = f"/contacts/lists/{made.json()['id']}"
    assert api.get("/contacts/lists").json() == [made.json()] == [api.get(path).json()]
    assert api.patch(path, json={"name": "Former"}).json() == {**made.json(), "name": "Former"}
    mailtrap.seed({"contacts": [{"email": "a@example.com", "lists": ["Former"]}]})
    assert api.delete(path).status_code == 204
    assert api.get("/contacts/a@example.com").json()["data"]["list_ids"] == []
    assert [
        api.request(each, path, json={"name": "x"}).status_code for each in ("GET", "PATCH", "DELETE")
    ] == [404] * 3


def test_search_finds_by_the_beginning_of_the_name(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Whatever its case."""
    mailtrap.seed({"lists": ["Customers", "Old customers", "customs"]})
    found = api.get("/contacts/lists", params={"search": "CUST"}).json()
    assert [each["name"] for each in found] == ["Customers", "customs"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "can't be blank"),
        ({"contact_list": {"name": "x"}}, "can't be blank"),
        ({"name": "taken"}, "has already been taken"),
        ({"name": "x" * 256}, "is too long (maximum is 255 characters)"),
    ],
)
def test_a_name_is_refused(mailtrap: LocalMailtrap, api: httpx.Client, body: object, words: str) -> None:
    """Blank, wrapped, taken or too long."""
    mailtrap.seed({"lists": ["Taken"]})
    answer = api.post("/contacts/lists", json=body)
    assert (answer.status_code, answer.json()) == (422, {"errors": {"name": [words]}})


def test_an_account_has_at_most_fifty_lists(api: httpx.Client) -> None:
    """The fifty-first is refused."""
    stati = [api.post("/contacts/lists", json={"name": f"L{each}"}).status_code for each in range(51)]
    assert stati == [200] * 50 + [422]
