"""Which column of an export is which: header matching, and the names and types of the Parquet that comes of it.

Mailtrap documents no header, order, delimiter or list column for its export, so none is assumed: a column is
known by its merge tag or its display name, in any order and case; what is not known is kept as text. Types come
from the account's fields, never from the content. Not here: bytes (`exported`), values (`export_cells`).

    layout = match_headers(("Email", "First name", "Plan"), fields)
    layout.schema.names     # email, status, first_name, plan, ..., lists, misfits
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

Kind = Literal["email", "text", "integer", "float", "boolean", "date", "moment", "status", "lists"]
MISFITS = "misfits"
MISFITS_TYPE = pa.map_(pa.string(), pa.string())
MAX_HEADERS = 1_000
_MAX_NAMED_HEADERS = 60
_TYPES: dict[Kind, pa.DataType] = {
    "email": pa.string(),
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "moment": pa.timestamp("us", tz="UTC"),
    "status": pa.string(),
    "lists": pa.list_(pa.string()),
}
_FIELD_KINDS: dict[str, Kind] = {
    "text": "text",
    "integer": "integer",
    "float": "float",
    "boolean": "boolean",
    "date": "date",
}
_EMAIL = ("email", "e_mail", "email_address", "e_mail_address", "contact_email", "mail")
_STATUS = ("status", "subscription_status", "contact_status")
_LISTS = (
    *("lists", "list", "list_names", "list_name", "list_ids", "list_id", "contact_lists", "contact_list"),
    *("list_memberships", "list_membership", "memberships"),
)
_CREATED = ("created_at", "created", "creation_date", "date_created")
_UPDATED = ("updated_at", "updated", "last_updated", "last_updated_at", "date_updated")


class AccountField(Protocol):
    """A contact field of the account, as Mailtrap describes it."""

    @property
    def name(self) -> str:
        """What people see."""

    @property
    def merge_tag(self) -> str:
        """What messages use."""

    @property
    def data_type(self) -> str:
        """text, integer, float, boolean or date."""


class ExportFileError(ValueError):
    """An export cannot be read; `damaged` when another download may mend it. Never holds a cell of it."""

    def __init__(self, happened: str, meaning: str, remedy: str, *, damaged: bool) -> None:
        self.happened, self.meaning, self.remedy, self.damaged = happened, meaning, remedy, damaged
        super().__init__(f"{happened} {meaning} {remedy}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the Parquet file, and the position of the CSV column it comes from, if there is one."""

    name: str
    kind: Kind
    position: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """How the columns of one export map to ours."""

    headers: tuple[str, ...]
    columns: tuple[Column, ...]
    absent_fields: tuple[str, ...]
    """Merge tags of the account that the export does not have; their columns are null."""

    @property
    def schema(self) -> pa.Schema:
        """The columns and types of the Parquet file."""
        named = [pa.field(column.name, _TYPES[column.kind]) for column in self.columns]
        return pa.schema([*named, pa.field(MISFITS, MISFITS_TYPE)])

    @property
    def has_lists(self) -> bool:
        """Whether the export says in which lists a contact is."""
        return any(column.kind == "lists" and column.position is not None for column in self.columns)

    @property
    def has_status(self) -> bool:
        """Whether the export says who is subscribed."""
        return any(column.kind == "status" and column.position is not None for column in self.columns)


def read_header(line: str, *, delimiters: str = ",;\t|") -> tuple[str, tuple[str, ...]]:
    """The delimiter and the names of a header record: the delimiter that yields an e-mail column, and most columns."""
    found = {
        each: tuple(next(csv.reader(io.StringIO(line, newline=""), delimiter=each), ()))
        for each in delimiters
    }
    return max(
        found.items(), key=lambda pair: (any(plain_name(name) in _EMAIL for name in pair[1]), len(pair[1]))
    )


def match_headers(headers: Sequence[str], fields: Iterable[AccountField]) -> Layout:
    """Who is who: own columns first, then fields by merge tag, then by display name; the rest is kept as text."""
    if len(headers) > MAX_HEADERS:
        raise ExportFileError(
            f"The export has {len(headers):,} columns.",
            f"An account has at most 40 fields; more than {MAX_HEADERS:,} columns are no export.",
            "Take the export again; when it happens again, report it with the number of columns.",
            damaged=True,
        )
    account = list(fields)
    free = dict(enumerate(headers))
    tags = {field.merge_tag for field in account}
    email = _take(free, [name for name in _EMAIL if name == "email" or name not in tags])
    if email is None:
        raise _no_email(headers)
    status = _take(free, [name for name in _STATUS if name == "status" or name not in tags])
    lists = _take(free, [name for name in _LISTS if name not in tags])
    created = _take(free, [name for name in _CREATED if name == "created_at" or name not in tags])
    updated = _take(free, [name for name in _UPDATED if name == "updated_at" or name not in tags])
    positions = _field_positions(free, account)
    names = _Names()
    columns = [
        Column(names.fresh("email"), "email", email),
        Column(names.fresh("status"), "status", status),
    ]
    for own in ("lists", "created_at", "updated_at", MISFITS):
        names.fresh(own)
    for field in account:
        kind = _FIELD_KINDS.get(field.data_type, "text")
        columns.append(Column(names.fresh(field.merge_tag), kind, positions.get(field.merge_tag)))
    columns.append(Column("lists", "lists", lists))
    for name, position in (("created_at", created), ("updated_at", updated)):
        if position is not None:
            columns.append(Column(name, "moment", position))
    for position, header in free.items():
        columns.append(Column(names.fresh(plain_name(header) or f"column_{position + 1}"), "text", position))
    absent = tuple(field.merge_tag for field in account if field.merge_tag not in positions)
    return Layout(tuple(headers), tuple(columns), absent)


def plain_name(header: str) -> str:
    """A header as a name for SQL: lower case, words joined by underscores."""
    return re.sub(r"[^\w]+", "_", header.strip().lstrip("\ufeff").casefold()).strip("_")


def _take(free: dict[int, str], aliases: Sequence[str]) -> int | None:
    """The first free column with one of the names, the earlier names first."""
    for alias in aliases:
        for position, header in free.items():
            if plain_name(header) == alias:
                del free[position]
                return position
    return None


def _field_positions(free: dict[int, str], fields: Sequence[AccountField]) -> dict[str, int]:
    """Merge tags as written, then in any case, then display names; each header is used once."""
    found: dict[str, int] = {}
    for key, of_header in (
        (lambda field: field.merge_tag, str.strip),
        (lambda field: plain_name(field.merge_tag), plain_name),
        (lambda field: plain_name(field.name), plain_name),
    ):
        for field in fields:
            if field.merge_tag in found:
                continue
            match = next((p for p, header in free.items() if of_header(header) == key(field)), None)
            if match is not None:
                found[field.merge_tag] = match
                del free[match]
    return found


class _Names:
    """Column names, each once (DuckDB and Spark do not tell `Plan` from `plan`)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, wanted: str) -> str:
        name, number = wanted, 2
        while name.casefold() in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name.casefold())
        return name


def _no_email(headers: Sequence[str]) -> ExportFileError:
    if any("@" in header for header in headers):  # a person's row: nothing of it may be told
        return ExportFileError(
            f"The export begins with a person, not with headers; its first line has {len(headers)} cells.",
            "Without headers no column can be told from another. The former export is as it was.",
            "Take the export again; report it to Mailtrap when it happens again.",
            damaged=True,
        )
    named = ", ".join(repr(header[:80]) for header in headers[:_MAX_NAMED_HEADERS]) or "none"
    return ExportFileError(
        f"The export has no e-mail column; its headers are: {named}.",
        "Without it no row can be told from another. The former export is as it was.",
        "If one of these is the address, report it so that its name is added to export_layout.py.",
        damaged=False,
    )
