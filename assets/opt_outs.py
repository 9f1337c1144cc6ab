"""mailtrap/opt_outs: who unsubscribed or was suppressed at Mailtrap, and since when, for the source of truth to learn.

One row per person and reason, with a history: who is on no list any more stays, as no longer active. Belongs here:
keeping that table. Not here: fetching what Mailtrap says (`account`). The table is Parquet at a fixed path, for whatever loads the warehouse;
with CONTACTS_WRITE_BACK it is also told to a table there, one row a person (`resources/warehouses/write_back.py`).
"""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa

from assets import metadata
from assets.account import SUPPRESSIONS, UNSUBSCRIBED
from assets.failures import told_to_dagster
from assets.freshness import freshness_of_takings
from assets.rules import comparison, hash_text
from assets.steady import steady
from resources.lake import Lake
from resources.store.store import Store
from resources.warehouses.write_back import WriteBack

OPT_OUTS = "mailtrap/opt_outs/latest.parquet"
SCHEMA = pa.schema(
    [
        ("address_hash", hash_text.TEXT),
        ("email", pa.string()),
        ("reason", pa.string()),  # unsubscribed, or the type of a suppression
        ("since", pa.timestamp("us", tz="UTC")),  # as Mailtrap says; null where it does not
        ("first_seen", pa.timestamp("us", tz="UTC")),
        ("last_seen", pa.timestamp("us", tz="UTC")),
        ("active", pa.bool_()),
    ]
)


def opt_outs(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The table for whoever keeps the source of truth."""

    @dg.asset(
        name="opt_outs",
        key_prefix="mailtrap",
        group_name="mailtrap",
        freshness_policy=freshness_of_takings(),
        owners=list(owners) or None,
        kinds={"duckdb", "parquet"},
        deps=[dg.AssetKey(["mailtrap", name]) for name in ("unsubscribed", "suppressions")],
        description="Who unsubscribed or was suppressed at Mailtrap, since when, and whether it still holds: for the "
        "warehouse to learn of it. A fixed path, replaced whole.",
    )
    @told_to_dagster
    def _opt_outs(
        store: dg.ResourceParam[Store], write_back: dg.ResourceParam[WriteBack]
    ) -> dg.MaterializeResult[None]:
        rows = steady(store.journal, lambda: keep(store.lake, now=datetime.now(UTC)))
        changed = steady(store.journal, lambda: write_back.tell(by_person(store.lake)))
        reasons = counted(store.lake)
        bars = metadata.bars(sorted(reasons.items()), whole=sum(reasons.values()))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "dagster/column_schema": dg.MetadataValue.table_schema(metadata.columns(SCHEMA)),
                "path": OPT_OUTS,
                "who_opted_out_and_why": dg.MetadataValue.md(
                    f"```text\n{bars}\n```" if reasons else "Nobody."
                ),
                "people_active": sum(reasons.values()),
                **(
                    {}
                    if changed is None
                    else {"rows_written_back": changed, "written_back_to": write_back.table}
                ),
            }
        )

    return _opt_outs


def keep(lake: Lake, *, now: datetime) -> int:
    """Bring what Mailtrap says now together with what was seen before; gives the number of rows."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(lake.scratch())))

        def read(path: str, columns: str, otherwise: str) -> str:
            if not lake.exists(path):
                return f"select {otherwise} where false"
            local = stack.enter_context(lake.local(path))
            return f"select {columns} from read_parquet({comparison.quoted(str(local))})"

        nobody = "null::varchar as address_hash, null::varchar as email"
        told = "null::varchar as reason, null::timestamptz as since"
        people = read(
            UNSUBSCRIBED,
            "address_hash::varchar as address_hash, email, 'unsubscribed' as reason, null::timestamptz as since",
            f"{nobody}, {told}",
        )
        listed = read(
            SUPPRESSIONS,
            "address_hash::varchar as address_hash, email, coalesce(type, 'suppressed') as reason, created_at as since",
            f"{nobody}, {told}",
        )
        seen = "null::timestamptz as first_seen, null::timestamptz as last_seen, null::boolean as active"
        former = read(
            OPT_OUTS, "* replace (address_hash::varchar as address_hash)", f"{nobody}, {told}, {seen}"
        )
        moment = comparison.as_utc(now)
        query = f"""
            with now as (
                select address_hash, reason, any_value(email) as email, min(since) as since
                from ({people} union all {listed}) where address_hash is not null group by address_hash, reason)
            select coalesce(now.address_hash, former.address_hash) as address_hash,
                   coalesce(now.email, former.email) as email, coalesce(now.reason, former.reason) as reason,
                   coalesce(now.since, former.since) as since, coalesce(former.first_seen, {moment}) as first_seen,
                   case when now.address_hash is not null then {moment} else former.last_seen end as last_seen,
                   now.address_hash is not null as active
            from now full join ({former}) former
              on now.address_hash = former.address_hash and now.reason = former.reason
            order by first_seen, address_hash, reason
        """
        with lake.writer(OPT_OUTS, SCHEMA) as sink:
            for batch in connection.sql(query).to_arrow_reader(100_000):
                sink.write(pa.Table.from_batches([batch]).cast(SCHEMA))
            return sink.rows


def by_person(lake: Lake) -> pa.Table:
    """The same, one row a person: why by all reasons that hold, or that held when none does any more."""
    query = """
        select email,
               coalesce(string_agg(reason, ', ' order by reason) filter (where active),
                        string_agg(reason, ', ' order by reason)) as reasons,
               min(since) as since, min(first_seen) as first_seen, max(last_seen) as last_seen, bool_or(active) as active
        from {opt_outs} where email is not null group by email order by email
    """
    return _asked(lake, query)


def counted(lake: Lake) -> dict[str, int]:
    """How many people have opted out, by reason."""
    found = _asked(lake, "select reason, count(*) as people from {opt_outs} where active group by reason")
    return dict(zip(found["reason"].to_pylist(), found["people"].to_pylist(), strict=True))


def _asked(lake: Lake, query: str) -> pa.Table:
    with (
        lake.local(OPT_OUTS) as path,
        lake.scratch() as scratch,
        comparison.connect(scratch) as connection,
    ):
        return connection.sql(
            query.format(opt_outs=f"read_parquet({comparison.quoted(str(path))})")
        ).to_arrow_table()
