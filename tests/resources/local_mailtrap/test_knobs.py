"""Knobs: each decides something, and none can be turned where it cannot stand."""

import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.knobs import BY_NAME, KNOBS, Knobs

Script = Callable[[LocalMailtrap, httpx.Client], object]


def said(answer: httpx.Response) -> object:
    """What an answer says."""
    return answer.status_code, answer.text


def sent(*contacts: Any) -> Script:
    """An import, and how the contacts look afterwards."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        fields = [{"merge_tag": "age", "data_type": "integer"}, {"merge_tag": "vip", "data_type": "boolean"}]
        mailtrap.seed(
            {"fields": fields, "contacts": [{"email": "a@example.com", "fields": {"first_name": "A"}}]}
        )
        made = api.post("/contacts/imports", json={"contacts": contacts})
        mailtrap.advance(10)
        shown = api.get("/contacts/imports/1").json()
        return (
            made.status_code,
            made.text,
            shown,
            [each["fields"] for each in mailtrap.dump()["accounts"][0]["contacts"]],
        )

    return script


def patched(**contact: Any) -> Script:
    """A PATCH of a contact that exists."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        mailtrap.seed(
            {
                "contacts": [{"email": "a@example.com", "lists": ["A"], "status": "unsubscribed"}],
                "lists": ["B"],
            }
        )
        return said(api.patch("/contacts/a@example.com", json={"contact": contact})), len(
            mailtrap.account.suppressions
        )

    return script


def asked(method: str, path: str, json: Any = None, times: int = 1) -> Script:
    """A request, perhaps several times."""
    return lambda _, api: [said(api.request(method, path, json=json)) for _ in range(times)][-1]


def with_two_accounts(path: str) -> Script:
    """A request with a token of two accounts."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        mailtrap.seed(
            {"accounts": [{"id": 7}, {"id": 8}], "tokens": {mailtrap.token: [7, mailtrap.account.id]}}
        )
        return said(api.get(f"https://mailtrap.io{path}"))

    return script


def refused(**headers: str) -> Script:
    """The headers of a 429."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        answers = [api.get("/suppressions") for _ in range(11)]
        return answers[-1].status_code, answers[-1].headers.get("retry-after")

    return script


def after(seconds: float, *, requests: int, path: str = "/contacts/lists", start: float = 0.0) -> Script:
    """How many of some requests are let in, the last ones after a while."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        mailtrap.advance(start)
        first = [api.get(path).status_code for _ in range(requests)]
        mailtrap.advance(seconds)
        return first.count(429), [api.get(path).status_code for _ in range(requests)].count(429)

    return script


def exported(filters: Any = (), wait: float = 10, *, headers: dict[str, str] | None = None) -> Script:
    """An export and its file."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        mailtrap.seed({"synthetic_contacts": 2000})
        made = api.post("/contacts/exports", json={"filters": filters})
        mailtrap.advance(0.052)
        mailtrap.seed({"contacts": [{"email": "late@example.com"}]})
        mailtrap.advance(wait)
        shown = api.get("/contacts/exports/652")
        if shown.status_code != 200 or not shown.json()["url"]:
            return said(made), said(shown)
        with httpx.Client(transport=mailtrap.transport()) as files:
            file = files.get(shown.json()["url"], headers=headers)
        return file.status_code, gzip.decompress(file.content) if file.status_code == 200 else b""

    return script


def status_after(suppressed_in: str) -> Script:
    """A suppressed contact's status."""

    def script(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
        mailtrap.seed(
            {
                "contacts": [{"email": "a@example.com"}],
                "suppressions": [{"email": "a@example.com", "sending_stream": suppressed_in}],
            }
        )
        return said(api.get("/contacts/a@example.com"))

    return script


def suppressed(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
    """All suppressions."""
    mailtrap.suppress("a@example.com")
    mailtrap.advance(1)
    mailtrap.suppress("b@example.com")
    return said(api.get("/suppressions"))


def at_half_a_plan(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
    """An import that is larger than the plan."""
    mailtrap.seed({"contact_limit": 1})
    return sent({"email": "b@example.com"}, {"email": "c@example.com"})(mailtrap, api)


def listed_twice(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
    """The same name twice."""
    return [said(api.post("/contacts/lists", json={"name": "A"})) for _ in range(2)]


def over_the_limit(mailtrap: LocalMailtrap, api: httpx.Client) -> object:
    """Refused requests, then a wait that is just long enough for those that were let in."""
    for _ in range(10):
        api.get("/suppressions")
    mailtrap.advance(30)
    api.get("/suppressions")
    mailtrap.advance(31)
    return [api.get("/suppressions").status_code for _ in range(10)].count(429)


ROW = {"email": "b@example.com"}
LONG = {**ROW, "fields": {"first_name": "x" * 300}}
CREATED = {"contact": {"email": "x"}}
CASES: dict[str, tuple[Any, Script]] = {
    "foreign_account": (404, asked("GET", "https://mailtrap.io/api/accounts/7/contacts/lists")),
    "plain_path_account": ("refuse", with_two_accounts("/api/contacts/lists")),
    "token_limit": (5, after(0, requests=10, path="https://mailtrap.io/api/accounts")),
    "token_window_seconds": (100, after(20, requests=151, path="https://mailtrap.io/api/accounts")),
    "contacts_limit": (5, after(0, requests=10)),
    "contacts_window_seconds": (500, after(70, requests=140)),
    "suppressions_limit": (5, after(0, requests=10, path="/suppressions")),
    "suppressions_window_seconds": (5, after(6, requests=10, path="/suppressions")),
    "limit_window": ("fixed", after(10, requests=10, path="/suppressions", start=55)),
    "refused_requests_count": (True, over_the_limit),
    "retry_after": ("seconds", refused()),
    "latency_seconds": (1, lambda mailtrap, api: (api.get("/contacts/lists"), mailtrap.clock.time())[1]),
    "bad_json": ("empty_html", lambda _, api: said(api.post("/contacts", content=b"{"))),
    "body_limit_bytes": (1, asked("POST", "/contacts", {})),
    "error_nesting": ("nested", asked("POST", "/contacts", CREATED)),
    "dup_create": (409, asked("POST", "/contacts", {"contact": ROW}, times=2)),
    "resubscribe": ("allow", patched(unsubscribed=False)),
    "unsubscribe_adds_suppression": (True, lambda mailtrap, api: (api.patch("/contacts/n@example.com", json={"contact": {"unsubscribed": True}}), len(mailtrap.account.suppressions))[1]),
    "suppressions_unsubscribe": ("bulk", status_after("transactional")),
    "patch_list_ids": ("replace", patched(list_ids=[])),
    "put_contact": ("as_patch", asked("PUT", "/contacts/a@example.com", {"contact": {}})),
    "contacts_index": (True, asked("GET", "/contacts")),
    "unset_fields": ("absent", sent(ROW)),
    "email_max_length": (5, sent(ROW)),
    "unicode_emails": ("accept", sent({"email": "zoë@example.com"})),
    "null_values": ("ignore", sent({"email": "a@example.com", "fields": {"first_name": None}})),
    "unknown_fields": ("ignore", sent({**ROW, "fields": {"nope": 1}})),
    "unknown_lists": ("ignore", sent({**ROW, "list_ids_included": [1]})),
    "numbers_in_text": ("accept", sent({**ROW, "fields": {"first_name": 7}})),
    "text_numbers": ("accept", sent({**ROW, "fields": {"age": "7", "vip": "true"}})),
    "long_text": ("truncate", sent(LONG)),
    "text_max_length": (300, sent(LONG)),
    "integer_range": ("int32", sent({**ROW, "fields": {"age": 2**40}})),
    "max_lists": (0, asked("POST", "/contacts/lists", {"name": "A"})),
    "max_fields": (2, asked("POST", "/contacts/fields", {"name": "A", "merge_tag": "a", "data_type": "text"})),
    "unique_lists": (False, listed_twice),
    "import_max_contacts": (1, sent(ROW, {"email": "c@example.com"})),
    "import_base_error": ("object", lambda mailtrap, api: (mailtrap.turn(import_max_contacts=0), sent(ROW)(mailtrap, api))[1]),
    "empty_import": ("accept", sent()),
    "import_duplicates": ("reject", sent(ROW, ROW)),
    "import_partial": (True, sent(ROW, {"email": "x"})),
    "plan_limit": ("refuse", at_half_a_plan),
    "import_times": (False, sent(ROW)),
    "import_start_seconds": (100, sent(ROW)),
    "import_seconds_per_1000_rows": (100_000, sent(ROW)),
    "export_layout": ("display_names", exported()),
    "export_snapshot": ("finish", exported()),
    "export_start_seconds": (100, exported()),
    "export_seconds_per_1000_rows": (100, exported()),
    "export_url_seconds": (1, exported()),
    "empty_filters": ("reject", exported()),
    "storage_refuses_auth": (False, exported(headers={"Authorization": "Bearer x"})),
    "suppressions_page": (1, suppressed),
    "suppressions_order": ("oldest", suppressed),
    "suppression_unset": ("null", suppressed),
    "billing_marketing": (True, asked("GET", "/billing/usage")),
}  # fmt: skip


def test_every_knob_has_a_case() -> None:
    """A knob that nothing reads is a bug, so each is turned below."""
    assert [*CASES] == [knob.name for knob in KNOBS]


@pytest.mark.parametrize("name", [*CASES])
def test_each_knob_changes_what_it_says(name: str) -> None:
    """The same script, with the knob at its default and turned, is answered differently."""
    value, script = CASES[name]
    seen = []
    for knobs in ({}, {name: value}):
        mailtrap = LocalMailtrap(knobs=knobs)
        base = f"https://mailtrap.io/api/accounts/{mailtrap.account.id}"
        with httpx.Client(
            transport=mailtrap.transport(), base_url=base, headers={"Api-Token": mailtrap.token}
        ) as api:
            seen.append(script(mailtrap, api))
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("turned", "words"),
    [
        ({"nope": 1}, "no such knob: nope"),
        ({"dup_create": 500}, "dup_create is one of 422, 409, 201"),
        ({"unique_lists": 1}, "unique_lists is one of"),
        ({"token_limit": "many"}, "token_limit is a number"),
        ({"token_limit": None}, "token_limit is a number"),
    ],
)
def test_a_knob_stands_only_where_it_can(turned: Any, words: str) -> None:
    """A wrong turn says what is right, and turns none of the others."""
    knobs = Knobs()
    with pytest.raises(ValueError, match=words):
        knobs.turn({"dup_create": 409, **turned} if "dup_create" not in turned else turned)
    assert knobs.as_dict() == {name: knob.default for name, knob in BY_NAME.items()}
