"""Faults: every known one strikes as it says, and rules strike those requests that they name."""

import gzip
import zlib
from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.faults import BY_CODE, FAULTS, Faults
from resources.local_mailtrap.layouts import DRIFTS

CONTACTS = {"contacts": [{"email": "a@example.com"}, {"email": "B@example.com"}]}


def outcome(call: Any) -> Any:
    """What a client sees: an answer, or the way in which the connection failed."""
    try:
        return call()
    except httpx.TransportError as error:
        return type(error).__name__


def test_there_are_twenty_five_faults_and_each_is_named_once() -> None:
    """F-01 to F-25."""
    assert [fault.code for fault in FAULTS] == [f"F-{number:02}" for number in range(1, 26)]
    assert [*BY_CODE["F-15"].variants] == [*DRIFTS]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("seconds", "2"),
        ("http_date", "Thu, 01 Jan 2026 00:00:02 GMT"),
        ("huge", "86400000"),
        ("negative", "-5"),
        ("garbage", "soon"),
    ],
)
def test_f02_retry_after_in_every_form(
    mailtrap: LocalMailtrap, api: httpx.Client, variant: str, expected: str
) -> None:
    """And F-01 without it."""
    mailtrap.fault("F-02", variant=variant)
    mailtrap.fault("F-01", match={"nth": 2})
    first, second = api.get("/contacts/lists"), api.get("/contacts/lists")
    assert (first.status_code, first.headers["retry-after"]) == (429, expected)
    assert second.status_code == 429 and "retry-after" not in second.headers


@pytest.mark.parametrize("variant", [*BY_CODE["F-03"].variants])
def test_f03_server_errors_as_json_or_html(mailtrap: LocalMailtrap, api: httpx.Client, variant: str) -> None:
    """Cloudflare's pages carry none of Mailtrap's headers."""
    mailtrap.fault("F-03", variant=variant)
    answer = api.get("/contacts/lists")
    assert answer.status_code == int(variant)
    assert ("x-mailtrap-version" in answer.headers) == (variant == "500") == answer.text.startswith("{")
    assert api.get("/contacts/lists").status_code == 200


def test_f04_does_nothing_and_f05_does_it_all(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """To the client both are a lost connection; only one has left an import."""
    mailtrap.fault("F-04", match={"path": "imports$"})
    assert outcome(lambda: api.post("/contacts/imports", json=CONTACTS)) == "WriteError"
    assert not mailtrap.account.imports
    mailtrap.fault("F-05")
    assert outcome(lambda: api.post("/contacts/imports", json=CONTACTS)) == "ReadError"
    mailtrap.fault("F-05", variant="timeout")
    assert outcome(lambda: api.post("/contacts/imports", json=CONTACTS)) == "ReadTimeout"
    assert [*mailtrap.account.imports] == [1, 2]


def test_f06_and_f12_hold_the_export_slot(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """An export that nobody knows of, then one of somebody else."""
    mailtrap.fault("F-06")
    assert outcome(lambda: api.post("/contacts/exports", json={})) == "ReadError"
    assert api.post("/contacts/exports", json={}).status_code == 422
    mailtrap.advance(10)
    mailtrap.fault("F-12", times=2)
    assert [api.post("/contacts/exports", json={}).status_code for _ in range(3)] == [422, 422, 201]


@pytest.mark.parametrize(
    ("variant", "stati"),
    [
        ("slow", ["started", "finished"]),
        ("stuck_started", ["started", "started"]),
        ("stuck_created", ["created", "created"]),
    ],
)
@pytest.mark.parametrize("noun", ["imports", "exports"])
def test_f07_jobs_take_long_or_for_ever(
    mailtrap: LocalMailtrap, api: httpx.Client, noun: str, variant: str, stati: list[str]
) -> None:
    """An import or an export."""
    mailtrap.fault("F-07", variant=variant)
    made = api.post(f"/contacts/{noun}", json=CONTACTS if noun == "imports" else {}).json()["id"]
    seen = []
    for _ in range(2):
        mailtrap.advance(100)
        seen.append(api.get(f"/contacts/{noun}/{made}").json()["status"])
    assert seen == stati


def finished(mailtrap: LocalMailtrap, api: httpx.Client) -> dict[str, Any]:
    """An import, at its end."""
    made = api.post("/contacts/imports", json=CONTACTS)
    mailtrap.advance(10)
    shown: dict[str, Any] = api.get(f"/contacts/imports/{made.json()['id']}").json()
    return shown


def test_f08_f09_f20_imports_that_end_badly(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Failed without counts; over the plan; counts that do not add up."""
    mailtrap.fault("F-08")
    assert [*finished(mailtrap, api).values()][1] == "failed" and len(mailtrap.account.contacts) == 0
    mailtrap.fault("F-09")
    assert finished(mailtrap, api)["contacts_over_limit_count"] == 1
    mailtrap.fault("F-20")
    counts = [*finished(mailtrap, api).values()][4:]
    assert sum(counts) == 2 + 7


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("some", [{"email": "a@example.com", "errors": {"email": ["is invalid"]}}]),
        ("other_case", [{"email": "A@EXAMPLE.COM", "errors": {"email": ["is invalid"]}}]),
        ("base", [{"errors": {"base": ["is invalid"]}}]),
    ],
)
def test_f10_good_contacts_are_refused(
    mailtrap: LocalMailtrap, api: httpx.Client, variant: str, expected: object
) -> None:
    """Some of them, or all at once."""
    mailtrap.fault("F-10", variant=variant)
    answer = api.post("/contacts/imports", json=CONTACTS)
    assert (answer.status_code, answer.json()) == (422, {"errors": expected})
    mailtrap.fault("F-10", **{"with": {"emails": ["b@example.com"], "errors": {"first_name": ["is odd"]}}})
    named = api.post("/contacts/imports", json=CONTACTS).json()
    assert named == {"errors": [{"email": "b@example.com", "errors": {"first_name": ["is odd"]}}]}


@pytest.mark.parametrize("variant", [*BY_CODE["F-11"].variants])
def test_f11_errors_in_every_shape(mailtrap: LocalMailtrap, api: httpx.Client, variant: str) -> None:
    """422 as the variant says."""
    mailtrap.fault("F-11", variant=variant)
    answer = api.post("/contacts/imports", json=CONTACTS)
    assert (answer.status_code, answer.json()) == (422, BY_CODE["F-11"].variants[variant]["json"])


def link(mailtrap: LocalMailtrap, api: httpx.Client) -> str:
    """A finished export's link."""
    made = api.post("/contacts/exports", json={}).json()["id"]
    mailtrap.advance(10)
    return str(api.get(f"/contacts/exports/{made}").json()["url"])


def test_f13_a_link_expires_early(mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client) -> None:
    """403 in XML, once."""
    url = link(mailtrap, api)
    mailtrap.fault("F-13")
    assert "<Message>Request has expired</Message>" in files.get(url).text
    assert files.get(url).status_code == 200


@pytest.mark.parametrize("variant", [*BY_CODE["F-14"].variants])
def test_f14_no_damaged_file_passes_for_a_whole_one(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client, variant: str
) -> None:
    """The connection fails, or the gzip does, or it is empty."""
    url = link(mailtrap, api)
    mailtrap.fault("F-14", variant=variant)
    got = outcome(lambda: files.get(url))
    if variant in ("wrong_length", "reset"):
        assert got == ("RemoteProtocolError" if variant == "wrong_length" else "ReadError")
    elif variant in ("empty", "empty_gzip"):
        assert got.content == b"" or gzip.decompress(got.content) == b""
    else:
        with pytest.raises((EOFError, gzip.BadGzipFile, zlib.error)):
            gzip.decompress(got.content)


@pytest.mark.parametrize("variant", DRIFTS)
def test_f15_every_drift_changes_the_file(
    mailtrap: LocalMailtrap, api: httpx.Client, files: httpx.Client, variant: str
) -> None:
    """The next export, not the one after it."""
    fields = [
        {"merge_tag": "n", "data_type": "integer"},
        {"merge_tag": "t", "data_type": "boolean"},
        {"merge_tag": "d", "data_type": "date"},
    ]
    values = [{"n": 2, "t": True, "d": "2024-02-29"}, {"first_name": "x"}]
    people = [{"email": f"{number}@example.com", "fields": each} for number, each in enumerate(values)]
    mailtrap.seed({"fields": fields, "contacts": people})
    mailtrap.fault("F-15", variant=variant)
    drifted, usual = (gzip.decompress(files.get(link(mailtrap, api)).content) for _ in range(2))
    assert drifted != usual and usual.startswith(b"email,status,first_name,last_name,n,t,d,")


@pytest.mark.parametrize(("variant", "status"), [("revoked", 401), ("forbidden", 403), ("plan", 403)])
def test_f16_what_was_allowed_no_longer_is(
    mailtrap: LocalMailtrap, api: httpx.Client, variant: str, status: int
) -> None:
    """From the third request on, for good."""
    mailtrap.fault("F-16", variant=variant, match={"nth": [*range(3, 100)]}, times=None)
    assert [api.get("/contacts/lists").status_code for _ in range(4)] == [200, 200, status, status]


@pytest.mark.parametrize("variant", [*BY_CODE["F-17"].variants])
def test_f17_answers_that_nobody_expects(mailtrap: LocalMailtrap, api: httpx.Client, variant: str) -> None:
    """Unknown status, missing keys, more keys, counts that are no numbers."""
    usual = finished(mailtrap, api)
    mailtrap.fault("F-17", variant=variant)
    assert api.get("/contacts/imports/1").json() != usual == api.get("/contacts/imports/1").json()


def test_f18_a_new_job_is_not_found_at_first(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """For as many looks as the rule says."""
    mailtrap.fault("F-18", times=2)
    api.post("/contacts/imports", json=CONTACTS)
    assert [api.get("/contacts/imports/1").status_code for _ in range(3)] == [404, 404, 200]


@pytest.mark.parametrize("variant", ["cut", "malformed"])
def test_f19_success_in_broken_json(mailtrap: LocalMailtrap, api: httpx.Client, variant: str) -> None:
    """201, the import is there, and its answer cannot be read."""
    mailtrap.fault("F-19", variant=variant)
    answer = api.post("/contacts/imports", json=CONTACTS)
    assert answer.status_code == 201 and [*mailtrap.account.imports] == [1]
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_f21_pages_that_lead_nowhere(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Each variant, on the second page."""
    mailtrap.turn(suppressions_page=2, suppressions_limit=100)
    for number in range(4):
        mailtrap.suppress(f"p{number}@example.com")
        mailtrap.advance(1)
    first = api.get("/suppressions").json()

    def second() -> Any:
        return api.get("/suppressions", params={"last_id": first[-1]["id"]}).json()

    usual = second()
    for variant, expected in (
        ("repeat_page", first),
        ("same_last", [usual[0], first[0]]),
        ("empty_page", []),
        ("insert", usual),
    ):
        mailtrap.fault("F-21", variant=variant)
        assert second() == expected, variant
    assert len(mailtrap.account.suppressions) == 5


def test_f22_slow_answers_cost_the_client_its_patience(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Silence ends in the read timeout; drips do not, whatever they cost."""
    mailtrap.fault("F-22", variant="silence")
    began = mailtrap.clock.time()
    assert outcome(lambda: api.get("/contacts/lists", timeout=5)) == "ReadTimeout"
    assert mailtrap.clock.time() - began == pytest.approx(5, abs=0.1)
    mailtrap.fault("F-22", **{"with": {"seconds": 60}})
    assert api.get("/contacts/lists", timeout=5).status_code == 200
    assert mailtrap.clock.time() - began == pytest.approx(65, abs=0.1)


def test_f23_large_bodies_are_refused(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Above the size in the rule."""
    mailtrap.fault("F-23", times=None, **{"with": {"bytes": 60}})
    assert api.post("/contacts/imports", json=CONTACTS).status_code == 413
    assert api.post("/contacts/imports", json={"contacts": CONTACTS["contacts"][:1]}).status_code == 201


def test_f24_fields_and_lists_vanish_under_a_request(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """The import that named them is refused."""
    mailtrap.seed({"lists": ["A"]})
    row = {
        "email": "a@example.com",
        "fields": {"last_name": "x"},
        "list_ids_included": [*mailtrap.account.lists],
    }
    mailtrap.fault("F-24", variant="field")
    refused = api.post("/contacts/imports", json={"contacts": [row]}).json()
    assert refused["errors"][0]["errors"] == {"fields": ["contains invalid values: last_name"]}
    mailtrap.fault("F-24", variant="list")
    refused = api.post("/contacts/imports", json={"contacts": [{**row, "fields": {}}]}).json()
    assert refused["errors"][0]["errors"] == {"list_id_included": ["contains invalid data"]}


def test_f25_the_date_header_is_off(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """By two hours either way."""
    mailtrap.fault("F-25")
    mailtrap.fault("F-25", variant="behind", match={"nth": 2})
    dates = [api.get("/contacts/lists").headers["date"] for _ in range(2)]
    assert dates == ["Thu, 01 Jan 2026 02:00:00 GMT", "Wed, 31 Dec 2025 22:00:00 GMT"]


def test_a_rule_strikes_whom_it_names(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """By method, path, number, times."""
    mailtrap.fault(
        action={"do": "answer", "status": 418, "json": {}},
        match={"method": "GET", "path": "lists", "nth": [2, 4]},
        times=None,
    )
    api.post("/contacts/lists", json={"name": "A"})
    assert [api.get("/contacts/lists").status_code for _ in range(5)] == [200, 418, 200, 418, 200]
    assert [(each["matched"], each["fired"]) for each in mailtrap.faults.all()] == [(5, 2)]


def test_chance_is_the_same_for_the_same_seed() -> None:
    """And different for another."""

    def struck(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add({"fault": "F-01", "match": {"probability": 0.5}})
        return [bool(faults.meet("GET", "/api/x").actions) for _ in range(64)]

    assert struck(1) == struck(1) != struck(2)
    assert 10 < sum(struck(1)) < 54


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "either a fault"),
        ({"fault": "F-99"}, "no such fault"),
        ({"fault": "F-03", "variant": "404"}, "has no variant '404': it has 500, 502"),
        ({"action": {"do": "explode"}}, "an action's `do` is one of answer"),
        ({"fault": "F-01", "when": 1}, "has no when"),
        ({"fault": "F-01", "match": {"host": 1}}, "has no host"),
    ],
)
def test_a_wrong_rule_says_what_is_right(rule: Any, words: str) -> None:
    """Before anything is added."""
    faults = Faults()
    with pytest.raises(ValueError, match=words):
        faults.add(rule)
    assert faults.all() == []
