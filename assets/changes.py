"""pending_contacts: what Mailtrap has not been told yet.

Belongs here: gathering what a comparison needs (accepted contacts, ledger, who must be withheld, the lists' ids) and
keeping its answer as a file that is never changed again. Not here: what counts as changed (`rules/comparison`), how a
contact is written (`rules/payload`), and sending (`imports`).
"""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets import contacts, evidence, ledger, metadata, refusals, shown, summary
from assets.account import OPT_OUTS_BY_US, OPT_OUTS_REQUESTED, Knowledge, refresh_knowledge
from assets.delivery import WAIT_FOR_ACCOUNT_SECONDS, Delivering, Pace, Timing
from assets.failures import told_to_dagster
from assets.overdue import Overdue, overdue_in, still_at_work
from assets.partitions import WHOLE, backfill_policy_of, file_of, partitions_of, partitions_of_run
from assets.pending import PENDING_SCHEMA, REPEATED, ROWS_PER_GROUP, Pending, leavers_not_in, write_gone
from assets.preparation import prepare
from assets.rules import comparison, guards
from assets.rules.comparison import TOLD_SCHEMA, Change, Told, Withheld
from assets.rules.payload import ListIds
from assets.rules.sync import DayPartition, Sync
from assets.steady import steady
from assets.summary import WITHOUT_ADDRESS
from resources.journal import IN_FLIGHT, Lease
from resources.lake import Lake, ParquetSink
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

COMPRESSION = "lz4"
READ_BY_POSITION = ("accepted_contacts", "no_consent", "source_rows")
"""What a comparison reads more than once, and what must be of one piece."""


class SyncConfig(dg.Config):
    """What a run of a sync can be told in the launchpad."""

    full_resync: bool = False
    """Send every accepted contact again, also those that Mailtrap was told already."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of one comparison: where the pending contacts are, and the counts of everybody."""

    path: str
    rows: int
    by_partition: Mapping[str, Mapping[str, int]]
    gone: Mapping[str, int]


def pending_contacts(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""

    @dg.asset(
        name="pending_contacts",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"duckdb", "parquet"},
        tags=metadata.tags_of(sync, personal_data="addresses"),
        deps=[
            dg.AssetKey([sync.name, "accepted_contacts"]),
            dg.AssetKey([sync.name, "departures"]),
            *(
                dg.AssetKey(["mailtrap", name])
                for name in ("fields", "lists", "suppressions", "unsubscribed")
            ),
        ],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        description="New and changed contacts against the ledger; unsubscribed, suppressed and erased ones withheld.",
    )
    @told_to_dagster
    def _pending_contacts(
        context: dg.AssetExecutionContext,
        config: SyncConfig,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> dg.MaterializeResult[None]:
        before = mailtrap.usage_counts.requests
        settle(mailtrap, store)
        found = look_for_pending(
            mailtrap,
            store,
            sync,
            partitions=partitions_of_run(context),
            run_id=context.run.run_id,
            resend=config.full_resync,
            requests=mailtrap.usage_counts.requests - before,
        )
        file = shown.of_pending_file(store.lake, found.path, gone=sum(found.gone.values()))
        rows = {name: metadata.of_rows(each) for name, each in found.by_partition.items()}
        return metadata.of_partitions(context, rows, of_run=file)

    return _pending_contacts


def look_for_pending(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    run_id: str,
    resend: bool = False,
    requests: int = 0,
) -> Found:
    """What is pending by what is known now; done again when the tables were rewritten meanwhile.

    `requests` are those that the run made before, for its summary.
    """
    before = client.usage_counts.requests
    knowledge = known_about(client, store, sync)
    lists = prepare(client, sync, names=names_in_rows(store.lake, sync, partitions))
    return steady(
        store.journal,
        lambda: find_pending(
            store,
            sync,
            partitions=partitions,
            run_id=run_id,
            knowledge=knowledge,
            lists=lists,
            resend=resend,
            requests=requests + client.usage_counts.requests - before,
        ),
        written=lambda: when_written(store.lake, sync, partitions=partitions),
    )


def when_written(lake: Lake, sync: Sync, *, partitions: Sequence[str]) -> dict[str, float]:
    """When the tables that a comparison reads were written, in a form that differs when one is."""
    wanted = {file_of(sync, table, partition) for table in READ_BY_POSITION for partition in partitions}
    ages = (lake.ages(f"{sync.name}/{table}", now=0.0) for table in READ_BY_POSITION)
    return {path: -age for each in ages for path, age in each.items() if path in wanted}


def settle(client: MailtrapClient, store: Store, *, timing: Timing | None = None) -> None:
    """Finish what earlier runs left in flight, before anything new is planned; what is overdue waits."""
    account = str(client.account_id)
    if not store.journal.open_deliveries(account):
        return
    with store.journal.lease(f"account:{account}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        settle_under(client, store, lease, timing=timing)


def settle_wholly(client: MailtrapClient, store: Store, lease: Lease) -> None:
    """The same, for work that no import may outlast: one that ends later would bring back who was deleted."""
    overdue = settle_under(client, store, lease)
    if overdue:
        raise still_at_work(len(overdue))


def settle_under(
    client: MailtrapClient, store: Store, lease: Lease, *, timing: Timing | None = None
) -> list[Overdue]:
    """The same, for a run that holds the account already; runs that were killed get their summaries.

    Gives the imports that should have ended long ago: the people in them must not be written to.
    """
    loop = Delivering(client, store.journal, store.lake, lease=lease, pace=pace_of(store), timing=timing)
    left, overdue = 0, list[Overdue]()
    for delivery, told in loop.settle_former(str(client.account_id)):
        waiting = len(store.journal.payloads(delivery, states=IN_FLIGHT))
        late = overdue_in(store.journal, delivery, deadline_seconds=store.job_deadline_seconds)
        left += waiting - len(late)
        overdue += late
        if waiting == len(late):
            summary.keep_of_killed(store.lake, delivery, told)
        for problem in told.problems:
            if problem.outcome == "config":
                raise problem
    if left:
        raise still_at_work(left)
    return overdue


def known_about(client: MailtrapClient, store: Store, sync: Sync) -> Knowledge:
    """Who is suppressed or unsubscribed, as of now; and, for the modes that ask, whom Mailtrap has."""
    asks = sync.mode in ("insert", "update")
    return refresh_knowledge(
        client, store.lake, store.journal, key=store.key, now=datetime.now(UTC), contacts=asks
    )


def pace_of(store: Store) -> Pace:
    """How fast the store's settings let a run go."""
    return Pace(
        rows_per_payload=store.rows_per_payload,
        bytes_per_payload=store.bytes_per_payload,
        poll_seconds=store.poll_seconds,
        deadline_seconds=store.job_deadline_seconds,
    )


def find_pending(
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    run_id: str,
    knowledge: Knowledge,
    lists: ListIds,
    resend: bool = False,
    tables: Lake | None = None,
    guarded: bool = True,
    requests: int = 0,
) -> Found:
    """Compare the accepted contacts of some partitions with the ledger and keep what is pending.

    A plan has its tables in a lake of its own, and looks at the guards itself.
    """
    tables = tables or store.lake
    path = f"{sync.name}/pending_contacts/{run_id}.parquet"
    counts = {partition: contacts.counts_of(tables, sync, partition) for partition in partitions}
    if guarded:
        contacts.stop_at_guards(contacts.judge(sync, contacts.added(counts.values())))
    bucket = ledger.bucket_of(sync, partitions)
    version = ledger.version(store.journal, sync.name, bucket=bucket)
    erasures = list(store.journal.erasures())
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name, bucket=bucket))
        withheld = withheld_from(
            stack, store, sync, knowledge=knowledge, partitions=partitions, tables=tables
        )
        pending = Pending(
            tables,
            sync,
            lists,
            {partition: file_of(sync, "accepted_contacts", partition) for partition in partitions},
            told,
            withheld,
            existing=existing_people(stack, store.lake, sync, knowledge=knowledge),
            refused=refusals.standing(stack, store.lake, sync.name, version=sync.version),
            resend=resend,
        )
        changes = pending.compare(connection)
        with tables.writer(
            path, PENDING_SCHEMA, compression=COMPRESSION, rows_per_group=ROWS_PER_GROUP, dictionary=REPEATED
        ) as sink:
            pending.write(connection, sink)
            gone = _gone(
                stack,
                connection,
                store,
                sync,
                partitions=partitions,
                told=told,
                withheld=withheld,
                lists=lists,
                sink=sink,
                tables=tables,
                guarded=guarded,
            )
            by_partition = {name: counted(counts[name], found) for name, found in changes.items()}
            refused = sum(each["refused"] for each in by_partition.values())
            facts = {
                "requests": requests,
                "by_partition": by_partition,
                "gone": dict(gone),
                "rejected_by_reason": reasons_of(tables, sync, partitions) | refusals.counted(refused),
                "resend": resend,
                "sync_version": sync.version,
                "partitions": list(partitions),
                "bucket": bucket,
                "ledger": version,
                "erasures": erasures,
                "made_at": datetime.now(UTC).isoformat(),
            }
            sink.note("facts", json.dumps(facts, sort_keys=True))
            rows = sink.rows
        if isinstance(sync.source.partition, DayPartition) and tables is store.lake:
            _advance_dates(store, sync, pending, connection=connection)
    return Found(path, rows, by_partition, dict(gone))


def reasons_of(lake: Lake, sync: Sync, partitions: Sequence[str]) -> dict[str, int]:
    """How often screening gave each reason for a rejection."""
    found: Counter[str] = Counter()
    for partition in partitions:
        found.update(contacts.facts_of(lake, sync, partition).get("rejected_by_reason", {}))
    return dict(found)


def names_in_rows(lake: Lake, sync: Sync, partitions: Sequence[str]) -> tuple[str, ...]:
    """The list names that accepted contacts mention, where the sync takes them from a column."""
    if not sync.lists.from_column:
        return ()
    names: set[str] = set()
    for partition in partitions:
        for batch in lake.read(file_of(sync, "accepted_contacts", partition), ["_lists"]):
            names.update(each for each in pc.unique(pc.list_flatten(batch["_lists"])).to_pylist() if each)
    return tuple(sorted(names))


def counted(screened: Mapping[str, int], changes: Mapping[str, int]) -> dict[str, int]:
    """The rows of a partition by outcome, as they stand before anything is sent: what is pending is still pending."""
    rows = dict.fromkeys(("read", *guards.OUTCOMES), 0)
    known = ("read", "rejected", "no_consent", "duplicate", "erased")
    rows.update({name: screened.get(name, 0) for name in known})
    for name, count in changes.items():
        change = Change[name]
        if change.is_pending:
            rows["pending"] += count
        elif change is Change.newer_unchanged:
            rows["unchanged"] += count
        elif change is Change.refused:
            rows["rejected"] += count
        else:
            rows[name] += count
    return {**rows, **{name: changes.get(name, 0) for name in ("new", "changed", "refused")}}


def withheld_from(
    stack: contextlib.ExitStack,
    store: Store,
    sync: Sync,
    *,
    knowledge: Knowledge,
    partitions: Sequence[str],
    tables: Lake,
) -> Withheld:
    """Who must not be written to, as local files."""

    def local(paths: Sequence[str | None], lake: Lake = store.lake) -> tuple[Path, ...]:
        return tuple(stack.enter_context(lake.local(path)) for path in paths if path and lake.exists(path))

    days: tuple[Path, ...] = ()
    if isinstance(sync.source.partition, DayPartition):
        here = {file_of(sync, "no_consent", partition) for partition in partitions}
        days = local([path for path in store.lake.list(f"{sync.name}/no_consent") if path not in here])
        # A day settles its own conflicts; days that are compared together settle theirs here.
        days += local(sorted(here), tables) if len(here) > 1 else ()
    return Withheld(
        erased=tombstones_as_file(stack, store),
        suppressed=local([knowledge.suppressions]),
        unsubscribed=local(
            [
                knowledge.unsubscribed,
                *(
                    each
                    for folder in (OPT_OUTS_BY_US, OPT_OUTS_REQUESTED)
                    for each in store.lake.list(folder)
                ),
            ]
        ),
        no_consent=days,
    )


def existing_people(
    stack: contextlib.ExitStack, lake: Lake, sync: Sync, *, knowledge: Knowledge
) -> Path | None:
    """The people Mailtrap has, where the mode asks for it."""
    if sync.mode not in ("insert", "update") or knowledge.contacts is None:
        return None
    return stack.enter_context(lake.local(knowledge.contacts))


def tombstones_as_file(stack: contextlib.ExitStack, store: Store) -> tuple[Path, ...]:
    """The erased people, for DuckDB."""
    hashes = sorted(store.journal.tombstones())
    if not hashes:
        return ()
    path = stack.enter_context(store.lake.scratch()) / "erased.parquet"
    table = pa.table({"address_hash": pa.array(hashes, pa.binary(16)).cast(pa.uuid())})
    pq.write_table(table, path)
    return (path,)


def _gone(
    stack: contextlib.ExitStack,
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    told: Told,
    withheld: Withheld,
    lists: ListIds,
    sink: ParquetSink,
    tables: Lake,
    guarded: bool,
) -> Counter[str]:
    """People who left the source of a mirror: counted, guarded, and un-listed where the sync says so."""
    if sync.mode != "mirror" or sync.when_gone == "keep":
        return Counter()
    counts: Counter[str] = Counter()
    for partition in partitions:
        present = [
            stack.enter_context(tables.local(file_of(sync, table, partition)))
            for table in ("accepted_contacts", "no_consent")
        ]
        scope = None if partition == WHOLE else partition
        leavers = list(
            comparison.gone(connection, present=present, told=told, partition=scope, withheld=withheld)
        )
        if leavers and tables.rows(file_of(sync, "rejections", partition)):
            leavers = leavers_not_in(
                tables, file_of(sync, "source_rows", partition), sync, leavers=leavers, key=store.key
            )
        gone = sum(batch.num_rows for batch in leavers)
        if guarded:
            held = told_people(connection, told, scope)
            contacts.stop_at_guards([guards.too_many_gone(sync, gone=gone, told=held)])
        if sync.when_gone == "unlist":
            known = [
                stack.enter_context(store.lake.local(p)) for p in store.lake.list(evidence.folder(sync.name))
            ]
            unlisted = write_gone(connection, sink, gone=iter(leavers), addresses=known, lists=lists)
            counts.update(unlisted)
            if nameless := gone - sum(unlisted.values()):
                counts[WITHOUT_ADDRESS] += nameless
        else:
            counts[partition] += gone
    return counts


def told_people(connection: duckdb.DuckDBPyConnection, told: Told, partition: str | None) -> int:
    """How many people of a partition Mailtrap holds for this sync, as far as we told it."""
    where = "" if partition is None else f"and partition = {comparison.quoted(partition)}"
    found = connection.sql(
        f"select count(*) from ({comparison.told_sql(told)}) where fingerprint is not null {where}"
    ).fetchall()
    return int(found[0][0])


def _advance_dates(
    store: Store, sync: Sync, pending: Pending, *, connection: duckdb.DuckDBPyConnection
) -> None:
    """Values said again on a later day: older rows are stale from now on, without sending anything.

    Judged against the ledger as it is at that moment: another run may have told Mailtrap something newer meanwhile.
    """
    tables = [_seen_again(rows, partition) for partition, rows in pending.newer_unchanged()]
    if not tables:
        return
    seen = pa.concat_tables(tables)
    with store.journal.lease(f"ledger:{sync.name}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        is_noted = False
        while not is_noted:
            version = ledger.version(store.journal, sync.name)
            with ledger.told(store.journal, store.lake, sync.name) as told:
                rows = comparison.still_newer(connection, seen, told=told)
            path = ledger.write_part(store.lake, sync.name, rows)
            is_noted = not rows.num_rows or store.journal.add_ledger_part(
                sync.name, path=path, rows=rows.num_rows, lease=lease, only_at=version
            )


def _seen_again(rows: pa.Table, partition: str) -> pa.Table:
    count = rows.num_rows
    return pa.table(
        {
            "address_hash": rows["_address_hash"],
            "fingerprint": rows["_fingerprint"],
            "as_of": rows["_as_of"],
            "import_id": pa.nulls(count, pa.int64()),
            "list_ids": rows["list_ids"],
            "partition": pa.repeat(partition, count),
        }
    ).cast(TOLD_SCHEMA)
