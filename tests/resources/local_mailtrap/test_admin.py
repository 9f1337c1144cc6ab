"""The admin API: everything a test in another process needs."""

from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap


def test_it_has_a_token_of_its_own(mailtrap: LocalMailtrap, api: httpx.Client, admin: httpx.Client) -> None:
    """Mailtrap's token opens nothing here, and the admin's nothing there."""
    assert api.get(f"{mailtrap.api_origin}/__emulator__/state").status_code == 401
    assert admin.get(f"{mailtrap.api_origin}/api/accounts").status_code == 401
    assert admin.get("/").json()["storage"] == mailtrap.storage_origin


def test_it_is_not_counted(mailtrap: LocalMailtrap, admin: httpx.Client) -> None:
    """Neither in the journal nor against a limit, and it takes no time."""
    before = mailtrap.clock.time()
    for _ in range(160):
        assert admin.get("/clock").json() == {"now": before, "virtual": True}
    assert not mailtrap.journal.entries


def test_a_whole_story(mailtrap: LocalMailtrap, api: httpx.Client, admin: httpx.Client) -> None:
    """Seed, turn, break, wait, leave, ask."""
    people = [{"email": f"{each}@example.com", "lists": ["News"]} for each in "abc"]
    assert admin.post("/seed", json={"lists": ["News"], "contacts": people}).json() == {
        "lists": 1,
        "contacts": 3,
    }
    assert admin.patch("/knobs", json={"import_start_seconds": 60}).json()["import_start_seconds"] == 60
    rule = admin.post("/faults", json={"fault": "F-03", "match": {"path": "imports$"}}).json()
    rows = {"contacts": [{"email": "d@example.com"}]}
    assert [api.post("/contacts/imports", json=rows).status_code for _ in range(2)] == [500, 201]
    assert admin.get("/faults").json()[0]["fired"] == 1
    assert admin.delete(f"/faults/{rule['id']}").json() == []
    assert admin.get("/counts").json()[str(mailtrap.account.id)]["contacts"] == 3
    admin.post("/clock/advance", json={"seconds": 61})
    admin.post("/people/unsubscribe", json={"emails": ["A@example.com"]})
    admin.post("/people/suppress", json={"emails": ["b@example.com"], "type": "spam complaint"})
    state: dict[str, Any] = admin.get("/state").json()["accounts"][0]
    assert [each["status"] for each in state["contacts"]] == [
        "unsubscribed",
        "unsubscribed",
        "subscribed",
        "subscribed",
    ]
    assert state["imports"][0]["created_contacts_count"] == 1 and state["triggers"]["contact_created"] == 1
    assert admin.post("/seen", json={"emails": ["D@example.com", "x@example.com"]}).json() == [
        {"requests": [2], "imported": 1},
        {"requests": [], "imported": 0},
    ]
    assert admin.get("/peaks").json()["arrived"]["contacts_60s"] == 2
    assert admin.get("/leaks").json() == []
    assert admin.delete("/requests").json() == admin.get("/requests").json() == []
    assert admin.post("/reset", json={"seed": 3}).json() == {"seed": 3}
    assert admin.get("/state").json()["accounts"][0]["contacts"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("PATCH", "/knobs", {"nope": 1}, "no such knob: nope"),
        ("POST", "/faults", {"fault": "F-77"}, "no such fault"),
        ("POST", "/faults", {"fault": "F-01", "match": {"path": "("}}, "unterminated"),
        ("POST", "/seed", {"people": []}, "a seed has no people"),
        ("POST", "/clock/advance", {}, "seconds"),
        ("POST", "/clock/advance", {"seconds": -1}, "does not go back"),
        ("DELETE", "/faults/9", None, "no such fault rule"),
        ("POST", "/seed", [], "the body is a JSON object"),
    ],
)
def test_a_mistake_is_answered_with_its_reason(
    admin: httpx.Client, method: str, path: str, body: Any, words: str
) -> None:
    """422, never 500."""
    answer = admin.request(method, path, json=body)
    assert answer.status_code == 422 and words in answer.json()["error"]


def test_what_it_does_not_know_it_answers_with_what_it_knows(admin: httpx.Client) -> None:
    """404 with the table of calls."""
    answer = admin.get("/nope")
    assert answer.status_code == 404 and "GET /__emulator__/peaks" in answer.json()["calls"]
