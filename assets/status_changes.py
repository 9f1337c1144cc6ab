"""Whose status changed between two takings, in which lists they were, and which import had told Mailtrap about them last.

Belongs here: the one question, as SQL over the takings that are kept and the consent evidence, and the answer for one
person. Not here: the views that analysts see (`analyst_database`), and the words of `explain` (`pipelines/people`).
"""

from collections.abc import Iterable
from contextlib import ExitStack

import pyarrow as pa

from assets.exports import versions
from assets.rules.comparison import connect, quoted
from resources.lake import Lake

EVIDENCE = "evidence"
NOBODY_TOLD = "select null::varchar as email, null::varchar as sync, null::bigint as import_id, null::timestamptz as told_at where false"
_TAKEN_AT = "strptime(regexp_extract(filename, '([0-9]{8}T[0-9]{6}Z)-', 1), '%Y%m%dT%H%M%SZ')::timestamp at time zone 'UTC'"


def history_sql(files: str) -> str:
    """Every taking of everyone (a list of files, or a pattern), with when it was taken and the id of its export."""
    return f"""
        select * exclude (filename), {_TAKEN_AT} as taken_at,
               regexp_extract(filename, '-([0-9]+)\\.parquet$', 1)::bigint as export_id
        from read_parquet({files}, union_by_name = true, filename = true)
    """


def told_sql(files: str, *, sync: str) -> str:
    """Who was told to Mailtrap, by which import, when; `sync` is the expression of its name."""
    return f"""
        select email, {sync} as sync, import_id, told_at
        from read_parquet({files}, union_by_name = true, filename = true) where import_id is not null
    """


def changes_sql(history: str, told: str) -> str:
    """One row for each person and change; the import is the last one that had told Mailtrap about this very person."""
    return f"""
        with seen as (
            select email, lower(trim(email)) as address, status, lists, taken_at,
                   lag(status) over person as former_status, lag(lists) over person as former_lists,
                   lag(taken_at) over person as former_taken_at
            from ({history}) where email is not null
            window person as (partition by lower(trim(email)) order by taken_at, export_id)),
        changes as (
            select * from seen where former_status is distinct from status and former_taken_at is not null),
        imports_of as (select lower(trim(email)) as address, sync, import_id, told_at from ({told}))
        select changes.email, former_status, status, former_lists, lists, former_taken_at, taken_at,
               imports_of.import_id as after_import, imports_of.sync as of_sync, imports_of.told_at
        from changes asof left join imports_of
          on imports_of.address = changes.address and imports_of.told_at <= changes.taken_at
    """


def changes_of(lake: Lake, address: str) -> pa.Table:
    """The changes of one person, oldest first, as far as takings are kept."""
    takings = versions(lake)
    if len(takings) < 2:
        return pa.table({})
    with ExitStack() as stack:
        connection = stack.enter_context(connect(stack.enter_context(lake.scratch())))

        def files(paths: Iterable[str]) -> str:
            return f"[{', '.join(quoted(str(stack.enter_context(lake.local(path)))) for path in paths)}]"

        here = f"lower(trim(email)) = {quoted(address)}"
        by_sync: dict[str, list[str]] = {}
        for path in lake.list():
            if path.split("/")[1:2] == [EVIDENCE]:
                by_sync.setdefault(path.split("/")[0], []).append(path)
        told = " union all ".join(
            f"select * from ({told_sql(files(paths), sync=quoted(sync))}) where {here}"
            for sync, paths in by_sync.items()
        )
        history = f"select * from ({history_sql(files(takings))}) where {here}"
        return connection.sql(
            f"{changes_sql(history, told or NOBODY_TOLD)} order by taken_at"
        ).to_arrow_table()
