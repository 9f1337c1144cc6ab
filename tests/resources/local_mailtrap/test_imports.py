"""Imports: judged as a whole at once, applied later."""

import json
from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

FIELDS = [
    {"name": "Age", "data_type": "integer", "merge_tag": "age"},
    {"name": "Score", "data_type": "float", "merge_tag": "score"},
    {"name": "VIP", "data_type": "boolean", "merge_tag": "vip"},
    {"name": "Born", "data_type": "date", "merge_tag": "born"},
]


def send(api: httpx.Client, *contacts: Any) -> httpx.Response:
    """Import some contacts."""
    return api.post("/contacts/imports", json={"contacts": contacts})


def finished(mailtrap: LocalMailtrap, api: httpx.Client, *contacts: Any) -> dict[str, Any]:
    """Import some contacts and wait for the end."""
    made = send(api, *contacts)
    assert made.status_code == 201, made.text
    mailtrap.advance(10)
    answer: dict[str, Any] = api.get(f"/contacts/imports/{made.json()['id']}").json()
    return answer


def fields_of(api: httpx.Client, email: str) -> Any:
    """What a contact's fields are."""
    return api.get(f"/contacts/{email}").json()["data"]["fields"]


def test_an_import_goes_from_created_over_started_to_finished(
    mailtrap: LocalMailtrap, api: httpx.Client
) -> None:
    """E-12: counts only at the end; nothing is applied before."""
    mailtrap.turn(import_start_seconds=5, import_seconds_per_1000_rows=2500)
    made = send(api, {"email": "a@example.com"}, {"email": "b@example.com"})
    assert made.status_code == 201
    assert [*made.json()] == ["id", "status", "created_at", "updated_at"]
    seen = []
    for _ in range(3):
        seen.append(api.get(f"/contacts/imports/{made.json()['id']}").json())
        assert len(mailtrap.account.contacts) == (2 if seen[-1]["status"] == "finished" else 0)
        mailtrap.advance(6)
    assert [each["status"] for each in seen] == ["created", "started", "finished"]
    assert "created_contacts_count" not in seen[1]
    assert [*seen[2]][4:] == ["created_contacts_count", "updated_contacts_count", "contacts_over_limit_count"]


def test_an_import_upserts_by_address_and_keeps_what_it_does_not_name(
    mailtrap: LocalMailtrap, api: httpx.Client
) -> None:
    """Whatever the case of the address; null clears."""
    mailtrap.seed(
        {"fields": FIELDS, "contacts": [{"email": "a@example.com", "fields": {"age": 1, "first_name": "A"}}]}
    )
    done = finished(
        mailtrap, api, {"email": " A@Example.com", "fields": {"age": 2}}, {"email": "b@example.com"}
    )
    assert (done["created_contacts_count"], done["updated_contacts_count"]) == (1, 1)
    assert fields_of(api, "a@example.com") == {
        "first_name": "A",
        "last_name": None,
        "age": 2,
        "score": None,
        "vip": None,
        "born": None,
    }
    finished(mailtrap, api, {"email": "a@example.com", "fields": {"first_name": None}})
    assert fields_of(api, "a@example.com")["first_name"] is None


def test_values_come_back_as_they_were_sent(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """All five types, in one import that takes the fast way and one that takes the slow one."""
    mailtrap.seed({"fields": FIELDS})
    values = {
        "first_name": "Zoë \u2028 😀",
        "age": -(2**63),
        "score": 0.1,
        "vip": False,
        "born": "2024-02-29",
    }
    finished(mailtrap, api, {"email": "fast@example.com", "fields": values})
    mailtrap.turn(unknown_fields="ignore")
    finished(mailtrap, api, {"email": "slow@example.com", "fields": values | {"nope": 1}})
    assert (
        fields_of(api, "fast@example.com")
        == fields_of(api, "slow@example.com")
        == {**values, "last_name": None}
    )


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"age": "7"}, {"age": ["is invalid"]}),
        ({"age": 2**63}, {"age": ["is invalid"]}),
        ({"age": True}, {"age": ["is invalid"]}),
        ({"age": 1.5}, {"age": ["is invalid"]}),
        ({"vip": 1}, {"vip": ["is invalid"]}),
        ({"born": "2023-02-29"}, {"born": ["is invalid"]}),
        ({"born": "2023-02-01T00:00:00Z"}, {"born": ["is invalid"]}),
        ({"first_name": "x" * 256}, {"first_name": ["is invalid"]}),
        ({"first_name": 5}, {"first_name": ["is invalid"]}),
        ({"shoe": 5, "hat": 1}, {"fields": ["contains invalid values: shoe, hat"]}),
        ("x", {"fields": ["is invalid"]}),
    ],
)
def test_a_bad_value_refuses_the_whole_import(
    mailtrap: LocalMailtrap, api: httpx.Client, fields: object, errors: object
) -> None:
    """E-11: an array of {email, errors}; nothing is stored, and no job is made."""
    mailtrap.seed({"fields": FIELDS})
    answer = send(api, {"email": "good@example.com"}, {"email": "Bad@example.com", "fields": fields})
    assert (answer.status_code, answer.json()) == (
        422,
        {"errors": [{"email": "Bad@example.com", "errors": errors}]},
    )
    mailtrap.advance(100)
    assert len(mailtrap.account.contacts) == 0 and not mailtrap.account.imports


def test_every_reason_of_every_contact_is_told(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Addresses, lists on both sides and unknown lists, each under the contact's address as it was sent."""
    mailtrap.seed({"lists": ["A"]})
    here = [*mailtrap.account.lists]
    answer = send(
        api,
        {"email": "nope"},
        {"email": "short@example.c"},
        {"email": "both@example.com", "list_ids_included": here, "list_ids_excluded": here},
        {"email": "unknown@example.com", "list_ids_included": [1]},
        "x",
    )
    assert answer.json()["errors"] == [
        {"email": "nope", "errors": {"email": ["is invalid"]}},
        {"email": "short@example.c", "errors": {"email": ["top level domain is too short"]}},
        {
            "email": "both@example.com",
            "errors": {"base": [f"same list_ids {here[0]} are specified both as included and excluded"]},
        },
        {"email": "unknown@example.com", "errors": {"list_id_included": ["contains invalid data"]}},
        {"email": "", "errors": {"base": ["is invalid"]}},
    ]


def test_more_than_the_maximum_is_refused_as_a_whole(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """50,000 by default; here 2."""
    mailtrap.turn(import_max_contacts=2)
    answer = send(api, *({"email": f"p{each}@example.com"} for each in range(3)))
    assert answer.json() == {"errors": [{"errors": {"base": ["cannot import more than 2 contacts at once"]}}]}


def test_lists_are_joined_and_left(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-12: included and excluded are applied, and automations counted."""
    mailtrap.seed({"lists": ["A", "B"], "contacts": [{"email": "a@example.com", "lists": ["A"]}]})
    first, second = mailtrap.account.lists
    finished(
        mailtrap, api, {"email": "a@example.com", "list_ids_included": [second], "list_ids_excluded": [first]}
    )
    assert api.get("/contacts/a@example.com").json()["data"]["list_ids"] == [second]
    counted = mailtrap.account.contacts.triggers
    assert (counted.contact_created, counted.added_to_list, counted.removed_from_list) == (0, 1, 1)


def test_contacts_over_the_plan_are_counted_not_created(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-12: the cap leaves those alone who are there already; the counts add up to the rows."""
    mailtrap.seed({"contact_limit": 2, "contacts": [{"email": "a@example.com"}]})
    done = finished(mailtrap, api, *({"email": f"{each}@example.com"} for each in "abcd"))
    assert [done[key] for key in [*done][4:]] == [1, 1, 2]


def test_an_address_twice_is_one_contact_and_counted_once(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """The later row wins; created + updated + over the limit = addresses."""
    done = finished(
        mailtrap,
        api,
        {"email": "a@example.com", "fields": {"first_name": "1"}},
        {"email": "A@example.com", "fields": {"first_name": "2"}},
    )
    assert (done["created_contacts_count"], done["updated_contacts_count"]) == (1, 0)
    assert fields_of(api, "a@example.com")["first_name"] == "2"


def test_people_who_left_stay_so_whatever_is_imported(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """An import cannot resubscribe anyone."""
    mailtrap.unsubscribe("a@example.com")
    mailtrap.suppress("b@example.com", kind="spam complaint")
    finished(
        mailtrap, api, {"email": "a@example.com"}, {"email": "b@example.com"}, {"email": "c@example.com"}
    )
    stati = [api.get(f"/contacts/{each}@example.com").json()["data"]["status"] for each in "abc"]
    assert stati == ["unsubscribed", "unsubscribed", "subscribed"]


@pytest.mark.parametrize("body", [b"{nope", b'{"contacts": [{"email": "\\ud800"}]}', b"\xff"])
def test_what_is_not_json_is_a_bad_request(api: httpx.Client, body: bytes) -> None:
    """E-19."""
    answer = api.post("/contacts/imports", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "Bad Request"})


@pytest.mark.parametrize("body", [{}, {"contact": []}, []])
def test_the_top_level_key_is_needed(api: httpx.Client, body: object) -> None:
    """As for a single contact."""
    answer = api.post("/contacts/imports", content=json.dumps(body))
    assert (answer.status_code, answer.json()) == (422, {"errors": "Please, provide top level key: contacts"})


def test_an_unknown_import_is_404(api: httpx.Client) -> None:
    """Also one whose id is no number."""
    assert [api.get(f"/contacts/imports/{each}").status_code for each in ("7", "x", "9" * 30)] == [404] * 3
