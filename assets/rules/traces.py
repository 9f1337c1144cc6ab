"""Where people leave traces in a table, and the table without them. Pure.

A row is a person's when its keyed hash says so, or its address in whatever spelling; a cell merely mentions them when
their address stands somewhere in its text. Belongs here: finding and taking out both. Not here: which tables there
are, and in which order they are cleaned (`assets/people/erasure.py`).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells, hash_text
from assets.rules.address import canonical_address, hash_addresses, persons

HASHES = ("address_hash", "_address_hash")
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+"
_SEVERAL = r"@.*[\s,;<>()]|[\s,;<>()].*@"
_BARE = re.compile(rf"\s*{_ATOM}@[\w.-]+\s*")
_WORDS = re.compile(rf"{_ATOM}@[\w.-]+")
_MARKS = re.compile(r"[!#$%&'*+/=?^`{|}~](?=.*@)")
"""An address may hold them, but in a text they rather stand before it: to='jane@x.example'."""


@dataclass(frozen=True, slots=True)
class People:
    """Whose traces are looked for, by keyed hash: addresses themselves are needed nowhere."""

    hashes: pa.Array
    key: bytes

    @classmethod
    def of_hashes(cls, hashes: Collection[bytes], *, key: bytes) -> "People":
        """People known by their hashes alone."""
        return cls(pa.array(sorted(hashes), pa.binary(16)), key)

    @classmethod
    def of_addresses(cls, addresses: Sequence[str], *, key: bytes) -> "People":
        """People known by their canonical addresses."""
        return cls(pa.array(hashes_of(addresses, key), pa.binary(16)), key)

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A table without some people, how many of its rows were theirs, and how many cells mentioned them."""

    table: pa.Table
    theirs: pa.Table
    cells: int


def hashes_of(addresses: Sequence[str], key: bytes) -> list[bytes]:
    """The keyed hashes of canonical addresses."""
    return [bytes(each) for each in hash_addresses(pa.array(addresses, pa.string()), key).storage.to_pylist()]


def read_address(text: str) -> str | None:
    """The canonical address that a line gives, with or without a name before it; none when it gives none."""
    bare = text.strip().removeprefix("\ufeff").strip("\"' ,;")
    bare = bare[len("mailto:") :] if bare[:7].lower() == "mailto:" else bare
    nearest = persons(pa.array([bare], pa.string())).to_pylist()[0]
    found = canonical_address((nearest or b"").decode(errors="replace"))
    return found if isinstance(found, str) else None


def is_of(table: pa.Table, people: People, *, email: str | None = None) -> np.ndarray:
    """Which rows belong to these people: by hash, else by the column `email`, else by any column of text."""
    none = np.zeros(table.num_rows, np.bool_)
    if not len(people) or not table.num_rows:
        return none
    named = [name for name in (email, "email") if name in table.column_names][:1]
    for name in table.column_names:
        if name in HASHES and isinstance(table.schema.field(name).type, pa.UuidType):
            return _has_hash(table[name], people)
        if name in HASHES and hash_text.is_text_of_hashes(table[name]):
            none |= cells.to_mask(pc.is_in(table[name], value_set=hash_text.of_bytes(people.hashes)))
            if email is not None and not named:  # a table of ours: the source's has its column of addresses
                return none
    for name in named or [each.name for each in table.schema if _is_text(each.type)]:
        none |= _has_hash(hash_addresses(persons(cells.plain(table[name])), people.key), people)
    return none


def clean(
    table: pa.Table, people: People, *, email: str | None = None, rows: np.ndarray | None = None
) -> Cleaned:
    """Take their rows out (and those that `rows` marks besides), and blank every cell that mentions them."""
    theirs = is_of(table, people, email=email)
    theirs = theirs if rows is None else theirs | rows
    left = table if not theirs.any() else table.filter(pa.array(~theirs))
    blanked = 0
    for number, field in enumerate(left.schema):
        if not _is_text(field.type) or field.name == "json":
            continue
        # One address in the column of addresses has been judged with its row; several are judged here.
        where = _SEVERAL if field.name == (email or "email") else "@"
        mentioned = mentions(left[field.name], people, where=where)
        if mentioned.any():
            blanked += int(mentioned.sum())
            empty = pa.scalar(None, field.type) if field.nullable else pa.scalar("", field.type)
            left = left.set_column(number, field, pc.if_else(pa.array(mentioned), empty, left[field.name]))
    return Cleaned(left, table.filter(pa.array(theirs)), blanked)


def mentions(column: pa.ChunkedArray | pa.Array, people: People, *, where: str = "@") -> np.ndarray:
    """Which cells of a column of text hold the address of one of them, in any case and spelling, as a word of its own.

    `where` is a pattern: only cells that it is found in are looked at.
    """
    text = cells.plain(column)
    found = np.zeros(len(text), np.bool_)
    rows = np.flatnonzero(cells.to_mask(pc.match_substring_regex(text, where)))
    spoken = [_candidates(each) for each in text.take(pa.array(rows)).to_pylist()]
    places = np.repeat(rows, [len(each) for each in spoken])
    words = pa.array([word for each in spoken for word in each], pa.string())
    theirs = _has_hash(hash_addresses(persons(words), people.key), people)
    found[places[theirs]] = True
    return found


def _candidates(text: str) -> list[str]:
    """What may be an address in a text: each word with an @, and what is left of it behind punctuation."""
    if _BARE.fullmatch(text):
        return [text]
    words = [each[0].rstrip(".-") for each in _WORDS.finditer(text)]
    return [word[start:] for word in words for start in (0, *(at.end() for at in _MARKS.finditer(word)))]


def _has_hash(column: pa.ChunkedArray | pa.Array, people: People) -> np.ndarray:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [
        cells.to_mask(pc.fill_null(pc.is_in(each.storage, value_set=people.hashes), False)) for each in chunks
    ]
    return np.concatenate(found) if found else np.zeros(0, np.bool_)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
