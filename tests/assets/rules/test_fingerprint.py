"""The fingerprint: it moves with everything that Mailtrap would be told, and with nothing else."""

from dataclasses import replace
from datetime import date

import pytest

from assets.rules.fingerprint import fingerprints
from assets.rules.sync import Lists, Sync
from tests.assets.rules.test_payload import KEY, contacts, sync

ANN: dict[str, list[object]] = {"email": ["a@b.co"], "name": ["Ann"], "age": [1]}


def fingerprint(columns: dict[str, list[object]], *, of: Sync | None = None, key: bytes = KEY) -> int:
    """Of the one contact."""
    (found,) = fingerprints(contacts(**columns), sync=of or sync(), key=key).to_pylist()
    return int(found)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ["Bob"]}, {"name": [None]}, {"name": [""]}, {"note": ["Ann"], "name": [None]},
        {"age": [2]}, {"age": [-1]}, {"vip": [True]}, {"since": [date(2026, 1, 1)]}, {"score": [2.5]}, {"score": [0.0]},
    ],
    ids=str,
)  # fmt: skip
def test_a_changed_value_changes_the_fingerprint(change: dict[str, list[object]]) -> None:
    """Whatever Mailtrap would be told differently is a change; an empty text is not a missing one."""
    assert fingerprint({**ANN, **change}) != fingerprint(ANN)


def test_what_is_told_alike_has_one_fingerprint() -> None:
    """Zero has no sign, lists have no order."""
    assert fingerprint({**ANN, "score": [0.0]}) == fingerprint({**ANN, "score": [-0.0]})
    named = sync(lists=Lists(include=(), from_column="lists"))
    orders = [
        fingerprint({**ANN, "_lists": [names]}, of=named)
        for names in (["A", "B"], ["B", "A"], ["A"], [], None)
    ]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 4


def test_another_list_key_or_way_with_nulls_is_a_change_of_everybody() -> None:
    """Because everybody would be told something else, or nobody could be recognised."""
    fields = sync().fields
    others = [
        fingerprint(ANN, of=sync(lists=Lists(include=("L", "M")))),
        fingerprint(ANN, of=sync(lists=Lists(include=("L",), exclude=("M",)))),
        fingerprint(ANN, of=sync(fields=(replace(fields[0], nulls="clear"), *fields[1:]))),
        fingerprint(ANN, key=b"another key"),
    ]
    assert len({fingerprint(ANN), *others}) == 5


def test_a_sync_without_fields_has_fingerprints_too() -> None:
    """Being told at all is what counts then."""
    assert fingerprint({"email": ["a@b.co"]}, of=sync(fields=())) == fingerprint(
        {"email": ["b@b.co"]}, of=sync(fields=())
    )


def test_it_stays_the_same_from_release_to_release() -> None:
    """Otherwise everybody would be sent again: raise VERSION when that is what you want."""
    everything = {**ANN, "note": ["n"], "score": [0.1], "vip": [True], "since": [date(2026, 1, 2)]}
    assert fingerprint(everything) == 6220463801450472134
