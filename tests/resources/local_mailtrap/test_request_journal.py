"""The request journal: enough to prove what a client did, and nothing about a person."""

import json

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

PERSON = {"email": "Secret.Person@example.com", "fields": {"first_name": "Hildegard"}}


@pytest.fixture
def used(mailtrap: LocalMailtrap, api: httpx.Client) -> LocalMailtrap:
    """A local Mailtrap that has been told about a person in every way there is."""
    mailtrap.seed({"contacts": [PERSON]})
    for path in (
        "/contacts/secret.person@example.com",
        "/contacts/secret.person%40example.com?x=Secret.Person%40example.com",
    ):
        api.get(path)
    api.get("/suppressions", params={"email": PERSON["email"]})
    api.post("/contacts", json={"contact": PERSON})
    api.post("/contacts/imports", json={"contacts": [PERSON, PERSON]})
    api.post("/contacts/imports", json={"contacts": [{**PERSON, "fields": {"nope": 1}}]})
    api.post("/contacts/secret.person@example.com/events", json={"name": "x"})
    return mailtrap


def test_no_token_and_no_person_stands_in_the_journal(used: LocalMailtrap, admin: httpx.Client) -> None:
    """Not in paths, queries, headers or excerpts of answers."""
    text = admin.get("/requests").text.lower()
    assert len(json.loads(text)) == 7
    for secret in ("secret.person", "hildegard", used.token):
        assert secret not in text


def test_the_journal_knows_who_was_named_and_how_often(used: LocalMailtrap) -> None:
    """By request, and by row of an import, whatever the case."""
    assert [entry.number for entry in used.journal.naming("secret.PERSON@example.com")] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    assert used.journal.times_sent("secret.person@example.com") == 3
    assert used.journal.times_sent("nobody@example.com") == 0


def test_an_entry_tells_size_rows_and_a_digest(used: LocalMailtrap) -> None:
    """The digest is that of the sorted addresses, one a line."""
    entry = used.journal.entries[4].as_dict()
    assert (entry["method"], entry["rows"], entry["status"], entry["origin"]) == ("POST", 2, 201, "api")
    assert entry["body_bytes"] > 100 and len(entry["emails_sha256"]) == 64
    assert json.loads(entry["response"])["status"] == "created"


def test_peaks_count_what_arrived_and_what_was_let_in(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Also requests that a fault answered: Mailtrap would have counted them too."""
    mailtrap.turn(contacts_limit=3)
    mailtrap.fault("F-03")
    for _ in range(5):
        api.get("/contacts/lists")
    mailtrap.advance(11)
    api.get("/contacts/lists")
    peaks = mailtrap.journal.peaks()
    assert (peaks["arrived"]["contacts_60s"], peaks["arrived"]["contacts_10s"]) == (6, 5)
    assert peaks["admitted"]["contacts_60s"] == 3
