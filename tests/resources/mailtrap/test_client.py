"""The client against a server that misbehaves: what is repeated, what is unknown, what is refused, and what is said."""

import contextlib
import gzip
import io
import itertools
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from resources.errors import ConnectorError, RefusedError, SettingsError, UnavailableError, UnfinishedError
from resources.mailtrap import wire
from resources.mailtrap.budget import Grant, Lane, Unlimited, Window
from resources.mailtrap.client import ClientSettings, MailtrapClient
from tests.resources.mailtrap.loopback import CLOSE, RESET, Loopback, Reply, Seen, answer

TOKEN = "canary-token-0123456789abcdef"
ADDRESS = "canary.person+news@example.com"
CONTACT_ID = "0199090c-b5ec-7be8-b18f-1a7c8a64f9fb"
JOB = {"id": 7, "status": "created"}
HTML = b"<html><body>cloudflare 520 " + ADDRESS.encode() + b"</body></html>"
LISTS = [{"id": 1, "name": "Newsletter"}]
CONTACT = {
    "id": CONTACT_ID,
    "email": ADDRESS,
    "status": "subscribed",
    "list_ids": [1],
    "fields": {"age": None},
}
BODY = b'{"contacts":[{"email":"' + ADDRESS.encode() + b'"}]}'


@dataclass
class Script:
    """Replies in their order; the last one stays."""

    replies: Sequence[Reply]
    asked: int = 0

    def __call__(self, seen: Seen) -> Reply:
        self.asked += 1
        return self.replies[min(self.asked, len(self.replies)) - 1]


@dataclass
class Scene:
    """A client, the server it talks to, and what it did in between."""

    client: MailtrapClient
    server: Loopback
    slept: list[float] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many whole requests reached the server."""
        return len(self.server.seen)


@contextlib.contextmanager
def scene(*replies: Reply, **settings: Any) -> Iterator[Scene]:
    """A client in front of a server that gives these replies."""
    with Loopback(Script(replies)).running() as server:
        slept: list[float] = []
        of_client = ClientSettings(
            **{"token": TOKEN, "account_id": 1, "url": server.url, "timeout_seconds": 5.0} | settings
        )
        with MailtrapClient(
            of_client, Unlimited(slept.append), sleep=slept.append, random=lambda: 0.5
        ) as client:
            yield Scene(client, server, slept)


def faked(handler: Callable[[httpx.Request], httpx.Response], **settings: Any) -> MailtrapClient:
    """A client without sockets, whose sleeps take no time."""
    of_client = ClientSettings(**{"token": TOKEN, "account_id": 1} | settings)
    return MailtrapClient(
        of_client, Unlimited(lambda _: None), transport=httpx.MockTransport(handler), sleep=lambda _: None
    )


def shown(error: BaseException) -> str:
    """All that a log, a debugger or Dagster would print of an error, causes included."""
    return (
        "".join(traceback.format_exception(error))
        + repr(error)
        + repr(error.__cause__)
        + repr(error.__context__)
    )


# ── requests that are harmless twice ───────────────────────────────────────────────────────────────────────────

MENDS = {
    "500 in JSON": answer(500, {"errors": "Unexpected error"}),
    "502 as a web page": answer(502, HTML, headers={"Content-Type": "text/html"}),
    "520 of Cloudflare": answer(520, HTML, headers={"Content-Type": "text/html"}),
    "503 with Retry-After": answer(503, b"", headers={"Retry-After": "2"}),
    "408": answer(408, {"error": "Request Timeout"}),
    "429 without Retry-After": answer(429, {"errors": "Rate limit exceeded"}),
    "429 with seconds": answer(429, {"errors": "Rate limit exceeded"}, headers={"Retry-After": "3"}),
    "429 with garbage": answer(429, b"<<<", headers={"Retry-After": "soon"}),
    "reset before an answer": RESET,
    "closed without an answer": CLOSE,
    "reset within the head": Reply([b"HTTP/1.1 200 OK\r\nContent-Le"], "reset"),
    "reset within the body": Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n[{"], "reset"),
    "fewer bytes than announced": Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n[]"], "close"),
    "JSON cut off": answer(200, b'[{"id": 1, "name": "News'),
    "a web page with 200": answer(200, HTML, headers={"Content-Type": "text/html"}),
    "an empty body with 200": answer(200, b""),
    "JSON of another kind": answer(200, {"hello": 1}),
    "NaN in JSON": answer(200, b'[{"id": NaN, "name": "x"}]'),
    "absurdly deep JSON": answer(200, b"[" * 100_000),
    "no HTTP at all": Reply([b"220 smtp.example.com ESMTP\r\n"], "close"),
    "gzip that is none": answer(200, b"not gzip", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("fault", MENDS.values(), ids=MENDS)
def test_a_read_is_repeated_after_what_may_pass(fault: Reply) -> None:
    """One fault, then a good answer: the caller never notices."""
    with scene(fault, answer(200, LISTS)) as at:
        assert at.client.lists() == (wire.ContactList(1, "Newsletter"),)
        assert at.client.usage_counts.requests == 2
        assert at.client.usage_counts.retries == 1


@pytest.mark.parametrize("fault", MENDS.values(), ids=MENDS)
def test_a_read_gives_up_in_the_end_and_says_nothing_it_should_not(fault: Reply) -> None:
    """A fault that stays is `UnavailableError`, after a bounded number of attempts, without token, address or URL."""
    with scene(fault, attempts=3) as at:
        with pytest.raises(UnavailableError) as caught:
            at.client.get_contact(ADDRESS)
        assert at.client.usage_counts.requests == 3
        assert_silent(shown(caught.value), at.server.url)


def assert_silent(text: str, url: str = "") -> None:
    """Neither token nor person nor place is in a text."""
    for secret in (
        TOKEN,
        "canary.person",
        "canary.person%2Bnews",
        "/api/accounts/1/contacts",
        url and url.split("//")[1],
    ):
        assert not secret or secret not in text, text


REFUSALS = {
    "401": (401, {"error": "Incorrect API token"}, "MAILTRAP_API_TOKEN"),
    "403": (403, {"errors": "Account access forbidden"}, "access forbidden"),
    "403 of a plan": (403, {"errors": "Unavailable on your plan"}, "plan"),
    "400 as an empty web page": (400, b"", "status 400"),
    "422 flat": (422, {"errors": {"email": ["is invalid"]}}, "email: is invalid"),
    "422 nested": (
        422,
        {"errors": {"email": [["is invalid"]], "base": [["same list_ids 1 and 3"]]}},
        "email: is invalid",
    ),
    "422 a string": (422, {"errors": {"filters": "invalid"}}, "filters: invalid"),
    "422 a list": (422, {"errors": ["name can't be blank"]}, "name can't be blank"),
    "422 with an address": (422, {"errors": [f"{ADDRESS} is taken"]}, "taken"),
    "301": (301, b"", "MAILTRAP_API_URL"),
    "302": (302, b"", "MAILTRAP_API_URL"),
    "307": (307, b"", "MAILTRAP_API_URL"),
    "405": (405, {"error": "Method Not Allowed"}, "status 405"),
}


@pytest.mark.parametrize(("status", "body", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_final_and_says_what_to_do(status: int, body: object, words: str) -> None:
    """No retry, a remedy, and nobody's data; a redirect is never followed, so that the token stays here."""
    where = {"Location": "http://127.0.0.1:1/steal"} if 300 <= status < 400 else {}
    with scene(answer(status, body, headers=where)) as at:
        with pytest.raises(RefusedError) as caught:
            at.client.upsert_contact(ADDRESS, email=ADDRESS)
        assert words in str(caught.value)
        assert caught.value.status == status
        assert caught.value.remedy
        assert at.asked == 1
        assert_silent(shown(caught.value), at.server.url)


def test_the_pause_before_a_repetition_is_the_servers_or_grows() -> None:
    """503 with Retry-After is honoured; without it the pause doubles, with jitter."""
    with scene(answer(503, b"", headers={"Retry-After": "7"}), answer(200, LISTS)) as at:
        at.client.lists()
        assert 7.0 <= at.slept[0] < 8.0
    with scene(answer(500, {}), attempts=4) as at:
        with pytest.raises(UnavailableError):
            at.client.lists()
        assert at.slept == [0.375, 0.75, 1.5]


def test_a_429_closes_its_window_and_is_not_slept_through_twice() -> None:
    """The header with 0 left speaks of the token; otherwise it is the account's window that is full."""
    closed: list[tuple[str, float | None]] = []

    class Recorder(Unlimited):
        def close(self, window: Window, *, retry_after: float | None) -> None:
            closed.append((window.name.split()[1], retry_after))

    replies = iter(
        [
            httpx.Response(429, headers={"x-ratelimit-remaining": "0"}),
            httpx.Response(429, headers={"x-ratelimit-remaining": "120"}),
            httpx.Response(429, headers={"retry-after": "5"}),
            httpx.Response(200, json=LISTS),
        ]
    )
    slept: list[float] = []
    client = MailtrapClient(
        ClientSettings(token=TOKEN, account_id=1),
        Recorder(slept.append),
        transport=httpx.MockTransport(lambda _: next(replies)),
        sleep=slept.append,
    )
    client.lists()
    assert closed == [("token", None), ("account", None), ("account", 5.0)]
    assert slept == []


def test_an_answer_that_drips_ends_at_the_timeout() -> None:
    """One byte now and then keeps every single read alive: the whole exchange has a deadline of its own."""
    for drip in (
        [b"HTTP/1.1 200 OK\r\n", *itertools.chain.from_iterable([b"X", 0.05] for _ in range(100))],
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            *itertools.chain.from_iterable([b" ", 0.05] for _ in range(100)),
        ],
    ):
        with (
            scene(Reply(drip, "close"), timeout_seconds=0.4, attempts=1) as at,
            pytest.raises(UnavailableError),
        ):
            at.client.lists()


def test_an_answer_beyond_every_bound_is_not_kept() -> None:
    """A compressed answer that unpacks to gigabytes stops at the bound."""
    bomb = answer(200, bomb_bytes(), headers={"Content-Encoding": "gzip"})
    with scene(bomb, attempts=1) as at, pytest.raises(UnavailableError, match="bound"):
        at.client.lists()


def bomb_bytes() -> bytes:
    """About 100 KB that unpack to 100 MB."""
    return gzip.compress(b" " * (100 * 1024 * 1024), compresslevel=9)


# ── requests that must not be carried out twice ────────────────────────────────────────────────────────────────

LOST = {
    "reset before an answer": RESET,
    "closed without an answer": CLOSE,
    "reset within the body": Reply([b"HTTP/1.1 201 Created\r\nContent-Length: 400\r\n\r\n{"], "reset"),
    "500": answer(500, {"errors": "Unexpected error"}),
    "502 as a web page": answer(502, HTML),
    "503 with Retry-After": answer(503, b"", headers={"Retry-After": "1"}),
    "504": answer(504, HTML),
    "524 of Cloudflare": answer(524, HTML),
    "408": answer(408, b""),
    "201 with JSON cut off": answer(201, b'{"id": 12'),
    "201 with a web page": answer(201, HTML),
    "201 without an id": answer(201, {"status": "created"}),
    "201 with nothing": answer(201, b""),
    "200 with null": answer(200, b"null"),
    "204": answer(204, b""),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_lost_answer_to_an_import_is_unknown_and_never_sent_again(fault: Reply) -> None:
    """Mailtrap may be at work on it: sending it again is not for the client to decide."""
    with scene(fault, answer(201, JOB)) as at:
        outcome = at.client.create_import(BODY)
        assert isinstance(outcome, wire.OutcomeUnknown)
        assert_silent(repr(outcome), at.server.url)
        assert at.asked == 1


@pytest.mark.parametrize("fault", [LOST["reset before an answer"], LOST["502 as a web page"], LOST["204"]])
def test_a_lost_answer_to_an_export_an_event_or_a_contact_is_unknown_too(fault: Reply) -> None:
    """Exports hold the account's only place, events have no key, contacts may exist now."""
    for send in (
        lambda client: client.create_export(),
        lambda client: client.create_contact(ADDRESS),
        lambda client: client.create_event(CONTACT_ID, "Login", params={}),
    ):
        with scene(fault) as at:
            assert isinstance(send(at.client), wire.OutcomeUnknown)
            assert at.asked == 1


def test_a_slow_answer_to_an_import_is_unknown_at_the_timeout() -> None:
    """The request was whole; what became of it, nobody knows."""
    with scene(Reply([2.0]), timeout_seconds=0.3) as at:
        assert at.client.create_import(BODY) == wire.OutcomeUnknown("ReadTimeout")


def test_a_429_on_an_import_is_a_certain_refusal_and_repeated() -> None:
    """Nothing was accepted, so the same bytes may go again when the window opens; the fence is asked each time."""
    fences: list[int] = []
    with scene(answer(429, {"errors": "Rate limit exceeded"}), answer(201, JOB)) as at:
        outcome = at.client.create_import(BODY, before_send=lambda: fences.append(at.asked))
        assert outcome == wire.ImportAccepted(wire.ImportJob(7, "created"))
        assert fences == [0, 1]
        assert [seen.body for seen in at.server.seen] == [BODY, BODY]


def test_an_import_that_was_never_connected_is_not_unknown() -> None:
    """Nobody listens: nothing was sent, which is an error and not a maybe."""
    with Loopback(Script([CLOSE])).running() as server:
        gone = server.url
    client = MailtrapClient(
        ClientSettings(token=TOKEN, account_id=1, url=gone, attempts=2),
        Unlimited(lambda _: None),
        sleep=lambda _: None,
    )
    with pytest.raises(UnavailableError, match="refused") as caught:
        client.create_import(BODY)
    assert_silent(shown(caught.value), gone)


def test_an_import_that_broke_off_while_it_was_sent_is_sent_again() -> None:
    """A body shorter than its Content-Length cannot have been acted on: that is certain, and so is the repetition."""
    big = b'{"contacts":[' + b" " * (24 * 1024 * 1024) + b"]}"
    with scene(answer(201, JOB)) as at:
        at.server.read_at_most = 100_000
        tries: list[None] = []

        def before_send() -> None:
            tries.append(None)
            if len(tries) == 2:
                at.server.read_at_most = None

        assert isinstance(
            at.client.create_import([big[:1000], memoryview(big)[1000:]], before_send=before_send),
            wire.ImportAccepted,
        )
        assert len(tries) == 2
        assert at.asked == 1
        assert len(at.server.seen[0].body) == len(big)


class Places(Unlimited):
    """Gives a place to everybody, and writes down which were had and what became of them."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.seen: list[str] = []

    def acquire(self, windows: Sequence[Window], *, lane: Lane, patience_seconds: float) -> Grant:
        self.seen.append(lane)
        return self  # a place, too

    def answered(self) -> None:
        self.seen.append("answered")

    def unsent(self) -> None:
        self.seen.append("unsent")


def test_a_fence_that_says_no_sends_nothing_and_gives_its_place_back() -> None:
    """Between the grant and the first byte the journal is asked, and its no is final."""
    places = Places()
    client = MailtrapClient(
        ClientSettings(token=TOKEN, account_id=1),
        places,
        transport=httpx.MockTransport(unreachable),
    )
    with pytest.raises(RuntimeError, match="fenced"):
        client.create_import(BODY, before_send=fenced)
    assert places.seen == ["import", "unsent"]


def test_a_place_that_was_had_long_ago_is_had_anew() -> None:
    """A process that was stopped between the grant and its request no longer has what it was granted."""
    places, now = Places(), [0.0]

    def sleeping() -> None:
        now[0] += 1000.0

    with MailtrapClient(
        ClientSettings(token=TOKEN, account_id=1),
        places,
        transport=httpx.MockTransport(lambda _: httpx.Response(500)),
        sleep=lambda _: None,
        monotonic=lambda: now[0],
    ) as client:
        assert isinstance(client.create_import(BODY, before_send=sleeping), wire.OutcomeUnknown)
    assert places.seen == ["import", "unsent", "import", "answered"]


def fenced() -> None:
    """The journal says no."""
    raise RuntimeError("fenced")


def unreachable(request: httpx.Request) -> httpx.Response:
    """A network that must not be touched."""
    raise AssertionError("nothing may be sent")


def test_a_refused_import_names_its_rows() -> None:
    """422: an array of {email, errors}, flat or nested; what names nobody is about the request."""
    told = {
        "errors": [
            {"email": "a@example.com", "errors": {"email": ["is invalid"], "birthdate": [["is invalid"]]}},
            {"email": "b@example.com", "errors": {"base": ["contacts limit reached"]}},
            {
                "email": "b@example.com",
                "errors": {"base": ["cannot import more than 50000 contacts at once"]},
            },
        ]
    }
    with scene(answer(422, told)) as at:
        outcome = at.client.create_import(BODY)
    assert isinstance(outcome, wire.ImportRefused)
    assert [(row.email, row.column, row.words) for row in outcome.rows] == [
        ("a@example.com", "email", "is invalid"),
        ("a@example.com", "birthdate", "is invalid"),
        ("b@example.com", "base", "contacts limit reached"),
    ]
    assert outcome.base == ("cannot import more than 50000 contacts at once",)
    assert "example.com" not in repr(outcome) + repr(outcome.rows)


def test_a_payload_that_is_too_large_is_said_to_be() -> None:
    """413 asks for halves."""
    with scene(answer(413, HTML)) as at:
        assert at.client.create_import(BODY) == wire.BodyTooLarge()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_an_import_that_is_refused_for_other_reasons_raises(status: int) -> None:
    """Certainly not accepted, and nothing that another payload would change."""
    with scene(answer(status, {"error": "no"})) as at, pytest.raises(RefusedError):
        at.client.create_import(BODY)


def test_an_export_tells_busy_from_refused() -> None:
    """One export at a time: the 422 about a previous one is a matter of waiting, the other one of filters."""
    busy = {
        "errors": {
            "base": [
                "There is a previous export initiated. You will be notified by email once it is completed."
            ]
        }
    }
    with scene(
        answer(422, busy), answer(422, {"errors": {"filters": "invalid"}}), answer(201, {**JOB, "url": None})
    ) as at:
        assert at.client.create_export() == wire.ExportBusy()
        refused = at.client.create_export([{"name": "email"}])
        assert isinstance(refused, wire.ExportRefused)
        assert refused.problems[0].column == "filters"
        assert at.client.create_export(wire.export_filters(list_ids=[1])) == wire.ExportStarted(
            wire.Export(7, "created")
        )
        assert json.loads(at.server.seen[0].body) == {}


def test_an_event_is_accepted_or_refused() -> None:
    """404: no such contact; 422: with its complaints."""
    with scene(
        answer(404, {"error": "Not Found"}),
        answer(422, {"errors": {"name": ["can't be blank", "must be a string"]}}),
        answer(201, {"contact_id": CONTACT_ID}),
    ) as at:
        absent = at.client.create_event(ADDRESS, "x", params={})
        assert isinstance(absent, wire.EventRefused)
        assert absent.status == 404
        refused = at.client.create_event(ADDRESS, "", params={})
        assert isinstance(refused, wire.EventRefused)
        assert [each.words for each in refused.problems] == ["can't be blank", "must be a string"]
        assert at.client.create_event(ADDRESS, "x", params={"n": 1}) == wire.EventAccepted(CONTACT_ID)


def test_a_list_whose_answer_was_lost_is_looked_up_by_its_name() -> None:
    """Names are unique, so looking settles what sending again would only confuse."""
    with scene(RESET, answer(200, LISTS)) as at:
        assert at.client.create_list("Newsletter") == wire.ContactList(1, "Newsletter")
        assert [seen.method for seen in at.server.seen] == ["POST", "GET"]
    with scene(RESET, answer(200, [])) as at, pytest.raises(UnavailableError):
        at.client.create_list("Newsletter")


def test_a_field_whose_answer_was_lost_is_looked_up_by_its_merge_tag() -> None:
    """The same for fields."""
    plan = {"id": 5, "name": "Plan", "data_type": "text", "merge_tag": "plan"}
    with scene(answer(502, HTML), answer(200, [plan])) as at:
        assert at.client.create_field("Plan", "text", merge_tag="plan").id == 5


# ── contacts ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_addresses_are_percent_encoded_and_other_names_refused() -> None:
    """`+` and `/` in an address stay one path segment; `lists` and `..` are no contacts."""
    with scene(answer(200, {"data": CONTACT})) as at:
        at.client.get_contact("a+b/c?d#e%@example.com")
        assert at.server.seen[0].path == "/api/accounts/1/contacts/a%2Bb%2Fc%3Fd%23e%25%40example.com"
        for wrong in ("lists", "..", ".", "", "imports/1", "12345"):
            with pytest.raises(ValueError, match="neither"):
                at.client.delete_contact(wrong)


def test_nobody_is_ever_resubscribed() -> None:
    """`unsubscribed` is sent when it is true and never otherwise."""
    with scene(answer(200, {"action": "updated", "data": CONTACT})) as at:
        at.client.upsert_contact(ADDRESS, email=ADDRESS)
        at.client.upsert_contact(ADDRESS, email=ADDRESS, unsubscribed=True)
        bodies = [json.loads(seen.body)["contact"] for seen in at.server.seen]
    assert bodies == [{"email": ADDRESS}, {"email": ADDRESS, "unsubscribed": True}]


def test_a_contact_that_is_gone_is_deleted_only_if_mailtrap_says_so_itself() -> None:
    """A wrong account or a web page must not look like an erasure that is done."""
    gone = answer(404, {"errors": "Contact(s) not found"})
    with scene(answer(204), gone, answer(404, {"error": "Not Found"}), answer(404, HTML)) as at:
        assert at.client.delete_contact(ADDRESS) is True
        assert at.client.delete_contact(ADDRESS) is False
        for _ in range(2):
            with pytest.raises(RefusedError):
                at.client.delete_contact(ADDRESS)
    with scene(RESET, gone) as at:
        assert at.client.delete_contact(ADDRESS) is True  # the lost attempt did it


def test_a_404_that_is_not_mailtraps_is_not_an_absent_contact() -> None:
    """What an error page says about a person is nothing."""
    with scene(answer(404, {"error": "Not Found"}), answer(404, HTML)) as at:
        assert at.client.get_contact(ADDRESS) is None
        with pytest.raises(RefusedError):
            at.client.get_contact(ADDRESS)


def test_a_value_that_json_cannot_hold_is_refused_without_being_shown() -> None:
    """NaN would be invalid JSON, a lone surrogate invalid UTF-8."""
    client = faked(unreachable)
    for value in (float("nan"), float("inf"), "\ud800"):
        with pytest.raises(ValueError, match="cannot be written") as caught:
            client.upsert_contact(ADDRESS, email=ADDRESS, fields={"note": value})
        assert_silent(shown(caught.value))


# ── jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def job(status: str, **more: object) -> httpx.Response:
    """An answer about import 7."""
    return httpx.Response(200, json={"id": 7, "status": status, **more})


def in_turn(*responses: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    """These answers, the last one for ever."""
    queue = itertools.chain(responses, itertools.repeat(responses[-1]))
    return lambda _: httpx.Response((found := next(queue)).status_code, content=found.content)


def waiting(*responses: httpx.Response, **settings: Any) -> MailtrapClient:
    """A client whose sleeping moves its own clock."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return MailtrapClient(
        ClientSettings(**{"token": TOKEN, "account_id": 1} | settings),
        Unlimited(sleep),
        transport=httpx.MockTransport(in_turn(*responses)),
        sleep=sleep,
        monotonic=lambda: now[0],
    )


DONE = {"created_contacts_count": 1, "updated_contacts_count": 2, "contacts_over_limit_count": 0}


def test_a_job_is_awaited_through_everything_that_is_not_an_end() -> None:
    """Created, started, unknown words, nulls, extra keys and a 404 at first all mean "not yet"."""
    client = waiting(
        httpx.Response(404, json={"error": "Not Found"}),
        job("created"),
        job("queued"),
        httpx.Response(200, json={"id": "7", "status": None, "new": {"key": 1}}),
        httpx.Response(502, content=HTML),
        job("started"),
        job("finished", **DONE),
    )
    assert client.wait_for_import(7, rows=3).adds_up(3)


def test_a_job_that_fails_is_returned_as_failed() -> None:
    """Which row to blame, Mailtrap does not say."""
    assert waiting(job("failed")).wait_for_import(7, rows=3).failed


@pytest.mark.parametrize(
    "stuck",
    [job("started"), job("frozen"), httpx.Response(404, json={"error": "Not Found"})],
    ids=["started", "new word", "lost"],
)
def test_a_job_that_never_ends_is_left_to_the_next_run(stuck: httpx.Response) -> None:
    """We stop waiting at the deadline, and say that it is not finished, not that it failed."""
    with pytest.raises(UnfinishedError, match="Import 7"):
        waiting(stuck, job_deadline_seconds=300.0).wait_for_import(7, rows=50_000)


def test_the_answer_about_another_job_is_no_answer() -> None:
    """A cache that mixes up answers must not prove our import."""
    client = waiting(httpx.Response(200, json={"id": 8, "status": "finished", **DONE}))
    with pytest.raises(UnavailableError, match="another job"):
        client.get_import(7)


def test_an_export_is_done_only_with_a_file() -> None:
    """`finished` without a URL is not finished; `failed`, which is not documented, is a failure all the same."""
    url = "https://bucket.s3.amazonaws.com/x.csv.gz?X-Amz-Signature=secret"
    client = waiting(job("created"), job("finished", url=None), job("finished", url=url))
    found = client.wait_for_export(7)
    assert found.url == url
    assert "secret" not in repr(found)
    with pytest.raises(UnavailableError, match="export 7"):
        waiting(job("failed")).wait_for_export(7)


def test_the_time_until_an_export_is_asked_about_can_be_used() -> None:
    """Whoever uses it is told how much there is; what they leave is slept through, and no poll comes sooner."""
    url, offered, polled = "https://bucket.s3.amazonaws.com/x.csv.gz", [], []
    client = waiting(job("created"), job("finished", url=url))
    look, clock = client.get_export, client._monotonic

    def seen(export_id: int) -> wire.Export:
        polled.append(clock())
        return look(export_id)

    def use(seconds: float) -> None:
        offered.append(seconds)
        client._sleep(seconds / 4 if len(offered) == 1 else 3 * seconds)

    client.get_export = seen  # type: ignore[method-assign]
    client.wait_for_export(7, meanwhile=use)
    assert offered == [1.0, 0.5]
    assert polled == [1.0, 2.5]  # the second time it took longer than there was


# ── suppressions, accounts ─────────────────────────────────────────────────────────────────────────────────────


def suppression(number: int) -> dict[str, object]:
    """One of many."""
    return {
        "id": f"s{number:06d}",
        "email": f"p{number}@example.com",
        "type": "unsubscription",
        "sending_stream": "",
    }


def pages(of: Callable[[str | None], list[dict[str, object]]]) -> MailtrapClient:
    """A client in front of pages that depend on the cursor."""
    return faked(lambda request: httpx.Response(200, json=of(request.url.params.get("last_id"))))


def test_all_suppressions_are_read_once() -> None:
    """Page after page by cursor, without what a page repeats."""
    everyone = [suppression(number) for number in range(2500)]

    def of(cursor: str | None) -> list[dict[str, object]]:
        start = (
            0 if cursor is None else next(n for n, each in enumerate(everyone) if each["id"] == cursor) + 1
        )
        return everyone[max(0, start - 1) : start + 999]

    found = [each for page in pages(of).suppressions() for each in page]
    assert [each.id for each in found] == [each["id"] for each in everyone]
    assert found[0].sending_stream is None
    assert "example.com" not in repr(found[0])


def test_a_cursor_that_does_not_move_ends_in_an_error() -> None:
    """A list that is not known whole protects nobody, and a loop would never end."""
    same = [suppression(number) for number in range(1000)]
    with pytest.raises(UnavailableError, match="do not come to an end"):
        list(pages(lambda _: same).suppressions())


def test_a_short_page_that_repeats_itself_is_the_end() -> None:
    """A server that knows no cursor and few people has told all it knows."""
    assert [len(page) for page in pages(lambda _: [suppression(1)]).suppressions()] == [1]


def test_an_empty_page_in_the_middle_is_asked_for_again() -> None:
    """Overlooking the suppressed is worse than a request too many."""
    answers = iter([[suppression(n) for n in range(1000)], [], [suppression(2000)], []])
    assert sum(map(len, pages(lambda _: next(answers)).suppressions())) == 1001


def test_suppressions_have_a_budget_of_their_own() -> None:
    """10 in 60 s for the account, and the token's like every request."""
    windows: list[str] = []

    class Recorder(Unlimited):
        def acquire(self, of: Sequence[Window], *, lane: Lane, patience_seconds: float) -> Grant:
            windows.extend(window.name for window in of)
            return super().acquire(of, lane=lane, patience_seconds=patience_seconds)

    client = MailtrapClient(
        ClientSettings(token=TOKEN, account_id=9),
        Recorder(lambda _: None),
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=[])),
    )
    list(client.suppressions(start_time=datetime(2026, 1, 1, tzinfo=UTC), email=ADDRESS))
    assert windows[1] == "https://mailtrap.io account 9 suppressions"
    assert TOKEN not in "".join(windows)


def test_the_account_is_the_only_one_or_the_setting() -> None:
    """One account is found and asked for once; several are listed, none is guessed."""
    with scene(answer(200, [{"id": 42, "name": "Acme", "access_levels": [1000]}]), account_id=None) as at:
        assert at.client.account_id == at.client.account_id == 42
        assert at.asked == 1
    two = [{"id": 42, "name": "Acme"}, {"id": 43, "name": "Acme test"}]
    with (
        scene(answer(200, two), account_id=None) as at,
        pytest.raises(SettingsError, match=r"42 \(Acme\), 43 \(Acme test\)"),
    ):
        at.client.lists()


# ── credentials, paths, silence ────────────────────────────────────────────────────────────────────────────────


def test_one_of_two_headers_carries_the_token() -> None:
    """Bearer by default, Api-Token by setting, never both."""
    with scene(answer(200, LISTS)) as at:
        at.client.lists()
        assert at.server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert "api-token" not in at.server.seen[0].headers
    with scene(answer(200, LISTS), auth="api-token") as at:
        at.client.lists()
        assert at.server.seen[0].headers["api-token"] == TOKEN
        assert "authorization" not in at.server.seen[0].headers


def test_bodies_are_announced_as_json() -> None:
    """A server reads a body as what it is called; a request without one does not speak of one."""
    with scene(answer(201, JOB)) as at:
        at.client.create_import([BODY[:3], BODY[3:]])
        sent = at.server.seen[0].headers
        assert (sent["content-type"], sent["content-length"]) == ("application/json", str(len(BODY)))
        assert (sent["accept"], sent["accept-encoding"]) == ("application/json", "identity")
        assert "transfer-encoding" not in sent
        at.client.get_import(7)
        assert not {"content-type", "content-length"} & set(at.server.seen[1].headers)


@pytest.mark.parametrize(("style", "prefix"), [("account", "/api/accounts/1"), ("plain", "/api")])
def test_every_call_knows_both_path_styles(style: str, prefix: str) -> None:
    """All calls, in both styles, with their methods."""
    asked: list[str] = []
    a_field = {"id": 1, "name": "Age", "data_type": "integer", "merge_tag": "age"}
    bodies: dict[str, object] = {
        "lists": [{"id": 1, "name": "A"}], "fields": [a_field], "suppressions": [], "imports": JOB, "exports": JOB,
        "usage": {"billing": {}}, "events": {"contact_id": CONTACT_ID},
    }  # fmt: skip

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path.removeprefix(prefix)}")
        if request.method == "DELETE":
            return httpx.Response(204)
        parts = request.url.path.split("/")
        if parts[-1] in bodies and not (parts[-1] in ("lists", "fields") and request.method == "POST"):
            return httpx.Response(200, json=bodies[parts[-1]])
        if "lists" in parts or "fields" in parts:
            return httpx.Response(200, json=a_field)
        return httpx.Response(200, json=JOB if parts[-2] in ("imports", "exports") else {"data": CONTACT})

    client = faked(handler, path_style=style)
    client.usage(), client.lists(), client.create_list("A"), client.get_list(1), client.rename_list(1, "B")
    (
        client.delete_list(1),
        client.fields(),
        client.create_field("Age", "integer", merge_tag="age"),
        client.get_field(1),
    )
    client.rename_field(1, name="B"), client.delete_field(1), client.create_contact("a@b.example")
    client.get_contact(CONTACT_ID), client.upsert_contact(CONTACT_ID, email="a@b.example")
    (
        client.delete_contact(CONTACT_ID),
        client.create_import(b"{}"),
        client.get_import(7),
        client.create_export(),
    )
    client.get_export(7), client.create_event(CONTACT_ID, "Login", params={}), list(client.suppressions())
    assert asked == [
        "GET /billing/usage", "GET /contacts/lists", "POST /contacts/lists", "GET /contacts/lists/1",
        "PATCH /contacts/lists/1", "DELETE /contacts/lists/1", "GET /contacts/fields", "POST /contacts/fields",
        "GET /contacts/fields/1", "PATCH /contacts/fields/1", "DELETE /contacts/fields/1", "POST /contacts",
        f"GET /contacts/{CONTACT_ID}", f"PATCH /contacts/{CONTACT_ID}", f"DELETE /contacts/{CONTACT_ID}",
        "POST /contacts/imports", "GET /contacts/imports/7", "POST /contacts/exports", "GET /contacts/exports/7",
        f"POST /contacts/{CONTACT_ID}/events", "GET /suppressions", "GET /suppressions",
    ]  # fmt: skip


def test_nothing_is_logged_and_others_may_still_log() -> None:
    """httpx writes the URL of every request to its log, and with it an address; of ours it writes nothing."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    loggers = [logging.getLogger(name) for name in ("", "httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    loggers[0].addHandler(handler)
    try:
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        with scene(answer(200, {"data": CONTACT})) as at:
            at.client.get_contact(ADDRESS)
            assert text.getvalue() == ""
            with httpx.Client(trust_env=False) as other:
                other.get(at.server.url + "/of-somebody-else")
        assert "of-somebody-else" in text.getvalue()
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def test_nothing_secret_is_in_a_repr() -> None:
    """What a debugger, a log or a failing assertion shows."""
    settings = ClientSettings(token=TOKEN, account_id=1)
    client = faked(unreachable)
    assert_silent(repr(settings) + repr(client) + repr(vars(client)))
    assert_silent(repr(wire.read_contact(json.dumps({"data": CONTACT}).encode())))


@pytest.mark.parametrize(
    "url",
    [
        "http://mailtrap.io", "ftp://127.0.0.1", "https://", "https://user:pass@mailtrap.io", "https://mailtrap.io/api",
        "https://mailtrap.io?x=1", "http://10.0.0.1:80", "http://127.0.0.1.example.com", "http://169.254.169.254",
    ],
)  # fmt: skip
def test_only_safe_origins_are_talked_to(url: str) -> None:
    """https anywhere, plain http on this machine alone."""
    with pytest.raises(SettingsError, match="MAILTRAP_API_URL"):
        faked(unreachable, url=url)


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_at_once(token: str) -> None:
    """A line break in a header would be somebody else's header."""
    with pytest.raises(SettingsError, match="MAILTRAP_API_TOKEN") as caught:
        faked(unreachable, token=token)
    assert token.strip() == "" or token not in str(caught.value)


def test_every_error_says_what_happened_what_it_means_and_what_to_do() -> None:
    """The three parts are never empty."""
    for status in (301, 400, 401, 403, 404, 413, 422, 429, 500):
        client = faked(lambda _, status=status: httpx.Response(status, json={"error": "x"}), attempts=1)
        with pytest.raises(ConnectorError) as caught:
            client.lists()
        assert caught.value.happened and caught.value.meaning and caught.value.remedy, status


def test_settings_can_be_replaced() -> None:
    """Settings are plain facts."""
    assert replace(ClientSettings(token=TOKEN), attempts=1).attempts == 1
