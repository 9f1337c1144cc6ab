"""What Mailtrap answers, read: as documented, as captured, and as nobody expects it."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.mailtrap import wire

CONTACT_ID = "018dd5e3-f6d2-7c00-8f9b-e5c3f2d8a132"
CAPTURED = {
    "data": {
        "id": CONTACT_ID, "email": "john.smith@example.com", "created_at": 1742820600230, "updated_at": 1742820600230,
        "list_ids": [1, 2, 3], "status": "subscribed", "fields": {"first_name": "John", "last_name": None},
    }
}  # fmt: skip


def encoded(value: object) -> bytes:
    """As it comes over the wire."""
    return json.dumps(value).encode()


def test_a_contact_is_read_as_captured() -> None:
    """Epoch milliseconds become moments; unset fields stay None."""
    found = wire.read_contact(encoded(CAPTURED))
    assert found.id == CONTACT_ID
    assert found.created_at == datetime(2025, 3, 24, 12, 50, 0, 230_000, tzinfo=UTC)
    assert found.fields == {"first_name": "John", "last_name": None}
    assert not found.unsubscribed
    assert "john" not in repr(found)


def test_a_contact_of_unknown_status_counts_as_unsubscribed() -> None:
    """Whoever is not plainly subscribed is left alone."""
    for status in ("unsubscribed", "paused", None):
        data = {**CAPTURED["data"], "status": status}
        assert wire.read_contact(encoded({"data": data})).unsubscribed


def test_nulls_and_unknown_keys_are_tolerated() -> None:
    """What Mailtrap may add or leave out does not stop us."""
    found = wire.read_contact(
        encoded({"data": {"id": 5, "email": "a@b.example", "fields": None, "list_ids": None, "new": {}}})
    )
    assert (found.id, found.list_ids, found.fields, found.created_at) == ("5", (), {}, None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        5,
        {},
        {"data": None},
        {"data": []},
        {"data": {"id": None, "email": "a@b"}},
        {"data": {"id": "x"}},
    ],
)
def test_what_is_no_contact_is_malformed(value: object) -> None:
    """Without id and address there is nobody to speak of."""
    with pytest.raises(wire.MalformedError):
        wire.read_contact(encoded(value))


JOBS = {
    "created": ({"id": 1, "status": "created"}, "created", None),
    "finished": ({"id": 1, "status": "finished", "created_contacts_count": 1, "updated_contacts_count": 3,
                  "contacts_over_limit_count": 3}, "finished", 7),
    "counts as text": ({"id": "1", "status": "finished", "created_contacts_count": "1", "updated_contacts_count": "0",
                        "contacts_over_limit_count": "0"}, "finished", 1),
    "counts that are none": ({"id": 1, "status": "finished", "created_contacts_count": -1, "updated_contacts_count": 1.5,
                              "contacts_over_limit_count": True}, "finished", None),
    "a new word": ({"id": 1, "status": "queued"}, "unknown:queued", None),
    "words of another kind": ({"id": 1, "status": "jane@example.com"}, "unknown:", None),
    "no status": ({"id": 1}, "unknown:", None),
    "a capital": ({"id": 1, "status": "Finished"}, "unknown:", None),
    "a list": ({"id": 1, "status": ["finished"]}, "unknown:", None),
}  # fmt: skip


@pytest.mark.parametrize(("value", "status", "accounted"), JOBS.values(), ids=JOBS)
def test_a_job_is_done_only_when_it_says_finished(value: object, status: str, accounted: int | None) -> None:
    """Every other word means "not yet"."""
    found = wire.read_import(encoded(value))
    assert (found.status, found.accounted, found.done) == (status, accounted, status == "finished")


def test_counts_add_up_or_do_not_or_cannot_be_told() -> None:
    """True is proof, False a contradiction; without the counts of created and updated it is neither."""
    job = wire.ImportJob
    assert job(1, "finished", 1, 2, 3).adds_up(6) is True
    assert job(1, "finished", 1, 2, 3).adds_up(7) is False
    assert job(1, "finished", 1, 2).adds_up(3) is True
    assert job(1, "finished", 1, 2).adds_up(7) is False
    assert job(1, "finished", 7).adds_up(7) is None
    assert job(1, "finished").adds_up(7) is None
    assert job(1, "started", 1, 2, 3).adds_up(6) is False


def test_an_answer_about_another_job_is_malformed() -> None:
    """And one without an id is taken for the one that was asked about."""
    with pytest.raises(wire.MalformedError):
        wire.read_import(encoded({"id": 2, "status": "finished"}), import_id=1)
    assert wire.read_import(encoded({"status": "finished"}), import_id=1).id == 1
    with pytest.raises(wire.MalformedError):
        wire.read_import(encoded({"status": "finished"}))


def test_an_export_is_read_as_captured() -> None:
    """ISO 8601 with milliseconds, and a URL that is null until it is done."""
    value = {"id": 652, "created_at": "2026-04-28T12:40:45.519Z", "status": "created", "url": None}
    found = wire.read_export(encoded(value))
    assert found.created_at == datetime(2026, 4, 28, 12, 40, 45, 519_000, tzinfo=UTC)
    assert (
        found.done,
        wire.read_export(encoded({**value, "status": "finished", "url": "https://x"})).done,
    ) == (False, True)


def test_suppressions_normalise_what_is_not_given() -> None:
    """Captures say "", the documentation null: both mean nothing."""
    value = [
        {
            "id": "s",
            "email": "a@b.example",
            "type": "hard bounce",
            "created_at": "2025-06-27T07:56:17Z",
            "domain_name": "",
        }
    ]
    found = wire.read_suppressions(encoded(value))[0]
    assert (found.type, found.domain_name, found.sending_stream) == ("hard bounce", None, None)


@pytest.mark.parametrize("value", [{}, {"data": 5}, [1], [{"id": "x"}], "x", None])
def test_a_page_that_cannot_be_read_whole_is_malformed(value: object) -> None:
    """A suppressed person overlooked would be written to."""
    with pytest.raises(wire.MalformedError):
        wire.read_suppressions(encoded(value))


@given(st.binary(max_size=200))
def test_no_bytes_break_a_reader(body: bytes) -> None:
    """A law: anything is read or malformed."""
    for read in (
        wire.read_contact,
        wire.read_import,
        wire.read_export,
        wire.read_lists,
        wire.read_fields,
        wire.read_accounts,
    ):
        with contextlib.suppress(wire.MalformedError):
            read(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "email", "data", "status", "url", "fields", "created_at", "list_ids", "name"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_a_reader(value: object) -> None:
    """A law: the same for JSON of any shape, and what is read can be written again."""
    for read in (
        wire.read_contact,
        wire.read_import,
        wire.read_export,
        wire.read_suppressions,
        wire.read_event,
    ):
        with contextlib.suppress(wire.MalformedError):
            str(read(encoded(value))).encode()


@given(st.emails())
def test_every_address_is_one_segment_and_comes_back(address: str) -> None:
    """A law: percent-encoding loses nothing and leaves no way out of the path."""
    from urllib.parse import unquote

    path = wire.segment(address)
    assert "/" not in path and "?" not in path and "#" not in path and "+" not in path
    assert unquote(path) == address


def test_what_cannot_be_read_is_not_carried_along() -> None:
    """The decoder's error holds the whole body; ours holds nothing, not even as its context."""
    for body in (b'{"email": "jane@example.com"', b"jane\xff@example.com", b"[" * 100_000):
        with pytest.raises(wire.MalformedError) as caught:
            wire.read_contact(body)
        assert caught.value.__context__ is None


def test_moments_are_asked_for_in_utc() -> None:
    """Rounded down, so that nobody falls between two readings."""
    east = datetime(2026, 1, 1, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert wire.moment_text(east) == wire.moment_text(datetime(2026, 1, 1)) == "2026-01-01T00:00:00Z"  # noqa: DTZ001


def test_bodies_are_as_documented() -> None:
    """Wrapped in `contact`; only what is given; never `unsubscribed: false`."""
    assert json.loads(wire.create_contact_body("a@b", fields={"n": 1}, list_ids=[1])) == {
        "contact": {"email": "a@b", "fields": {"n": 1}, "list_ids": [1]}
    }
    body = wire.upsert_contact_body(
        "a@b", fields=None, list_ids_included=[1], list_ids_excluded=[2], unsubscribed=False
    )
    assert json.loads(body) == {
        "contact": {"email": "a@b", "list_ids_included": [1], "list_ids_excluded": [2]}
    }
    assert wire.export_filters(list_ids=[1, 2], status="subscribed") == (
        {"name": "list_id", "operator": "equal", "value": [1, 2]},
        {"name": "subscription_status", "operator": "equal", "value": "subscribed"},
    )


@pytest.mark.parametrize(
    ("found", "fresh", "of_one", "doubtful", "last"),
    [
        (0, 0, False, False, True), (0, 0, False, True, False), (0, 0, True, True, True), (5, 5, False, False, False), (5, 0, False, False, True),
        (5, 5, True, False, True), (1000, 1000, False, False, False), (1000, 0, False, True, False),
    ],
)  # fmt: skip
def test_the_end_of_the_suppressions(
    found: int, fresh: int, of_one: bool, doubtful: bool, last: bool
) -> None:
    """Empty, or short and known; an empty page that comes first or after a full one is doubted once."""
    assert wire.is_last_page(found, fresh=fresh, of_one=of_one, doubtful=doubtful) is last
