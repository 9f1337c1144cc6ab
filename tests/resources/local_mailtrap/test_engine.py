"""How every request is judged: token, account, limits, headers; and what time does."""

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

LISTS = "https://mailtrap.io/api/contacts/lists"


def client(mailtrap: LocalMailtrap, **headers: str) -> httpx.Client:
    """A client without the usual token."""
    return httpx.Client(transport=mailtrap.transport(), headers=headers)


def test_both_path_styles_reach_the_same_account(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-01."""
    mailtrap.seed({"lists": ["A"]})
    assert api.get("/contacts/lists").json() == api.get(LISTS).json() != []


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer {}"}, {"Api-Token": "{}"}], ids=["bearer", "api-token"]
)
def test_both_headers_carry_the_token(mailtrap: LocalMailtrap, headers: dict[str, str]) -> None:
    """E-02."""
    filled = {name: value.format(mailtrap.token) for name, value in headers.items()}
    assert client(mailtrap, **filled).get(LISTS).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Token x"}, {"Api-Token": "x"}]
)
def test_without_a_token_the_answer_is_401(mailtrap: LocalMailtrap, headers: dict[str, str]) -> None:
    """E-02: `error`, not `errors`."""
    answer = client(mailtrap, **headers).get(LISTS)
    assert (answer.status_code, answer.json()) == (401, {"error": "Incorrect API token"})
    assert answer.headers["www-authenticate"] == 'Token realm="Application"'
    assert answer.headers["cache-control"] == "no-cache"


def test_a_foreign_account_is_forbidden(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-01: also one that does not exist."""
    mailtrap.seed({"accounts": [{"id": 7, "name": "Other"}]})
    for each in ("7", "8", "x"):
        answer = api.get(f"https://mailtrap.io/api/accounts/{each}/contacts/lists")
        assert (answer.status_code, answer.json()) == (403, {"errors": "Account access forbidden"})


def test_accounts_are_those_of_the_token(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-17: id, name, access levels."""
    mailtrap.seed(
        {
            "accounts": [{"id": 7, "name": "Other", "access_levels": [10]}],
            "tokens": {"two": [mailtrap.account.id, 7]},
        }
    )
    answer = client(mailtrap, **{"Api-Token": "two"}).get("https://mailtrap.io/api/accounts")
    assert [[*each.values()] for each in answer.json()] == [
        [2326475, "Local account", [1000]],
        [7, "Other", [10]],
    ]
    written = client(mailtrap, **{"Api-Token": "two"}).post(
        "https://mailtrap.io/api/accounts/7/contacts/lists", json={"name": "x"}
    )
    assert written.status_code == 403


def test_usage_tells_nothing_about_contacts(api: httpx.Client) -> None:
    """E-17."""
    assert [*api.get("/billing/usage").json()] == ["billing", "testing", "sending"]


def test_every_answer_carries_mailtraps_headers(api: httpx.Client) -> None:
    """E-03: also errors; the limit shown is the token's."""
    for number, answer in enumerate(
        (api.get("/contacts/lists"), api.get("/contacts/x@example.com"), api.post("/contacts", json={}))
    ):
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["x-ratelimit-limit"] == "150"
        assert answer.headers["x-ratelimit-remaining"] == str(149 - number)
        assert answer.headers["x-mailtrap-version"] == "v2" and answer.headers["server"] == "cloudflare"
        assert {"etag", "x-request-id", "x-runtime", "cf-cache-status", "date"} <= {*answer.headers}


def test_the_token_has_150_requests_in_ten_seconds(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-04: then 429 in Mailtrap's words, without Retry-After, until the window has passed."""
    stati = [api.get("https://mailtrap.io/api/accounts").status_code for _ in range(151)]
    assert stati == [200] * 150 + [429]
    refused = api.get("/contacts/lists")
    assert refused.json() == {"errors": "Rate limit exceeded"} and "retry-after" not in refused.headers
    mailtrap.advance(10)
    assert api.get("/contacts/lists").status_code == 200


def test_an_account_has_200_contacts_requests_in_a_minute(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """E-04: one pool for every contacts call; the headers do not show it."""
    for _ in range(100):
        assert api.get("/contacts/lists").status_code == 200
    mailtrap.advance(11)
    for _ in range(100):
        assert api.get("/contacts/imports/1").status_code == 404
    refused = api.get("/contacts/lists")
    assert refused.status_code == 429 and int(refused.headers["x-ratelimit-remaining"]) > 40
    assert api.get("/suppressions").status_code == 200
    mailtrap.advance(50)
    assert api.get("/contacts/lists").status_code == 200
    assert mailtrap.journal.peaks()["admitted"]["contacts_60s"] == 200


def test_suppressions_have_ten_requests_in_a_minute(api: httpx.Client) -> None:
    """E-04."""
    assert [api.get("/suppressions").status_code for _ in range(11)] == [200] * 10 + [429]


def test_the_same_script_gives_the_same_bytes() -> None:
    """Ids, times and headers come from the seed and the virtual clock alone."""

    def script(mailtrap: LocalMailtrap) -> list[object]:
        mailtrap.seed({"contacts": [{"email": "a@example.com"}]})
        with client(mailtrap, **{"Api-Token": mailtrap.token}) as some:
            mailtrap.suppress("a@example.com")
            answers = [
                some.get(f"https://mailtrap.io/api/{each}")
                for each in ("contacts/a@example.com", "suppressions")
            ]
        return [(each.content, sorted(each.headers.items())) for each in answers]

    assert script(LocalMailtrap()) == script(LocalMailtrap()) != script(LocalMailtrap(seed=1))


def test_a_client_may_sleep_on_the_local_clock(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """Waiting costs no time: `clock.sleep` only moves the clock."""
    before = mailtrap.clock.time()
    mailtrap.clock.sleep(3600)
    assert mailtrap.clock.time() == before + 3600
    with pytest.raises(ValueError, match="does not go back"):
        mailtrap.advance(-1)


def test_reset_begins_again(mailtrap: LocalMailtrap, api: httpx.Client) -> None:
    """World, knobs, faults and journal."""
    mailtrap.seed({"lists": ["A"]})
    mailtrap.turn(dup_create=409)
    mailtrap.fault("F-01")
    api.get("/contacts/lists")
    mailtrap.reset()
    assert not mailtrap.journal.entries and mailtrap.knobs["dup_create"] == 422
    assert api.get("/contacts/lists").json() == []
