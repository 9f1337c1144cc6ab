"""Read-back: is what Mailtrap was told what Mailtrap has? Pure: Parquet files in, one row per person told out.

Belongs here: the states, and which fields differ. Not here: which files, how fresh they must be, and what follows from
a difference (`assets/drift.py`). One question put to DuckDB, which spills to disk instead of growing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from assets.rules import hash_text
from assets.rules.comparison import Told, quoted, told_sql
from assets.rules.sync import FieldRule

State = Literal["applied", "missing", "differs", "unsubscribed", "over_limit"]
STATES: tuple[State, ...] = ("applied", "differs", "missing", "unsubscribed", "over_limit")
LISTS = "lists"
FOUND_SCHEMA = pa.schema(
    [
        ("address_hash", hash_text.TEXT),
        ("state", pa.string()),
        ("differing", pa.list_(pa.string())),
        (
            "compared",
            pa.bool_(),
        ),  # false: the values that were told are not at hand any more, only presence is proven
        ("import_id", pa.int64()),
        ("as_of", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is compared: who was told what, the values that were told, and what an export has."""

    told: Told
    accepted: tuple[Path, ...]
    """Accepted contacts: the values behind a fingerprint, where they have not changed since."""
    theirs: Path
    """The export, with a column `address_hash`."""
    over_limit: Path | None = None
    """People (address_hash, import_id) of imports that left some out because of the plan's limit."""
    fields: Sequence[FieldRule] = ()
    list_names: Mapping[int, str] | None = None
    """The lists of the account; none when the export does not say who is in which."""


def read_back(connection: duckdb.DuckDBPyConnection, evidence: Evidence) -> Iterator[pa.RecordBatch]:
    """One row per person told, in FOUND_SCHEMA."""
    query = f"""
        with told as (select * from ({told_sql(evidence.told)}) where fingerprint is not null),
             accepted as ({_accepted(evidence)}),
             theirs as (select distinct on (address_hash) * from ({_theirs(evidence)})
                        where address_hash is not null),
             compared as (
                 select told.address_hash, told.import_id, told.as_of, theirs.address_hash is not null as present,
                        theirs.status as status, accepted.address_hash is not null as compared,
                        list_filter([{", ".join(_differences(evidence)) or "null::varchar"}], lambda x: x is not null) as differing
                 from told
                 left join theirs using (address_hash)
                 left join accepted on accepted.address_hash = told.address_hash
                                   and accepted.fingerprint = told.fingerprint)
        select address_hash,
               case when not present then 'missing'
                    when coalesce(status, 'subscribed') <> 'subscribed' then 'unsubscribed'
                    when len(differing) > 0 then 'differs'
                    else 'applied' end as state,
               case when present then differing else [] end as differing,
               compared, import_id, as_of
        from compared
        union all by name ({_left_out(evidence)})
    """
    told = f"select * replace (address_hash::varchar as address_hash) from ({query})"
    for batch in connection.sql(told).to_arrow_reader(100_000):
        yield from pa.Table.from_batches([batch]).select(FOUND_SCHEMA.names).cast(FOUND_SCHEMA).to_batches()


def count(batches: Iterator[pa.RecordBatch]) -> tuple[Counter[str], Counter[str]]:
    """How many people are in each state, and how often each field differs."""
    states, fields = Counter[str](dict.fromkeys(STATES, 0)), Counter[str]()
    for batch in batches:
        states.update(batch["state"].to_pylist())
        fields.update(batch["differing"].flatten().to_pylist())
    return states, fields


def _accepted(evidence: Evidence) -> str:
    """The values that were told, once a person; the same fingerprint means the same values."""
    columns = ", ".join(
        ["_address_hash as address_hash", "_fingerprint as fingerprint", *_names(evidence.fields)]
    )
    if not evidence.accepted:
        empty = ", ".join(f"null as {name}" for name in _names(evidence.fields))
        return f"select null::uuid as address_hash, null::ubigint as fingerprint{', ' if empty else ''}{empty} where false"
    each = " union all ".join(
        f"select {columns} from read_parquet({quoted(str(path))})" for path in evidence.accepted
    )
    return f"select distinct on (address_hash, fingerprint) * from ({each})"


def _theirs(evidence: Evidence) -> str:
    """The export; a field that the account has no more is a column of nulls, so that its values differ."""
    columns = ", ".join(f"null as {name}" for name in ["status", *_names(evidence.fields)])
    return f"from read_parquet({quoted(str(evidence.theirs))}) union all by name select {columns} where false"


def _differences(evidence: Evidence) -> Iterator[str]:
    """For each field an expression: its merge tag where the two do not say the same, else null."""
    for rule in evidence.fields:
        name = _name(rule.merge_tag)
        told = f"(accepted.address_hash is not null and {'true' if rule.nulls == 'clear' else f'accepted.{name} is not null'})"
        yield f"case when {told} and {_differs(rule, f'accepted.{name}', f'theirs.{name}')} then {quoted(rule.merge_tag)} end"
    if evidence.list_names is not None:
        ids = ", ".join(f"{number}" for number in evidence.list_names)
        names = ", ".join(quoted(name) for name in evidence.list_names.values())
        wanted = f"list_filter(list_transform(told.list_ids, lambda i: list_extract([{names}]::varchar[], list_position([{ids}]::bigint[], i))), lambda n: n is not null)"
        yield f"case when theirs.lists is not null and not list_has_all(theirs.lists, {wanted}) then {quoted(LISTS)} end"


def _differs(rule: FieldRule, ours: str, theirs: str) -> str:
    if rule.type == "float":  # what is written with fewer digits is the same number
        near = f"abs({ours}::double - {theirs}::double) <= 1e-9 * greatest(abs({ours}::double), abs({theirs}::double))"
        return f"not coalesce({near}, {ours} is null and {theirs} is null)"
    if rule.type == "text":  # a CSV cannot tell an empty text from none
        return f"coalesce({ours}::varchar, '') <> coalesce({theirs}::varchar, '')"
    return f"{ours}::varchar is distinct from {theirs}::varchar"


def _left_out(evidence: Evidence) -> str:
    """People of over-limit imports whom Mailtrap does not have; they were never counted as told."""
    columns = "[]::varchar[] as differing, false as compared, import_id, null::timestamptz as as_of"
    if evidence.over_limit is None:
        return f"select null::uuid as address_hash, 'over_limit' as state, {columns.replace('import_id', 'null::bigint as import_id')} where false"
    people = f"read_parquet({quoted(str(evidence.over_limit))})"
    theirs = f"read_parquet({quoted(str(evidence.theirs))})"
    return f"""
        select address_hash, 'over_limit' as state, {columns} from (select distinct on (address_hash) * from {people})
        where address_hash not in (select address_hash from {theirs} where address_hash is not null)
          and address_hash not in (select address_hash from told)
    """


def _names(fields: Sequence[FieldRule]) -> list[str]:
    return [_name(rule.merge_tag) for rule in fields]


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
