"""What changed: accepted contacts against what Mailtrap was last told.

One question put to DuckDB over Parquet files, by keyed address hash and fingerprint: it spills to disk instead of
growing. Belongs here: what counts as new, changed, unchanged, stale, withheld and gone. Not here: where the files
lie (`assets/changes.py`, `assets/delivery/ledger.py`) and how a changed contact is written down (`payload`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path

import duckdb
import pyarrow as pa

from assets.rules.sync import Mode


class Change(IntEnum):
    """What a comparison says about one accepted contact; the first that applies, from the top. The last are pending."""

    erased = 1
    suppressed = 2
    unsubscribed = 3
    no_consent = 4
    """A newer row, in another partition, said no."""
    stale = 5
    """Mailtrap was told something newer."""
    unchanged = 6
    newer_unchanged = 7
    """The same values, said again later: nothing to send, but older rows are stale from now on."""
    refused = 8
    """Mailtrap has refused these very values: it is not asked again."""
    new = 9
    changed = 10

    @property
    def is_pending(self) -> bool:
        """Whether Mailtrap has to be told."""
        return self in (Change.new, Change.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The files of a ledger: a base, in which nobody is twice, and parts that overrule it, oldest first."""

    base: tuple[Path, ...] = ()
    parts: tuple[Path, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nobody was ever told."""
        return not self.base and not self.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Who must not be written to, as files with a column `address_hash`; `no_consent` also with `as_of`."""

    erased: tuple[Path, ...] = ()
    suppressed: tuple[Path, ...] = ()
    unsubscribed: tuple[Path, ...] = ()
    no_consent: tuple[Path, ...] = ()
    """Of other partitions: counts only where it is newer than the row."""


TOLD_SCHEMA = pa.schema(
    [
        ("address_hash", pa.uuid()),
        ("fingerprint", pa.uint64()),  # null: Mailtrap holds this person no longer for this sync
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("import_id", pa.int64()),
        ("list_ids", pa.list_(pa.int64())),
        ("partition", pa.string()),
    ]
)


def connect(scratch: Path, *, memory_megabytes: int = 384, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A private DuckDB that spills into `scratch` and fetches nothing from anywhere."""
    connection = duckdb.connect(
        config={
            "memory_limit": f"{memory_megabytes}MB",
            "temp_directory": str(scratch),
            "threads": threads,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "arrow_lossless_conversion": True,
        }
    )
    connection.execute("set TimeZone = 'UTC'")
    return connection


def compare(
    connection: duckdb.DuckDBPyConnection,
    accepted: Sequence[Path],
    *,
    told: Told,
    withheld: Withheld,
    mode: Mode = "upsert",
    existing: Path | None = None,
    refused: Path | None = None,
    resend: bool = False,
) -> Iterator[pa.RecordBatch]:
    """For each accepted contact: file (int32), row (int64), change (uint8).

    `accepted` are the files of the partitions at hand; a person in several of them counts in the newest one only.
    `existing` are the people Mailtrap has, for the modes insert and update. `refused` are values that it has refused,
    by person and fingerprint. `resend` sends the unchanged and the refused again.
    """
    if not accepted:
        return
    query = f"""
        with here as ({_accepted(accepted)}),
             told as ({told_sql(told)}),
             withheld as ({_withheld(withheld)}),
             said_no as ({_newest_no(withheld.no_consent)})
        select file::integer as file, row::bigint as row, {_unless_refused(None if resend else refused)} as change
        from (select here.*, (case
                  when withheld.change is not null then withheld.change
                  when said_no.address_hash is not null
                       and coalesce(said_no.as_of >= here.as_of, true) then {Change.no_consent:d}
                  when not here.newest then {Change.stale:d}
                  when told.address_hash is null or told.fingerprint is null then {_when_new(mode)}
                  when told.fingerprint = here.fingerprint then {_when_same(resend)}
                  when told.as_of > here.as_of then {Change.stale:d}
                  else {Change.unchanged if mode == "insert" else Change.changed:d}
                end)::utinyint as change
        from here
        left join told using (address_hash)
        left join withheld using (address_hash)
        left join said_no using (address_hash)
        {_join_existing(existing)}) compared
    """
    yield from connection.sql(query).to_arrow_reader(100_000)


def digest(connection: duckdb.DuckDBPyConnection, withheld: Withheld) -> tuple[object, ...]:
    """Differs when other people are withheld, or for another reason, however the files are written."""
    query = f"""
        select count(*), sum(hash(address_hash, change, as_of)) from (
            select address_hash, change, null::timestamptz as as_of from ({_withheld(withheld)})
            union all select address_hash, {Change.no_consent:d}, as_of from ({_newest_no(withheld.no_consent)}))
    """
    [found] = connection.sql(query).fetchall()
    return tuple(found)


def still_refused(
    connection: duckdb.DuckDBPyConnection, former: Path, *, accepted: Sequence[Path], offered: Path
) -> pa.Table:
    """Of former refusals, each once, those that still stand: of values accepted as they were, and not offered again."""
    here = f"""
        select 1 from {_files(accepted)} here
        where here._address_hash = former.address_hash::uuid and here._fingerprint = former.fingerprint
    """
    again = (
        f"select 1 from {_files([offered])} offered where offered.address_hash = former.address_hash::uuid"
    )
    query = f"""
        select distinct * from {_files([former])} former
        where {f"exists ({here})" if accepted else "true"} and not exists ({again})
        order by all
    """
    return connection.sql(query).to_arrow_table()


def gone(
    connection: duckdb.DuckDBPyConnection,
    *,
    present: Sequence[Path],
    told: Told,
    partition: str | None,
    withheld: Withheld | None = None,
) -> Iterator[pa.RecordBatch]:
    """The ledger rows of people who are in none of the files `present` (column address_hash, nulls ignored).

    People who are withheld are left out too: they must not be written to, not even to take them off a list.
    """
    withheld = withheld or Withheld()
    here = _hashes([*present, *withheld.erased, *withheld.suppressed, *withheld.unsubscribed])
    where = "" if partition is None else f"and told.partition = {quoted(partition)}"
    query = f"""
        select told.* from ({told_sql(told)}) told
        where told.fingerprint is not null {where}
          and not exists (select 1 from ({here}) here where here.address_hash = told.address_hash)
        order by told.address_hash
    """
    yield from connection.sql(query).to_arrow_reader(100_000)


def overtaken(
    connection: duckdb.DuckDBPyConnection,
    pending: Path,
    *,
    told: Told,
    erased: Sequence[Path] = (),
    resent: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of pending contacts that need not, or must not, be sent any more: row (int64), change (uint8).

    A full resend sends the same values again, but for people that its own imports, `resent`, have told already.
    """
    same = "told.fingerprint is not distinct from here.fingerprint"  # both null: left, and taken off already
    if resent is not None:
        by_itself = f"told.import_id in ({', '.join(map(str, resent))})" if resent else "false"
        same = f"{same} and (here.fingerprint is null or {by_itself})"
    query = f"""
        select here.file_row_number::bigint as row,
               (case when gone.address_hash is not null then {Change.erased:d}
                     when {same} then {Change.unchanged:d} else {Change.stale:d} end)::utinyint as change
        from read_parquet({quoted(str(pending))}, file_row_number=true) here
        left join ({told_sql(told)}) told using (address_hash)
        left join ({_hashes(erased)}) gone using (address_hash)
        where gone.address_hash is not null or ({same}) or told.as_of > here.as_of
    """
    yield from connection.sql(query).to_arrow_reader(100_000)


def still_newer(connection: duckdb.DuckDBPyConnection, rows: pa.Table, *, told: Told) -> pa.Table:
    """Of ledger rows that only move a date on, those that still do: Mailtrap has these values, and was told no later."""
    connection.register("again", rows)
    query = f"""
        select again.* from again join ({told_sql(told)}) told using (address_hash)
        where told.fingerprint = again.fingerprint and (told.as_of is null or told.as_of < again.as_of)
    """
    found = connection.sql(query).to_arrow_table()
    connection.unregister("again")
    return found.cast(TOLD_SCHEMA)


def has_fallen_behind(
    connection: duckdb.DuckDBPyConnection, accepted: Sequence[Path], *, told: Told, pending: Path
) -> bool:
    """Whether Mailtrap was told older values of somebody who was not pending: then the comparison is no longer true."""
    if not accepted or told.is_empty:
        return False
    query = f"""
        select 1 from ({_accepted(accepted)}) here join ({told_sql(told)}) told using (address_hash)
        where here.newest and told.fingerprint is distinct from here.fingerprint and told.as_of < here.as_of
          and address_hash not in (select address_hash from read_parquet({quoted(str(pending))})) limit 1
    """
    return bool(connection.sql(query).fetchall())


def differing(
    connection: duckdb.DuckDBPyConnection, before: Path, after: Path, *, among: Path, columns: Sequence[str]
) -> dict[str, int]:
    """In how many of the changed contacts `among` each column of accepted contacts differs."""
    if not columns:
        return {}
    names = ['"' + column.replace('"', '""') + '"' for column in columns]
    counts = ", ".join(
        f"count(*) filter (where before.{name} is distinct from after.{name})" for name in names
    )
    query = f"""
        select {counts} from read_parquet({quoted(str(after))}) after
        join read_parquet({quoted(str(before))}) before using (_address_hash)
        where _address_hash in
            (select address_hash from read_parquet({quoted(str(among))}) where change = 'changed')
    """
    return dict(zip(columns, connection.sql(query).fetchall()[0], strict=True))


def told_sql(told: Told) -> str:
    """What Mailtrap was last told, one row a person; people it holds no longer have no fingerprint."""
    names = ", ".join(TOLD_SCHEMA.names)
    if told.is_empty:
        return _nobody()
    base = f"select {names} from {_files(told.base)}"
    if not told.parts:
        return base
    newest = _newest(told.parts, names)
    if not told.base:
        return newest
    return f"""
        select * from ({base}) base
        where not exists (select 1 from {_files(told.parts)} part where part.address_hash = base.address_hash)
        union all by name select * from ({newest})
    """


def _newest(parts: Sequence[Path], names: str) -> str:
    """The newest row of each person; nearly all are in one part only, so that sorting all of them would be a waste.

    All parts are one scan: DuckDB keeps buffers for each, and a first load of ten million rows makes 190 parts.
    """
    if len(parts) == 1:
        return f"select {names} from {_files(parts)}"
    return f"""
        select {names} from {_files(parts)} part
        where not exists (
            select 1 from (
                select address_hash, max(file_index) as newest from {_files(parts)}
                group by address_hash having count(*) > 1) twice
            where twice.address_hash = part.address_hash and twice.newest <> part.file_index)
    """


def quoted(text: str) -> str:
    """A string as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def as_utc(moment: datetime) -> str:
    """A moment as a SQL literal."""
    return f"timestamptz {quoted(moment.isoformat())}"


def _accepted(files: Sequence[Path]) -> str:
    each = f"""
        select file_index as file, file_row_number as row, _address_hash as address_hash,
               _fingerprint as fingerprint, _as_of as as_of from {_files(files)}
    """
    if len(files) == 1:
        return f"select *, true as newest from ({each})"
    return f"""
        select *, row_number() over (
            partition by address_hash order by as_of desc nulls last, file desc, fingerprint) = 1 as newest
        from ({each})
    """


def _withheld(withheld: Withheld) -> str:
    groups = (
        (Change.erased, withheld.erased),
        (Change.suppressed, withheld.suppressed),
        (Change.unsubscribed, withheld.unsubscribed),
    )
    each = [
        f"select address_hash::uuid as address_hash, {change:d} as change from read_parquet({quoted(str(path))})"
        for change, paths in groups
        for path in paths
    ]
    if not each:
        return f"select address_hash, null::integer as change from ({_nobody()})"
    return (
        f"select address_hash, min(change) as change from ({' union all '.join(each)}) group by address_hash"
    )


def _newest_no(paths: Sequence[Path]) -> str:
    if not paths:
        return f"select address_hash, as_of from ({_nobody()})"
    # A no without a date is newer than anything: nobody can say that it is old.
    return f"""
        select address_hash, case when bool_or(as_of is null) then null else max(as_of) end as as_of
        from {_files(paths)} group by address_hash
    """


def _when_new(mode: Mode) -> str:
    if mode == "insert":
        return f"(case when existing.address_hash is null then {Change.new:d} else {Change.unchanged:d} end)"
    if mode == "update":
        return (
            f"(case when existing.address_hash is null then {Change.unchanged:d} else {Change.changed:d} end)"
        )
    return f"{Change.new:d}"


def _unless_refused(refused: Path | None) -> str:
    if refused is None:
        return "change"
    known = f"select address_hash::uuid, fingerprint from {_files([refused])}"
    return f"""
        (case when change in ({Change.new:d}, {Change.changed:d}) and (address_hash, fingerprint) in ({known})
              then {Change.refused:d} else change end)::utinyint
    """


def _when_same(resend: bool) -> str:
    if resend:
        return f"{Change.changed:d}"
    newer = "here.as_of > told.as_of or (here.as_of is not null and told.as_of is null)"
    return f"(case when {newer} then {Change.newer_unchanged:d} else {Change.unchanged:d} end)"


def _join_existing(existing: Path | None) -> str:
    people = (
        _nobody()
        if existing is None
        else f"select distinct address_hash from read_parquet({quoted(str(existing))})"
    )
    return f"left join (select address_hash from ({people})) existing using (address_hash)"


def _hashes(paths: Sequence[Path]) -> str:
    if not paths:
        return f"select address_hash from ({_nobody()})"
    each = (
        f"select columns('^_?address_hash$')::uuid as address_hash from read_parquet({quoted(str(path))})"
        for path in paths
    )
    return f"select address_hash from ({' union all '.join(each)}) where address_hash is not null"


def _files(paths: Sequence[Path]) -> str:
    """Files as one table; its `file_index` is their order, its `file_row_number` the order in each."""
    return f"read_parquet([{', '.join(quoted(str(path)) for path in paths)}])"


def _nobody() -> str:
    return (
        "select null::uuid as address_hash, null::ubigint as fingerprint, null::timestamptz as as_of, "
        "null::bigint as import_id, null::bigint[] as list_ids, null::varchar as partition where false"
    )
