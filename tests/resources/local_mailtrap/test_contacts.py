"""Single contacts, call by call as Mailtrap documents them."""

import uuid

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

ADA = {"email": "Ada@Example.com ", "fields": {"first_name": "Ada"}}


def create(api: httpx.Client, **contact: object) -> httpx.Response:
    """Create a contact."""
    return api.post("/contacts", json={"contact": ADA | contact})


def test_a_new_contact_is_shown_with_mailtraps_keys_in_mailtraps_order(
    mailtrap: LocalMailtrap, api: httpx.Client
) -> None:
    """E-05, E-07: 201; lower-cased; UUIDv7; milliseconds; every field of the account, null when unset."""
    answer = create(api)
    contact = answer.json()["data"]
    assert answer.status_code == 201
    assert [*contact] == ["id", "email", "created_at", "updated_at", "list_ids", "status", "fields"]
    assert contact["email"] == "ada@example.com"
    assert contact["fields"] == {"first_name": "Ada", "last_name": None}
    made = uuid.UUID(contact["id"])
    assert made.version == 7 and made.int >> 80 == contact["created_at"] == mailtrap.clock.milliseconds()


@pytest.mark.parametrize("identifier", ["ada@example.com", "ADA%40example.com", "ada%40EXAMPLE.com"])
def test_a_contact_is_found_by_address_whatever_its_case(api: httpx.Client, identifier: str) -> None:
    """E-07: by id or percent-encoded address."""
    made = create(api).json()
    assert (
        api.get(f"/contacts/{identifier}").json() == made == api.get(f"/contacts/{made['data']['id']}").json()
    )


def test_nobody_is_found_as_404(api: httpx.Client) -> None:
    """Looking up and deleting word their 404 differently."""
    looked, deleted = api.get("/contacts/no@example.com"), api.delete("/contacts/no@example.com")
    assert (looked.status_code, looked.json()) == (404, {"error": "Not Found"})
    assert (deleted.status_code, deleted.json()) == (404, {"errors": "Contact(s) not found"})


def test_a_deleted_contact_is_gone_and_its_successor_is_someone_else(api: httpx.Client) -> None:
    """DELETE is permanent: 204 without a body, then another id."""
    former = create(api).json()["data"]["id"]
    gone = api.delete("/contacts/ada@example.com")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(f"/contacts/{former}").status_code == 404
    assert create(api).json()["data"]["id"] != former


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({"email": "a@example.com"}, "Please, provide top level key: contact", id="no wrapper"),
        pytest.param({"contact": {"email": "nope"}}, {"email": ["is invalid"]}, id="address"),
        pytest.param(
            {"contact": {"email": "a@example.c"}},
            {"email": ["top level domain is too short"]},
            id="short TLD",
        ),
        pytest.param({"contact": {}}, {"email": ["can't be blank"]}, id="no address"),
        pytest.param(
            {"contact": {**ADA, "fields": {"nope": 1}}},
            {"fields": ["contains invalid values: nope"]},
            id="tag",
        ),
        pytest.param(
            {"contact": {**ADA, "fields": {"first_name": 1}}}, {"first_name": ["is invalid"]}, id="type"
        ),
        pytest.param(
            {"contact": {**ADA, "list_ids": [9]}}, {"list_ids": ["contains invalid data"]}, id="list"
        ),
    ],
)
def test_a_contact_is_refused_with_flat_errors(api: httpx.Client, body: object, errors: object) -> None:
    """E-08: 422 of a creation."""
    answer = api.post("/contacts", json=body)
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})


def test_patch_creates_then_updates(api: httpx.Client) -> None:
    """E-08: PATCH is an upsert that says what it did; fields that are left out keep their value."""
    first = api.patch("/contacts/ada@example.com", json={"contact": ADA})
    second = api.patch("/contacts/ada@example.com", json={"contact": {"fields": {"last_name": "Lovelace"}}})
    assert (first.status_code, first.json()["action"]) == (200, "created")
    assert second.json()["action"] == "updated"
    assert second.json()["data"]["fields"] == {"first_name": "Ada", "last_name": "Lovelace"}
    assert [*second.json()] == ["action", "data"]


def test_patch_refuses_with_nested_errors(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Every reason at once, each an array in an array."""
    mailtrap.seed(
        {"lists": ["A", "B"], "fields": [{"name": "Born", "data_type": "date", "merge_tag": "born"}]}
    )
    both = [*mailtrap.account.lists]
    contact = {
        "email": "x",
        "list_ids_included": both,
        "list_ids_excluded": both,
        "fields": {"born": "2023-02-29"},
    }
    answer = api.patch("/contacts/ada@example.com", json={"contact": contact})
    assert answer.status_code == 422
    assert answer.json()["errors"] == {
        "email": [["is invalid"]],
        "base": [[f"same list_ids {both[0]} and {both[1]} are specified both as included and excluded"]],
        "born": [["is invalid"]],
    }
    unknown = api.patch("/contacts/ada@example.com", json={"contact": {"list_ids_included": [1]}})
    assert unknown.json() == {"errors": {"list_id_included": [["contains invalid data"]]}}


def test_unsubscribing_is_one_way(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-09: `unsubscribed: true` sets, `false` is ignored, deleting and creating again changes nothing."""
    api.patch("/contacts/ada@example.com", json={"contact": ADA | {"unsubscribed": True}})
    again = api.patch("/contacts/ada@example.com", json={"contact": {"unsubscribed": False}})
    assert again.json()["data"]["status"] == "unsubscribed"
    api.delete("/contacts/ada@example.com")
    assert create(api).json()["data"]["status"] == "unsubscribed"


def test_a_released_suppression_no_longer_unsubscribes(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """`status` follows the suppression list."""
    create(api)
    mailtrap.suppress("ADA@example.com")
    assert api.get("/contacts/ada@example.com").json()["data"]["status"] == "unsubscribed"
    api.delete(f"/suppressions/{api.get('/suppressions').json()[0]['id']}")
    assert api.get("/contacts/ada@example.com").json()["data"]["status"] == "subscribed"


def test_an_update_that_changes_nothing_sets_off_nothing(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Automations are counted by what changed, not by what was sent."""
    mailtrap.seed({"lists": ["A"]})
    contact = ADA | {"list_ids_included": [*mailtrap.account.lists]}
    api.patch("/contacts/ada@example.com", json={"contact": contact})
    mailtrap.advance(5)
    before = api.get("/contacts/ada@example.com").json()
    counted = mailtrap.account.contacts.triggers
    assert (counted.contact_created, counted.field_changed, counted.added_to_list) == (1, 0, 1)
    api.patch("/contacts/ada@example.com", json={"contact": contact})
    assert (counted.contact_created, counted.field_changed, counted.added_to_list) == (1, 0, 1)
    assert api.get("/contacts/ada@example.com").json() == before


@pytest.mark.parametrize(
    "path", ["/contacts/batch", "/contacts/a@b.co/tags", "/contact_lists", "/contacts/imports/x/y"]
)
def test_calls_that_do_not_exist_are_404(api: httpx.Client, path: str) -> None:
    """E-18: a connector that was built on invented calls fails visibly."""
    for method in ("GET", "PATCH", "PUT"):
        answer = api.request(method, path, json={} if method != "GET" else None)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"}), method
