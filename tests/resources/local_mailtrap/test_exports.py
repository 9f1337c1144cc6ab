"""Exports: filters, one at a time, files on another host."""

import csv
import gzip
import io
from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.knobs import BY_NAME

PEOPLE = {
    "lists": ["A", "B"],
    "fields": [{"name": "VIP", "data_type": "boolean", "merge_tag": "vip"}],
    "contacts": [
        {
            "email": "a@example.com",
            "fields": {"first_name": 'An "A", or\nso', "vip": True},
            "lists": ["A", "B"],
        },
        {"email": "b@example.com", "lists": ["B"], "status": "unsubscribed"},
        {"email": "c@example.com"},
    ],
}


def export(mailtrap: LocalMailtrap, api: httpx.Client, *filters: Any) -> dict[str, Any]:
    """Start an export and wait for its end."""
    made = api.post("/contacts/exports", json={"filters": filters})
    assert made.status_code == 201, made.text
    mailtrap.advance(10)
    done: dict[str, Any] = api.get(f"/contacts/exports/{made.json()['id']}").json()
    assert done["status"] == "finished"
    return done


def rows(files: httpx.Client, url: str) -> list[dict[str, str]]:
    """The downloaded file."""
    text = gzip.decompress(files.get(url).raise_for_status().content).decode("utf-8-sig")
    return [*csv.DictReader(io.StringIO(text, newline=""))]


def test_an_export_is_a_job_whose_url_comes_last(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-14: 201 with Mailtrap's keys; null until it is finished."""
    made = api.post("/contacts/exports", json={})
    assert made.status_code == 201
    assert [*made.json()] == ["id", "created_at", "updated_at", "status", "url"]
    assert (made.json()["status"], made.json()["url"]) == ("created", None)
    assert made.json()["created_at"] == "2026-01-01T00:00:00.001Z"
    mailtrap.advance(10)
    assert api.get(f"/contacts/exports/{made.json()['id']}").json()["url"].startswith(mailtrap.storage_origin)


@pytest.mark.parametrize("layout", BY_NAME["export_layout"].allowed)
def test_every_layout_holds_everybody_with_their_values(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client, layout: str
) -> None:
    """E-15: none of the presets is the real one; each can be read."""
    mailtrap.seed(PEOPLE)
    mailtrap.turn(export_layout=layout)
    found = rows(files, export(mailtrap, api)["url"])
    names = {name.lower().replace(" ", "_"): name for name in found[0]}
    assert [row[names["email"]] for row in found] == ["a@example.com", "b@example.com", "c@example.com"]
    assert [row[names["status"]] for row in found] == ["subscribed", "unsubscribed", "subscribed"]
    assert (found[0][names["first_name"]], found[0][names["vip"]]) == ('An "A", or\nso', "true")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("list_id", [0], "ab"), ("list_id", [0, 1], "ab"), ("subscription_status", "unsubscribed", "b")],
)
def test_filters_choose_people(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client, name: str, value: Any, expected: str
) -> None:
    """By list ids or by status."""
    mailtrap.seed(PEOPLE)
    ids = [*mailtrap.account.lists][::-1]
    wanted = value if isinstance(value, str) else [ids[each] for each in value]
    found = rows(files, export(mailtrap, api, {"name": name, "operator": "equal", "value": wanted})["url"])
    assert [row["email"][0] for row in found] == [*expected]


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        ["x"],
        [{"name": "email", "operator": "equal", "value": "x"}],
        [{"name": "list_id", "operator": "equal", "value": "1"}],
        [{"name": "list_id", "operator": "like", "value": [1]}],
        [{"name": "subscription_status", "operator": "equal", "value": "gone"}],
    ],
)
def test_a_filter_that_is_not_known_is_refused_with_a_string(api: httpx.Client, wrong: object) -> None:
    """The one 422 whose value is neither array nor object."""
    answer = api.post("/contacts/exports", json={"filters": wrong})
    assert (answer.status_code, answer.json()) == (422, {"errors": {"filters": "invalid"}})


def test_one_export_at_a_time(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """The second waits until the first is finished."""
    api.post("/contacts/exports", json={})
    busy = api.post("/contacts/exports", json={})
    assert busy.status_code == 422
    assert busy.json()["errors"]["base"][0].startswith("There is a previous export initiated.")
    mailtrap.advance(10)
    assert api.post("/contacts/exports", json={}).status_code == 201


@pytest.mark.parametrize(("moment", "expected"), [("start", 1), ("finish", 2)])
def test_an_export_shows_one_moment(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client, moment: str, expected: int
) -> None:
    """E-14: who comes after the start is in it only when the knob says so."""
    mailtrap.turn(export_snapshot=moment, export_seconds_per_1000_rows=10_000)
    mailtrap.seed({"contacts": [{"email": "a@example.com"}]})
    made = api.post("/contacts/exports", json={}).json()
    mailtrap.advance(1)
    mailtrap.seed({"contacts": [{"email": "b@example.com"}]})
    mailtrap.advance(60)
    assert len(rows(files, api.get(f"/contacts/exports/{made['id']}").json()["url"])) == expected


def test_the_link_is_good_for_a_day_and_for_nobody_who_guesses(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client
) -> None:
    """E-14: signed and expiring; S3 says so in XML."""
    url = export(mailtrap, api)["url"]
    assert "SignatureDoesNotMatch" in files.get(url[:-1] + "x").text
    assert files.get(url.partition("?")[0]).status_code == 403
    assert files.post(url).status_code == 403
    mailtrap.advance(86_400)
    expired = files.get(url)
    assert (expired.status_code, expired.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in expired.text


def test_a_token_at_the_storage_host_is_noticed(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client
) -> None:
    """E-20: recorded always; `Authorization` beside a signature is refused as S3 does."""
    url = export(mailtrap, api)["url"]
    assert files.get(url).status_code == 200 and not mailtrap.state.leaks
    assert files.get(url, headers={"Authorization": "Bearer x"}).status_code == 400
    assert files.get(url, headers={"Api-Token": "x"}).status_code == 200
    assert [each["headers"] for each in mailtrap.state.leaks] == [["authorization"], ["api-token"]]


def test_a_part_of_a_file_can_be_asked_for(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client
) -> None:
    """As from S3, so that a download can go on."""
    url = export(mailtrap, api)["url"]
    whole = files.get(url).content
    part = files.get(url, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, whole[5:10])
    assert part.headers["content-range"] == f"bytes 5-9/{len(whole)}"
