"""Fields, call by call."""

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

AGE = {"name": "Age", "data_type": "integer", "merge_tag": "age"}


def test_a_new_account_has_two_fields(api: httpx.Client) -> None:
    """E-06."""
    assert [each["merge_tag"] for each in api.get("/contacts/fields").json()] == ["first_name", "last_name"]


def test_fields_are_made_shown_changed_and_deleted(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-10: 201 for a new one; the type never changes, in silence; values go with the field."""
    made = api.post("/contacts/fields", json=AGE)
    assert made.status_code == 201 and [*made.json()] == ["id", "name", "data_type", "merge_tag"]
    path = f"/contacts/fields/{made.json()['id']}"
    changed = api.patch(path, json={"name": "Years", "data_type": "text"})
    assert changed.json() == {**made.json(), "name": "Years"} == api.get(path).json()
    mailtrap.seed({"contacts": [{"email": "a@example.com", "fields": {"age": 7}}]})
    assert api.delete(path).status_code == 204
    api.post("/contacts/fields", json=AGE)
    assert api.get("/contacts/a@example.com").json()["data"]["fields"]["age"] is None
    assert [
        api.request(each, path, json={"name": "x"}).status_code for each in ("GET", "PATCH", "DELETE")
    ] == [404] * 3


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({**AGE, "data_type": "number"}, {"data_type": [["is not included in the list"]]}),
        ({**AGE, "name": "first NAME"}, {"name": [["has already been taken"]]}),
        ({**AGE, "merge_tag": "first_name"}, {"merge_tag": [["has already been taken"]]}),
        ({**AGE, "name": "x" * 81}, {"name": [["is too long (maximum is 80 characters)"]]}),
        ({"data_type": "text"}, {"name": [["can't be blank"]], "merge_tag": [["can't be blank"]]}),
    ],
)
def test_a_field_is_refused_with_nested_errors(api: httpx.Client, body: object, errors: object) -> None:
    """As the documents show for fields."""
    answer = api.post("/contacts/fields", json=body)
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})


def test_a_field_in_use_cannot_be_deleted(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-10: 422 with the reasons under `usage`."""
    words = "This field is used in the steps of automation(s): Welcome."
    mailtrap.seed({"fields": [{**AGE, "usage": [words]}]})
    found = mailtrap.account.field_by_tag("age")
    assert found is not None
    assert api.delete(f"/contacts/fields/{found.id}").json() == {"errors": {"usage": [words]}}


def test_an_account_has_at_most_forty_fields(api: httpx.Client) -> None:
    """The forty-first is refused."""
    bodies = ({"name": f"F{each}", "data_type": "text", "merge_tag": f"f{each}"} for each in range(39))
    assert [api.post("/contacts/fields", json=each).status_code for each in bodies] == [201] * 38 + [422]
