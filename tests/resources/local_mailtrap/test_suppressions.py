"""Suppressions: pages, filters, and the calls that change them."""

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap


def page(api: httpx.Client, **query: str) -> list[dict[str, str]]:
    """One page."""
    found: list[dict[str, str]] = api.get("/suppressions", params=query).raise_for_status().json()
    return found


def test_pages_go_on_with_the_last_id(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-16: newest first; the pages together hold everyone once."""
    mailtrap.turn(suppressions_page=4)
    for number in range(10):
        mailtrap.suppress(f"p{number}@example.com")
        mailtrap.advance(1)
    found, last = [], {}
    while some := page(api, **last):
        assert len(some) <= 4
        found += some
        last = {"last_id": some[-1]["id"]}
    assert [each["email"] for each in found] == [f"p{number}@example.com" for number in reversed(range(10))]


def test_a_suppression_shows_empty_text_for_what_is_unknown(
    mailtrap: LocalMailtrap, api: httpx.Client
) -> None:
    """E-16: keys in Mailtrap's order, times without milliseconds."""
    mailtrap.suppress("a@example.com", kind="hard bounce", stream="bulk")
    (found,) = page(api)
    assert [*found][:6] == ["id", "type", "created_at", "email", "sending_stream", "domain_name"]
    assert (found["type"], found["created_at"], found["message_subject"]) == (
        "hard bounce",
        "2026-01-01T00:00:00Z",
        "",
    )


def test_filters_by_address_and_time(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Whatever the case of the address; times in any zone."""
    mailtrap.suppress("old@example.com")
    mailtrap.advance(3600)
    mailtrap.suppress("new@example.com")
    assert [each["email"] for each in page(api, email="OLD@example.com")] == ["old@example.com"]
    assert [each["email"] for each in page(api, start_time="2026-01-01T01:30:00+01:00")] == [
        "new@example.com"
    ]
    assert [each["email"] for each in page(api, end_time="2026-01-01T00:30:00Z")] == ["old@example.com"]
    assert api.get("/suppressions", params={"start_time": "soon"}).status_code == 400


def test_suppressions_are_made_and_released(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """201 in `data`; the deletion answers with what was deleted."""
    made = api.post(
        "/suppressions", json={"email": "A@example.com", "domain_id": 1, "sending_stream": "bulk"}
    )
    assert (made.status_code, made.json()["data"]["type"]) == (201, "manual import")
    path = f"/suppressions/{made.json()['data']['id']}"
    assert api.delete(path).json() == made.json()["data"]
    assert api.delete(path).status_code == 404 and page(api) == []


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"sending_stream": "bulk"}, {"email": ["can't be blank"]}),
        (
            {"email": "a@example.com", "sending_stream": "any"},
            {"sending_stream": ["is invalid. Allowed values: transactional, bulk."]},
        ),
    ],
)
def test_a_suppression_is_refused(api: httpx.Client, body: object, errors: object) -> None:
    """422 by attribute."""
    assert api.post("/suppressions", json=body).json() == {"errors": errors}
