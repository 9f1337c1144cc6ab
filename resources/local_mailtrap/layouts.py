"""How an export's CSV may look: Mailtrap does not document its columns, so there are presets, none of them "the" one.

Belongs here: header and cells of each preset, and the ways in which a file can drift from it (fault F-15). Not here:
when an export is made (`exports.py`), damage to the compressed file (`storage.py`).
"""

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resources.local_mailtrap.accounts import Account, Field
from resources.local_mailtrap.clock import iso_milliseconds
from resources.local_mailtrap.knobs import Knobs

ROWS_PER_PART = 1000


@dataclass(slots=True)
class Person:
    """A contact, read once for all of its cells."""

    row: int
    email: str
    status: str
    values: list[Any]
    lists: tuple[int, ...]
    created_ms: int
    updated_ms: int


Column = tuple[str, Callable[[Person], object]]


def _person(account: Account, row: int, knobs: Knobs) -> Person:
    store, email = account.contacts, account.contacts.email(row) or ""
    status = account.status(email, knobs)
    values = store.values(row)
    values += [None] * (account.fields_made - len(values))
    return Person(row, email, status, values, store.lists(row), *store.times(row))


def columns(account: Account, knobs: Knobs) -> list[Column]:
    """The columns of the preset that the knob names."""
    layout, lists = knobs["export_layout"], account.lists
    named = layout == "display_names"
    found: list[Column] = [
        ("Email" if named else "email", lambda person: person.email),
        ("Status" if named else "status", lambda person: person.status),
        *(_field(each, each.name if named else each.merge_tag) for each in account.fields.values()),
        ("Created at" if named else "created_at", lambda person: _time(person.created_ms)),
        ("Updated at" if named else "updated_at", lambda person: _time(person.updated_ms)),
    ]
    if layout == "with_id":
        found.insert(0, ("id", lambda person: account.contacts.id(person.row)))
    elif layout == "list_names":
        found.append(("lists", lambda person: "; ".join(lists[each].name for each in person.lists)))
    elif layout == "list_ids":
        found.append(("list_ids", lambda person: ",".join(map(str, person.lists))))
    return found


_time = functools.lru_cache(maxsize=4096)(lambda milliseconds: iso_milliseconds(milliseconds / 1000))


def _field(field: Field, title: str) -> Column:
    at = field.position
    if field.data_type == "boolean":
        return title, lambda person: _BOOLEANS[person.values[at]]
    return title, lambda person: person.values[at]


_BOOLEANS = {True: "true", False: "false", None: None}


def parts(
    account: Account, rows: Sequence[int], *, knobs: Knobs, drift: Mapping[str, Any]
) -> Iterator[bytes]:
    """The file, some thousand rows at a time."""
    kinds = drift.get("kinds", ())
    found = _drifted(columns(account, knobs), kinds)
    newline = "\r\n" if "crlf" in kinds else "\n"
    head = b"\xef\xbb\xbf" if knobs["export_layout"] == "bom" or "bom" in kinds else b""
    yield head + _text([[title for title, _ in found]], newline)
    if "header_only" in kinds:
        return
    for start in range(0, len(rows), ROWS_PER_PART):
        alive = (
            row for row in rows[start : start + ROWS_PER_PART] if account.contacts.email(row) is not None
        )
        people = [_person(account, row, knobs) for row in alive]
        content = _text([_cells(person, found, kinds) for person in people], newline)
        yield content + (_ODD_BYTE if "odd_byte" in kinds and not start else b"")


_ODD_BYTE = b"odd.byte@example.com\xff\n"
DRIFTS = (
    "renamed", "reordered", "extra", "missing", "bom", "crlf", "quoted_newlines", "escapes", "formula",
    "duplicate_headers", "header_only", "odd_byte", "mixed_integers", "booleans_as_digits", "dates_with_time",
)  # fmt: skip
_CELLS: Mapping[str, object] = {
    "quoted_newlines": "two\nlines",
    "escapes": 'says "hello", twice',
    "formula": "=1+1",
}


def _drifted(found: list[Column], kinds: Sequence[str]) -> list[Column]:
    if "renamed" in kinds:
        found = [
            ("E-mail Address" if title.lower() == "email" else f"{title} (new)", cell)
            for title, cell in found
        ]
    if "reordered" in kinds:
        found = found[::-1]
    if "missing" in kinds:
        found = [each for each in found if each[0].lower() not in ("status", "first_name", "first name")]
    if "duplicate_headers" in kinds:
        found = [*found, found[-1]]
    for kind in ("extra", *_CELLS):
        if kind in kinds:
            found = [*found, (f"extra_{kind}", _always(_CELLS.get(kind, "something new")))]
    return found


def _always(value: object) -> Callable[[Person], object]:
    return lambda _person: value


def _cells(person: Person, found: list[Column], kinds: Sequence[str]) -> list[object]:
    cells = [cell(person) for _, cell in found]
    return [_cell(value, kinds) for value in cells] if kinds else cells


def _cell(value: object, kinds: Sequence[str]) -> object:
    if "booleans_as_digits" in kinds and value in ("true", "false"):
        return "1" if value == "true" else "0"
    if "mixed_integers" in kinds and isinstance(value, int):
        return value if value % 2 else f"{value}.0"
    if "dates_with_time" in kinds and isinstance(value, str) and len(value) == 10 and value[4::3] == "--":
        return f"{value} 00:00:00 UTC"
    return value


def _text(rows: list[list[object]], newline: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerows(rows)
    return text.getvalue().encode()
