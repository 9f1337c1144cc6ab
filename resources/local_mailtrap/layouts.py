"""How an export's CSV may look: Mailtrap does not document its columns, so there are presets, none of them "the" one.

Belongs here: header and cells of each preset, and the ways in which a file can drift from it (fault F-15). Not here:
when an export is made (`exports.py`), damage to the compressed file (`storage.py`).
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from resources.local_mailtrap.accounts import Account
from resources.local_mailtrap.clock import iso_milliseconds
from resources.local_mailtrap.knobs import Knobs

Column = tuple[str, Callable[[int], object]]
ROWS_PER_PART = 2000


def columns(account: Account, knobs: Knobs) -> list[Column]:
    """The columns of the preset that the knob names."""
    layout, store = knobs["export_layout"], account.contacts
    named = layout == "display_names"
    email: Column = ("Email" if named else "email", lambda row: store.email(row))
    status: Column = (
        "Status" if named else "status",
        lambda row: account.status(store.email(row) or "", knobs),
    )
    fields = [_field(account, position, title) for position, title in _titles(account, named=named)]
    times: list[Column] = [
        ("Created at" if named else "created_at", lambda row: iso_milliseconds(store.times(row)[0] / 1000)),
        ("Updated at" if named else "updated_at", lambda row: iso_milliseconds(store.times(row)[1] / 1000)),
    ]
    found = [email, status, *fields, *times]
    if layout == "with_id":
        found.insert(0, ("id", store.id))
    elif layout == "list_names":
        found.append(("lists", lambda row: "; ".join(account.lists[each].name for each in store.lists(row))))
    elif layout == "list_ids":
        found.append(("list_ids", lambda row: ",".join(map(str, store.lists(row)))))
    return found


def _titles(account: Account, *, named: bool) -> list[tuple[int, str]]:
    return [(each.position, each.name if named else each.merge_tag) for each in account.fields.values()]


def _field(account: Account, position: int, title: str) -> Column:
    def cell(row: int) -> object:
        values = account.contacts.values(row)
        value = values[position] if position < len(values) else None
        return "" if value is None else str(value).lower() if isinstance(value, bool) else value

    return title, cell


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
        some = [row for row in rows[start : start + ROWS_PER_PART] if account.contacts.email(row) is not None]
        content = _text([[_cell(cell(row), kinds) for _, cell in found] for row in some], newline)
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


def _always(value: object) -> Callable[[int], object]:
    return lambda _row: value


def _cell(value: object, kinds: Sequence[str]) -> object:
    if "booleans_as_digits" in kinds and value in ("true", "false"):
        return "1" if value == "true" else "0"
    if "mixed_integers" in kinds and isinstance(value, int):
        return f"{value}.0" if value % 2 else value
    if "dates_with_time" in kinds and isinstance(value, str) and len(value) == 10 and value[4::3] == "--":
        return f"{value} 00:00:00 UTC"
    return value


def _text(rows: list[list[object]], newline: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerows(rows)
    return text.getvalue().encode()
