"""A million people with hostile text come back cell by cell as Mailtrap has them (`make proof`)."""

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from assets.export_jobs import Patience
from assets.exports import LATEST, Wanted, take_export
from tests.assets.world import World

PEOPLE = int(os.environ.get("PROOF_PEOPLE", "1000000"))
SEEDED_AT_ONCE = 50_000
FIELDS = (("note", "text"), ("age", "integer"), ("score", "float"), ("vip", "boolean"), ("born", "date"))
HOSTILE = (
    *('O\'Hara, "Jo"', '"', '""', ",", ";", "\t", "a\r\nb", "a\nb", "a\rb", " x ", "=1+1", "@SUM(A1)", "-1", "NULL"),
    *("NaN", "\\N", "true", "0x10", "1e5", "２０２６", "ﷺ", "🦊\u200d🔥", "e\u0301", "\u202eabc", "\ufdd0r", "ÿ", "\x1f", "ẞ"),
)  # fmt: skip


def person(number: int) -> dict[str, Any]:
    """The values of somebody; every kind of text meets every kind of number."""
    text = f"{HOSTILE[number % len(HOSTILE)]}{number % 7919}{HOSTILE[number // 31 % len(HOSTILE)]}"
    return {
        "first_name": None if number % 11 == 0 else text,
        "last_name": text[::-1] if number % 3 else None,
        "note": f"{text} {number}",
        "age": None if number % 5 == 0 else (number * 2_654_435_761 % 2**63) * (-1) ** number,
        "score": None if number % 7 == 0 else number / 7,
        "vip": (None, True, False)[number % 3],
        "born": None if number % 13 == 0 else date(1900, 1, 1) + timedelta(days=number % 45_000),
    }


def seeded(world: World) -> None:
    """The account, in pieces."""
    fields = [{"name": tag, "merge_tag": tag, "data_type": kind} for tag, kind in FIELDS]
    world.mailtrap.seed({"fields": fields})
    for first in range(0, PEOPLE, SEEDED_AT_ONCE):
        contacts = []
        for number in range(first, min(PEOPLE, first + SEEDED_AT_ONCE)):
            values = {name: value for name, value in person(number).items() if value is not None}
            born = {"born": values["born"].isoformat()} if "born" in values else {}
            contacts.append({"email": f"p{number}@example.com", "fields": {**values, **born}})
        world.mailtrap.seed({"contacts": contacts})


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_a_million_people_come_back_cell_by_cell(tmp_path: Path) -> None:
    """Everybody once, every value with its type, nothing that does not fit; each row group sorted."""
    world = World(tmp_path)
    seeded(world)
    clock = world.mailtrap.clock
    patience = Patience(clock=clock.time, sleep=clock.sleep)
    taken = take_export(world.client, world.store, wanted=Wanted(membership=False), patience=patience)
    assert (taken.rows, taken.seen.misfits, taken.seen.odd_rows) == (PEOPLE, {}, 0)
    seen = bytearray(PEOPLE)
    for batch in world.store.lake.read(LATEST, ["email", *person(0)], rows_per_batch=50_000):
        emails = batch["email"].to_pylist()
        assert len(emails) < SEEDED_AT_ONCE or emails == sorted(emails)
        for row in batch.to_pylist():
            number = int(row.pop("email")[1:].partition("@")[0])
            assert row == person(number), number
            seen[number] += 1
    assert seen == b"\x01" * PEOPLE
    world.close()
