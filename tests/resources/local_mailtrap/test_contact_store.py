"""Contacts kept compactly: nothing is lost by it, and a million fit."""

import sys
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resources.local_mailtrap.contact_store import ContactStore, contact_id, row_of_id

values = st.lists(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    max_size=12,
)


@given(row=st.integers(0, 2**40), created=st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid_version_7_from_which_the_row_is_read(row: int, created: int) -> None:
    """So that no id needs to be kept."""
    made = uuid.UUID(contact_id(row, created))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, created)
    assert row_of_id(str(made)) == row


@given(
    before=values,
    changes=st.dictionaries(st.integers(0, 15), st.none() | st.integers().map(lambda n: n % 100) | st.text()),
)
def test_values_change_where_they_are_changed(before: list[Any], changes: dict[int, Any]) -> None:
    """And are counted where they differ."""
    store = ContactStore()
    row = store.create("a@example.com", before, lists=(), now_ms=1)
    expected = before + [None] * (16 - len(before))
    differing = sum(
        not (expected[at] == value and isinstance(expected[at], bool) == isinstance(value, bool))
        for at, value in changes.items()
    )
    for at, value in changes.items():
        expected[at] = value
    assert store.change_values(row, changes) == bool(differing)
    assert (store.values(row) + [None] * 16)[:16] == expected
    assert store.triggers.field_changed == differing


def test_an_id_of_someone_else_finds_nobody() -> None:
    """Also an id with the right row and another time, and what is no UUID."""
    store = ContactStore()
    row = store.create("a@example.com", [], lists=(), now_ms=5)
    assert store.row_by_id(store.id(row).upper()) == row
    assert [
        store.row_by_id(each) for each in (contact_id(row, 6), contact_id(9, 5), "x", str(uuid.uuid4()))
    ] == [None] * 4
    store.delete(row)
    assert store.row_by_id(contact_id(row, 5)) is None and len(store) == 0


def test_twenty_thousand_contacts_take_less_than_a_fiftieth_of_a_gibibyte() -> None:
    """Counted by size of parts, so that the test is quick; a million then take less than one."""
    store = ContactStore()
    for number in range(20_000):
        line = [f"First{number}", f"Last{number}", number, "enterprise", "2024-02-29", number / 7, True]
        store.create(
            f"person{number}.name@company{number % 997}.example.com", line, lists=(1, 2), now_ms=number
        )
    parts = sum(sys.getsizeof(each) for name in ("_emails", "_values") for each in getattr(store, name))
    held = sum(
        sys.getsizeof(getattr(store, name))
        for name in ("_rows", "_emails", "_values", "_lists", "_created", "_updated")
    )
    assert (parts + held + 20_000 * 28) / 20_000 < 2**30 / 1_000_000
