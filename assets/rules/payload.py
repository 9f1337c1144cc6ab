"""A contact as Mailtrap's import wants it: one JSON object a row, written by DuckDB, column by column.

Belongs here: the JSON of a contact, where payloads are cut, and their bodies. The same input gives
the same bytes in any time zone, locale or hash seed. Not here: which contacts are sent (`comparison`), and sending.

Mailtrap: POST /contacts/imports takes {"contacts": [{email, fields, list_ids_included, list_ids_excluded}]}, at most
50,000 of them; omitted fields keep their value.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules.comparison import quoted
from assets.rules.sync import FieldRule, Sync

ROWS_AT_MOST = 50_000
HEAD, TAIL = b'{"contacts":[', b"]}"


@dataclass(frozen=True, slots=True)
class ListIds:
    """The lists of a sync as Mailtrap numbers them."""

    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    by_name: Mapping[str, int] | None = None
    """For `lists.from_column`: what its names mean."""
    known: tuple[int, ...] | None = None
    """All that Mailtrap has, where that is known: nobody is taken off a list that is gone."""

    def among_known(self, ids: str) -> str:
        """A SQL expression for lists, without those that are gone."""
        if self.known is None:
            return ids
        return (
            f"list_filter({ids}, lambda id: list_contains([{', '.join(map(str, self.known))}]::bigint[], id))"
        )


def contact_json(
    connection: duckdb.DuckDBPyConnection, contacts: pa.Table, *, sync: Sync, lists: ListIds
) -> pa.ChunkedArray:
    """Each contact as JSON with a comma before it, so that neighbours in one buffer are already a list.

    `contacts` has the columns of accepted contacts, and `_leaving` (list of ids) where lists are to be left.
    """
    whole = {name for name in contacts.column_names if contacts[name].null_count == 0}
    leaving = "_leaving" in contacts.column_names
    connection.register("contacts", contacts.drop_columns(_uncounted(contacts)))
    try:
        json_sql = _json_sql(sync, lists, leaving=leaving, whole=whole)
        found = connection.sql(f"select {json_sql} as j from contacts")
        return found.to_arrow_table()["j"]
    finally:
        connection.unregister("contacts")


def unlisted_json(emails: pa.Array, list_ids: Sequence[int]) -> pa.Array:
    """People leave lists: only that, no field of theirs is touched."""
    ids = ",".join(map(str, list_ids))
    return pc.binary_join_element_wise(
        ',{"email":"', emails, f'","list_ids_included":[],"list_ids_excluded":[{ids}]}}', ""
    )


def rows_that_fit(lengths: np.ndarray, *, rows_per_payload: int, bytes_per_payload: int) -> int:
    """How many of the next rows one payload takes: at least one, at most both caps."""
    most = min(len(lengths), rows_per_payload, ROWS_AT_MOST)
    ends = np.cumsum(lengths[:most], dtype=np.int64) + len(HEAD) + len(TAIL) - 1
    return max(1, int(np.searchsorted(ends, bytes_per_payload, side="right")))


def body(contacts: pa.ChunkedArray | pa.Array) -> list[memoryview | bytes]:
    """The request body as pieces: the rows are not copied where they lie side by side."""
    chunks = contacts.chunks if isinstance(contacts, pa.ChunkedArray) else [contacts]
    pieces = [_bytes_of(chunk) for chunk in chunks if len(chunk)]
    if pieces:
        pieces[0] = pieces[0][1:]
    return [HEAD, *pieces, TAIL]


def digest(pieces: Sequence[memoryview | bytes]) -> tuple[str, int]:
    """The SHA-256 of a body and its length, to know it again without keeping it."""
    seen, length = hashlib.sha256(), 0
    for piece in pieces:
        seen.update(piece)
        length += len(piece)
    return seen.hexdigest(), length


def _bytes_of(chunk: pa.Array) -> memoryview:
    text = chunk.cast(pa.large_string()) if not pa.types.is_large_string(chunk.type) else chunk
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64, count=text.offset + len(text) + 1)
    start, end = int(offsets[text.offset]), int(offsets[text.offset + len(text)])
    return memoryview(text.buffers()[2])[start:end]


def _uncounted(contacts: pa.Table) -> list[str]:
    # DuckDB need not see what is not part of the JSON, least of all extension types.
    kept = {"_lists", "_leaving"}
    return [name for name in contacts.column_names if name.startswith("_") and name not in kept]


def _json_sql(sync: Sync, lists: ListIds, *, leaving: bool, whole: Collection[str]) -> str:
    """Contacts as SQL text; `whole` are the fields that none of them lacks."""
    inside = _members(sync.fields, whole)
    return (
        f"""concat(',{{"email":"', email, '","fields":{{', {inside}, '}}', """
        f"""{_ids("list_ids_included", _included(sync, lists))}, {_ids("list_ids_excluded", _excluded(lists, leaving))}, '}}')"""
    )


def included_sql(sync: Sync, lists: ListIds) -> str:
    """The lists a contact shall be in, as SQL over accepted contacts."""
    included = _included(sync, lists)
    return included if isinstance(included, str) else f"[{', '.join(map(str, included))}]::bigint[]"


def _included(sync: Sync, lists: ListIds) -> str | tuple[int, ...]:
    if not sync.lists.from_column:
        return lists.include
    names = ", ".join(quoted(name) for name in (lists.by_name or {})) or "''"
    ids = ", ".join(str(each) for each in (lists.by_name or {}).values()) or "0"
    fixed = f"[{', '.join(map(str, lists.include))}]::bigint[]"
    own = f"list_transform(coalesce(_lists, []), lambda name: map([{names}], [{ids}])[name]::bigint)"
    return f"list_sort(list_distinct(list_concat({fixed}, {own})))"


def _excluded(lists: ListIds, leaving: bool) -> str | tuple[int, ...]:
    if not leaving:
        return lists.exclude
    fixed = f"[{', '.join(map(str, lists.exclude))}]::bigint[]"
    return f"list_sort(list_distinct(list_concat({fixed}, coalesce(_leaving, []))))"


def _ids(key: str, ids: str | tuple[int, ...]) -> str:
    if isinstance(ids, tuple):
        return quoted(f',"{key}":[{",".join(map(str, ids))}]' if ids else "")
    return f"""(case when len({ids}) > 0 then concat(',"{key}":[', array_to_string({ids}, ','), ']') else '' end)"""


def _members(rules: Sequence[FieldRule], whole: Collection[str]) -> str:
    """The members of `fields`: a comma after those before the first that is always there, before those after it."""
    place = next(
        (n for n, rule in enumerate(rules) if rule.nulls == "clear" or rule.merge_tag in whole), None
    )
    if place is None:
        members = ", ".join(_member(rule, whole, before=",") for rule in rules)
        return f"substr(concat({members}), 2)" if rules else "''"
    return ", ".join(
        [
            *(_member(rule, whole, after=",") for rule in rules[:place]),
            _member(rules[place], whole),
            *(_member(rule, whole, before=",") for rule in rules[place + 1 :]),
        ]
    )


def _member(rule: FieldRule, whole: Collection[str], *, before: str = "", after: str = "") -> str:
    head, column = f"{before}{_json_text(rule.merge_tag)}:", _identifier(rule.merge_tag)
    quote = '"' if rule.type == "date" else ""
    value = f"to_json({column})::varchar" if rule.type == "text" else f"{column}::varchar"
    member = f"{quoted(head + quote)}, {value}, {quoted(quote + after)}"
    if rule.merge_tag in whole:
        return member
    null = quoted(f"{head}null{after}") if rule.nulls == "clear" else "''"
    return f"case when {column} is null then {null} else concat({member}) end"


def _json_text(text: str) -> str:
    return json.dumps(text)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
