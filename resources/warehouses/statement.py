"""The SQL of a read: quoted names, typed literals, one SELECT; the same for every warehouse that speaks SQL.

Here: pure functions from what is wanted to the text of a statement. Names come from the catalogue and are quoted
by sqlglot; values are literals built by sqlglot (a bound parameter would leave PostgreSQL's fast path). Not here:
what a warehouse's own types need (its `Grammar`, in its file), connections, errors of a server.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from resources.errors import WarehouseError
from resources.warehouses import complaints, plain
from resources.warehouses.contract import Bucket, Days, Files, Query, Relation, Table, Window

Item = TypeVar("Item")

_NAME_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|`([^`]+)`|([^."`]+))\s*(\.|$)')


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalogue has it: its exact name, its own type, and the plain type that it leaves with."""

    name: str
    native: str
    plain: pa.DataType


def typed_literal(value: str, data_type: str, dialect: str) -> str:
    """`CAST('2026-01-01' AS DATE)`, in the dialect's own words."""
    return exp.cast(exp.Literal.string(value), data_type).sql(dialect=dialect)


PLAIN_LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits + "@._+-"


def odd_address(text_type: str) -> str:
    """The template of `Grammar.odd_address` for dialects that have TRANSLATE."""
    column = f"CAST({{column}} AS {text_type})"
    return f"(TRANSLATE({column}, '{PLAIN_LETTERS}', '') <> '' OR {column} LIKE '%.')"


def is_odd(address: str | None) -> bool:
    """The same in Python, for databases that can call it."""
    text = address or ""
    return text.endswith(".") or not set(text) <= set(PLAIN_LETTERS)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one dialect does in its own way. In the templates, {column} is the quoted column."""

    dialect: str
    address_hash: str
    """An integer from 0 to 2**32 - 1: the first 8 hex digits of md5(lower(trim(coalesce(text, ''))))."""
    odd_address: str
    """Whether the text ends in a dot or holds a character that is not in PLAIN_LETTERS."""
    decode: Callable[[Column, str], str] = lambda _, quoted: quoted
    """The expression of a column in the select list: what Arrow cannot hold is cast to text here."""
    literal: Callable[[str, str, str], str] = typed_literal
    """A date or moment by its text, its type (DATE, TIMESTAMPNTZ, TIMESTAMPTZ) and the dialect."""


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """What `Warehouse.columns` answers."""
    return pa.schema(plain.plain_field(each.name, each.plain, warehouse_type=each.native) for each in columns)


def name_parts(name: str) -> tuple[str, ...]:
    """`marts.subscribers` or `"Marts"."a.b"` in its parts; nothing of it is ever pasted into SQL."""
    parts, at = [], 0
    while found := _NAME_PART.match(name, at):
        quoted, ticked, bare, end = found.groups()
        parts.append(quoted.replace('""', '"') if quoted else ticked or bare.strip())
        at = found.end()
        if end == "":
            return tuple(parts)
    raise WarehouseError(
        f"{name!r} is not a name of a table.",
        remedy='Write table, schema.table or database.schema.table; put names with dots or quotes in "double quotes".',
    )


def find_table(
    name: str, catalogue: Sequence[tuple[str, ...]], *, preferred: Sequence[str] = ()
) -> tuple[str, ...]:
    """The exact name of the table in the catalogue; a difference of capitals alone is forgiven when it is clear."""
    wanted = name_parts(name)
    for same in (lambda a, b: a == b, lambda a, b: _folded(a) == _folded(b)):
        found = [each for each in catalogue if same(each[-len(wanted) :], wanted)]
        found = _first_schema(found, preferred) if len(wanted) == 1 else found
        if len(found) == 1:
            return found[0]
        if found:
            raise complaints.table_ambiguous(name, [".".join(each) for each in found])
    raise complaints.table_not_found(name, [".".join(each[-2:]) for each in catalogue])


def find_columns(wanted: Sequence[str], columns: Sequence[Column], *, relation: Relation) -> list[Column]:
    """The columns by the names that the sync uses, or an error with the nearest names."""
    chosen = pick(wanted, {each.name: each for each in columns}, relation=relation)
    return [chosen[name] for name in wanted]


def find_window_column(window: Window | None, columns: Sequence[Column], relation: Relation) -> Column | None:
    """The column that the window cuts by."""
    return find_columns([window.column], columns, relation=relation)[0] if window else None


def in_words(relation: Relation | str | None) -> str:
    """The relation in a sentence; one that has words of its own keeps them."""
    match relation:
        case str():
            return relation
        case Table(name):
            return f"table {name}"
        case Files(pattern):
            return complaints.masked(pattern)
    return "the query"


def pick(wanted: Sequence[str], known: Mapping[str, Item], *, relation: Relation | str) -> dict[str, Item]:
    """What is known under each wanted name: exactly, else by the only one that differs just in capitals."""
    folded: dict[str, list[str]] = {}
    for name in known:
        folded.setdefault(name.casefold(), []).append(name)
    chosen: dict[str, Item] = {}
    for name in wanted:
        alike = folded.get(name.casefold(), [])
        if name in known:
            chosen[name] = known[name]
        elif len(alike) == 1:
            chosen[name] = known[alike[0]]
    if missing := [name for name in wanted if name not in chosen]:
        raise complaints.column_missing(missing, list(known), relation=in_words(relation))
    return chosen


def checked_query(sql: str, dialect: str) -> str:
    """The query itself, without a closing semicolon, once it is proven to be one SELECT."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree and not _is_empty(tree)]
        tokens = list(sqlglot.tokenize(sql, dialect=dialect))
    except SqlglotError:
        raise complaints.query_refused("it cannot be understood") from None
    if len(trees) != 1:
        raise complaints.query_refused(f"it holds {len(trees)} statements")
    if not isinstance(trees[0], exp.Query) or trees[0].find(*_CHANGES):
        raise complaints.query_refused("it is not a SELECT")
    ends = [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    return sql[: ends[0]] if ends else sql


def from_clause(relation: Relation, found: tuple[str, ...], dialect: str) -> str:
    """What stands behind FROM: the table by its exact name in the catalogue, or the query in parentheses."""
    if isinstance(relation, Query):
        return f"(\n{checked_query(relation.sql, dialect)}\n) AS {quoted('source', dialect)}"
    return ".".join(quoted(part, dialect) for part in found)


@dataclass(frozen=True, slots=True)
class Selection:
    """A statement that reads columns, and what its rows are as plain Arrow."""

    sql: str
    schema: pa.Schema


def select(
    source: str,
    known: Sequence[Column],
    *,
    columns: Sequence[str],
    relation: Relation,
    grammar: Grammar,
    window: Window | None = None,
) -> Selection:
    """`SELECT column AS name, … FROM source WHERE window`, for columns that are among the `known` ones of a relation."""
    pairs = list(zip(columns, find_columns(columns, known, relation=relation), strict=True))
    listed = ", ".join(
        f"{grammar.decode(column, quoted(column.name, grammar.dialect))} AS {quoted(name, grammar.dialect)}"
        for name, column in pairs
    )
    within = where(window, find_window_column(window, known, relation), grammar)
    schema = pa.schema([pa.field(name, column.plain) for name, column in pairs])
    return Selection(f"SELECT {listed} FROM {source}{within}", schema)


def count(
    source: str, *, grammar: Grammar, window: Window | None = None, window_column: Column | None = None
) -> str:
    """`SELECT COUNT(*) FROM source WHERE window`."""
    return f"SELECT COUNT(*) FROM {source}{where(window, window_column, grammar)}"


def where(window: Window | None, column: Column | None, grammar: Grammar) -> str:
    """The window as a WHERE clause with a leading space, or nothing."""
    if window is None or column is None:
        return ""
    name = quoted(column.name, grammar.dialect)
    if isinstance(window, Bucket):
        number = grammar.address_hash.replace("{column}", name)
        odd = grammar.odd_address.replace("{column}", name)
        return f" WHERE MOD({number}, {int(window.count)}) = {int(window.index)} OR {odd}"
    start, end = (grammar.literal(value, kind, grammar.dialect) for value, kind in _bounds(window, column))
    return f" WHERE {name} >= {start} AND {name} < {end}"


def quoted(name: str, dialect: str) -> str:
    """The name in the dialect's quotes, whatever is in it."""
    return exp.to_identifier(name, quoted=True).sql(dialect=dialect)


def text(value: str, dialect: str) -> str:
    """The value as a literal of text."""
    return exp.Literal.string(value).sql(dialect=dialect)


def _bounds(days: Days, column: Column) -> tuple[tuple[str, str], tuple[str, str]]:
    """Start and end as texts with their type, as the column's own type wants them."""
    if column.plain == plain.DATE:
        return (_midnight(days.start), "DATE"), (_midnight(days.end), "DATE")
    start, end = (f"{moment:%Y-%m-%d %H:%M:%S.%f}" for moment in (days.start_utc, days.end_utc))
    if column.plain == plain.INSTANT:
        return (f"{start}+00:00", "TIMESTAMPTZ"), (f"{end}+00:00", "TIMESTAMPTZ")
    if column.plain == plain.TIMESTAMP:
        return (start, "TIMESTAMPNTZ"), (end, "TIMESTAMPNTZ")
    raise complaints.not_a_day(column.name, column.native)


def _midnight(moment: datetime) -> str:
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise ValueError(f"A column of dates can only be cut at midnight, not at {moment}")
    return f"{moment:%Y-%m-%d}"


def _is_empty(tree: object) -> bool:
    return isinstance(tree, exp.Semicolon)


def _folded(parts: Sequence[str]) -> list[str]:
    return [part.casefold() for part in parts]


def _first_schema(found: list[tuple[str, ...]], preferred: Sequence[str]) -> list[tuple[str, ...]]:
    for schema in preferred:
        if here := [each for each in found if len(each) > 1 and each[-2] == schema]:
            return here
    return found


_CHANGES = (exp.DML, exp.DDL, exp.Command, exp.Into)
