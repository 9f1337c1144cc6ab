"""Who leaves: people whom Mailtrap was told about and who now say no, or whose yes is no longer one.

Belongs here: the three ways of leaving, and what each of them asks of Mailtrap. Not here: people who left the source of
a mirror (`comparison.gone`), and doing it (`assets/departures.py`).

    withdrawn   the source says no for them: a plain no, or a withdrawal          unsubscribe, one way
    lapsed      the yes is missing, expired or cannot be read: nobody said no     leave the lists of this sync
    gone        a mirror's source has them no more                                as `when_gone` says
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from assets.rules.comparison import Told, quoted, told_sql
from assets.rules.consent import No
from assets.rules.guards import Verdict
from assets.rules.sync import Sync

Why = Literal["withdrawn", "lapsed", "gone", "requested"]
Act = Literal["unsubscribe", "unlist", "delete"]
EXPLICIT = (No.consent_refused, No.consent_withdrawn)
"""A person said so. The other kinds of no mean that nobody can show a yes."""
UNQUESTIONED = 100
"""So many people may say no in one run whatever the share: a small audience must not keep anybody in."""
LEAVERS = pa.schema(
    [
        ("address_hash", pa.uuid()),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("list_ids", pa.list_(pa.int64())),
        ("partition", pa.string()),
        ("why", pa.string()),
    ]
)


def said_no(
    connection: duckdb.DuckDBPyConnection,
    *,
    told: Told,
    no_consent: Sequence[Path],
    accepted: Sequence[Path],
    dated: bool,
) -> Iterator[pa.RecordBatch]:
    """The people of a ledger who are among those without consent.

    Where a sync is cut by days (`dated`), rows of one person lie in several of them and the newest counts: a no that is
    older than what Mailtrap was told, or than a yes in the same run, is a no of the past.
    """
    if not no_consent:
        return
    explicit = ", ".join(quoted(no.name) for no in EXPLICIT)
    newest = "true"
    if dated:
        newest = f"""(noes.as_of is null or (coalesce(noes.as_of >= told.as_of, true) and not exists (
            select 1 from ({_yeses(accepted)}) yes
            where yes.address_hash = told.address_hash and yes.as_of > noes.as_of)))"""
    query = f"""
        with told as ({told_sql(told)}),
             noes as (select address_hash, bool_or(reason in ({explicit})) as explicit,
                             case when bool_or(as_of is null) then null else max(as_of) end as as_of
                      from read_parquet([{_files(no_consent)}]) where address_hash is not null group by address_hash)
        select told.address_hash, told.as_of, told.list_ids, told.partition,
               case when noes.explicit then 'withdrawn' else 'lapsed' end as why
        from told join noes using (address_hash)
        where told.fingerprint is not null and {newest} order by told.address_hash
    """
    yield from connection.sql(query).to_arrow_reader(100_000)


def act_of(sync: Sync, why: Why) -> Act:
    """What becomes of people who leave."""
    if why == "requested" and sync.unsubscribes is not None:
        return sync.unsubscribes.action
    if why == "gone":
        return "delete" if sync.when_gone == "delete" else "unsubscribe"
    return "unsubscribe" if why == "withdrawn" else "unlist"


def too_many_leave(sync: Sync, *, leaving: int, told: int) -> Verdict:
    """`max_gone`, for people who say no: a column that was filled wrongly must not unsubscribe an audience for good."""
    return Verdict(
        "max_gone",
        leaving > UNQUESTIONED and sync.guards.max_gone.exceeded(leaving, told),
        f"{leaving} of {told} people whom {sync.name} told Mailtrap about say no or have no valid consent now; "
        f"the guard max_gone allows {sync.guards.max_gone}.",
        "Check the consent columns. If it is true, raise guards.max_gone in the sync file and run again: "
        "who is unsubscribed stays so.",
    )


def _yeses(accepted: Sequence[Path]) -> str:
    if not accepted:
        return "select null::uuid as address_hash, null::timestamptz as as_of where false"
    return f"select _address_hash as address_hash, _as_of as as_of from read_parquet([{_files(accepted)}], union_by_name=true)"


def _files(paths: Sequence[Path]) -> str:
    return ", ".join(quoted(str(path)) for path in paths)
