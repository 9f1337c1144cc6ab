"""Which lists a row asks for, when the sync takes them from a column.

Belongs here: reading a list of names, or names with commas between them, and holding them against those that a row may
give. Not here: asking Mailtrap which there are.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.account_limits import MAX_LIST_NAME

_KIND = pa.list_(pa.string())


class ReadLists(NamedTuple):
    """Names per row, null where the row names none, and the rows that cannot be read."""

    values: cells.Array
    unreadable: cells.Mask


def read_lists(column: cells.Array) -> ReadLists:
    """Lists of texts or whole numbers as they are; text cut at its commas; blank text is no list."""
    absent = cells.nulls(column)
    if pa.types.is_string(column.type):
        bad = np.zeros(len(column), np.bool_)
        bad[cells.rows_of_invalid_utf8(column)] = True
        return ReadLists(_cut(cells.blank(column, bad) if bad.any() else column), bad)
    if not (
        pa.types.is_list(column.type)
        or pa.types.is_large_list(column.type)
        or pa.types.is_fixed_size_list(column.type)
    ):
        return ReadLists(pa.nulls(len(column), _KIND), ~absent)
    names = column.type.value_type
    if not (
        pa.types.is_string(names)
        or pa.types.is_large_string(names)
        or pa.types.is_string_view(names)
        or pa.types.is_integer(names)
    ):
        return ReadLists(pa.nulls(len(column), _KIND), ~absent)
    try:
        held = column.cast(_KIND)
    except pa.ArrowException:
        return ReadLists(pa.nulls(len(column), _KIND), ~absent)
    return _without_blanks(held)


def rows_with_other_lists(values: cells.Array, *, known: frozenset[str] | None, create: bool) -> cells.Rows:
    """The rows that name a list which is neither known nor to be made; none before Mailtrap was asked."""
    if known is None:
        return np.zeros(0, np.int64)
    parents, names = pc.list_parent_indices(values), pc.list_flatten(values)
    named = names.dictionary_encode()
    other = [
        name not in known and not (create and may_be_made(name)) for name in named.dictionary.to_pylist()
    ]
    unknown = np.array(other, np.bool_)[named.indices.to_numpy(zero_copy_only=False)]
    return np.unique(parents.to_numpy(zero_copy_only=False)[unknown])


def may_be_made(name: str) -> bool:
    """Whether a row may bring a new list about: not by an id, and not by what looks like somebody's address."""
    return len(name) <= MAX_LIST_NAME and name.isprintable() and not name.isdigit() and "@" not in name


def _cut(column: cells.Array) -> cells.Array:
    """Rows share few combinations of lists: each distinct text is cut once."""
    named = column.dictionary_encode()
    cut = [
        [name.strip() for name in text.split(",") if name.strip()] for text in named.dictionary.to_pylist()
    ]
    return pa.array(cut, _KIND).take(named.indices)


def _without_blanks(column: cells.Array) -> ReadLists:
    """A null or blank name among the names makes the row unreadable: nobody knows what was meant."""
    parents, names = pc.list_parent_indices(column), pc.list_flatten(column)
    blank = cells.nulls(names) | cells.to_mask(pc.equal(pc.binary_length(pc.ascii_trim_whitespace(names)), 0))
    bad = np.zeros(len(column), np.bool_)
    bad[parents.to_numpy(zero_copy_only=False)[blank]] = True
    bad[parents.to_numpy(zero_copy_only=False)[cells.rows_of_invalid_utf8(names)]] = True
    return ReadLists(cells.blank(column, bad) if bad.any() else column, bad)
