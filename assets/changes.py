"""pending_contacts: what Mailtrap has not been told yet.

Belongs here: gathering what a comparison needs (accepted contacts, ledger, who must be withheld, the lists' ids) and
keeping its answer as a file that is never changed again. Not here: what counts as changed (`rules/comparison`), how a
contact is written (`rules/payload`), who is withheld or gone (`withheld`, `gone`), and sending (`imports`).
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from assets import contacts, metadata, shown
from assets.account import ACCOUNT, FORMER, PROMPT, Knowledge, refresh_knowledge
from assets.delivery import evidence, ledger, refusals
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS
from assets.delivery.settling import settle
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run
from assets.pending import OutdatedError, Pending, pending_file
from assets.people.gone import gone_from, told_people, unlist
from assets.people.withheld import existing_people, withheld_from
from assets.preparation import prepare
from assets.rules import comparison, guards
from assets.rules.comparison import TOLD_SCHEMA, Change
from assets.rules.payload import ListIds
from assets.rules.sync import DayPartition, Sync
from assets.steady import steady
from assets.summary import WITHOUT_ADDRESS
from resources.errors import LakeError
from resources.lake import Lake, ParquetSink
from resources.mailtrap.client import MailtrapClient, Meanwhile
from resources.store.store import Store

READ_BY_POSITION = ("accepted_contacts", "no_consent", "source_rows")
"""What a comparison reads more than once, and what must be of one piece."""
COMPARED_AHEAD_AT_MOST = 10_000_000
"""So many contacts are compared in about a second, in which Mailtrap would be waited for."""


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
            ACCOUNT,
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
    search = Search(
        store=store,
        sync=sync,
        partitions=partitions,
        question=Question(client, store, sync),
        lists=prepare(client, store, sync, names=names_in_rows(store.lake, sync, partitions)),
        resend=resend,
        tables=store.lake,
    )
    return steady(
        store.journal,
        lambda: search.find(run_id, requests=lambda: requests + client.usage_counts.requests - before),
        written=lambda: when_written(store.lake, sync, partitions=partitions),
    )


def when_written(lake: Lake, sync: Sync, *, partitions: Sequence[str]) -> dict[str, float]:
    """When the tables that a comparison reads were written, in a form that differs when one is."""
    wanted = {file_of(sync, table, partition) for table in READ_BY_POSITION for partition in partitions}
    ages = (lake.ages(f"{sync.name}/{table}", now=0.0) for table in READ_BY_POSITION)
    return {path: -age for each in ages for path, age in each.items() if path in wanted}


def known_about(
    client: MailtrapClient, store: Store, sync: Sync, *, meanwhile: Meanwhile | None = None
) -> Knowledge:
    """Who is suppressed or unsubscribed, as of now; and, for the modes that ask, whom Mailtrap has."""
    return refresh_knowledge(
        client,
        store.lake,
        store.journal,
        key=store.key,
        now=datetime.now(UTC),
        contacts=asks_for_everyone(sync),
        patience=PROMPT if meanwhile is None else replace(PROMPT, meanwhile=meanwhile),
    )


def asks_for_everyone(sync: Sync) -> bool:
    """Whether it depends on whom Mailtrap has what a sync sends."""
    return sync.mode in ("insert", "update")


@dataclass(slots=True)
class Question:
    """What a search asks Mailtrap, once: a search that is done again goes by the same answer."""

    client: MailtrapClient
    store: Store
    sync: Sync
    answer: Knowledge | None = None

    def ask(self, steps: Iterator[bool]) -> Knowledge:
        """The answer; while Mailtrap makes up its mind, steps of other work are taken."""
        if self.answer is None:
            self.answer = known_about(self.client, self.store, self.sync, meanwhile=taking(steps))
        return self.answer


def taking(steps: Iterator[bool]) -> Meanwhile:
    """What takes further steps for so many seconds, and a little longer where a step takes long."""

    def take(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and next(steps, False):
            pass

    return take


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for what is pending, by what is known now.

    While Mailtrap is asked, contacts are compared and written by what was known before. The answer decides: where others
    are withheld by it they are compared again, and where anybody who was looked at is judged otherwise, all is written anew.
    """

    store: Store
    sync: Sync
    partitions: Sequence[str]
    question: Question
    lists: ListIds
    resend: bool = False
    tables: Lake
    """Where the screened rows are, and the answer: the store's lake, or one of its own for a plan."""
    guarded: bool = True
    """Whether the guards stop it; a plan looks at them itself."""

    def find(self, run_id: str, *, requests: Callable[[], int] = lambda: 0) -> Found:
        """Compare the accepted contacts with the ledger, and keep what is pending."""
        with contextlib.suppress(OutdatedError):
            return self._found(run_id, requests)
        return self._found(run_id, requests)  # by an answer that is there: nothing can be outdated

    def _found(self, run_id: str, requests: Callable[[], int]) -> Found:
        counts = {each: contacts.counts_of(self.tables, self.sync, each) for each in self.partitions}
        if self.guarded:
            contacts.stop_at_guards(contacts.judge(self.sync, contacts.added(counts.values())))
        moment = self._moment()
        path = f"{self.sync.name}/pending_contacts/{run_id}.parquet"
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(
                comparison.connect(stack.enter_context(self.store.lake.scratch()))
            )
            pending = self._pending(stack)
            with pending_file(self.tables, path) as sink:
                tables = stack.enter_context(contextlib.closing(pending.tables(connection)))
                accepted = sum(each.get("accepted", 0) for each in counts.values())
                is_worth_it = accepted <= COMPARED_AHEAD_AT_MOST and not asks_for_everyone(self.sync)
                ahead = self._ahead(pending, tables, sink) if is_worth_it else iter(())
                knowledge = self.question.ask(ahead)
                changes = self._compare(stack, pending, knowledge)
                by_partition = {name: counted(counts[name], each) for name, each in changes.items()}
                for table in tables:
                    sink.write(table)
                gone = self._gone(connection, pending, sink)
                facts = {**moment, **self._facts(by_partition), "gone": dict(gone), "requests": requests()}
                sink.note("facts", json.dumps(facts, sort_keys=True))
                rows = sink.rows
            if isinstance(self.sync.source.partition, DayPartition) and self.tables is self.store.lake:
                _advance_dates(self.store, self.sync, pending, connection=connection)
        return Found(path, rows, by_partition, dict(gone))

    def _ahead(self, pending: Pending, tables: Iterator[pa.Table], sink: ParquetSink) -> Iterator[bool]:
        """The same work by what was known before, step by step; nothing where that cannot be read."""
        with contextlib.ExitStack() as stack:
            try:
                self._compare(stack, pending, FORMER)
            except (duckdb.Error, LakeError):
                return
        yield True
        for table in tables:
            sink.write(table)
            yield True

    def _compare(
        self, stack: contextlib.ExitStack, pending: Pending, knowledge: Knowledge
    ) -> dict[str, Counter[str]]:
        """In a DuckDB of its own, whose memory is free for what follows when it is closed."""
        store, sync = self.store, self.sync
        withheld = withheld_from(
            stack, store, sync, knowledge=knowledge, partitions=self.partitions, tables=self.tables
        )
        existing = existing_people(stack, store.lake, knowledge=knowledge)
        with store.lake.scratch() as folder, comparison.connect(folder) as connection:
            return pending.compare(connection, withheld=withheld, existing=existing)

    def _moment(self) -> dict[str, Any]:
        """What the comparison stands on; when it moves on before sending, the answer is looked through again."""
        bucket = ledger.bucket_of(self.sync, self.partitions)
        return {
            "bucket": bucket,
            "ledger": ledger.version(self.store.journal, self.sync.name, bucket=bucket),
            "erasures": list(self.store.journal.erasures()),
        }

    def _pending(self, stack: contextlib.ExitStack) -> Pending:
        store, sync = self.store, self.sync
        bucket = ledger.bucket_of(sync, self.partitions)
        accepted = {each: file_of(sync, "accepted_contacts", each) for each in self.partitions}
        return Pending(
            self.tables,
            sync,
            self.lists,
            accepted,
            stack.enter_context(self.tables.all_local(list(accepted.values()))),
            stack.enter_context(ledger.told(store.journal, store.lake, sync.name, bucket=bucket)),
            refused=refusals.standing(stack, store.lake, sync.name, version=sync.version),
            resend=self.resend,
        )

    def _gone(
        self, connection: duckdb.DuckDBPyConnection, pending: Pending, sink: ParquetSink
    ) -> Counter[str]:
        """People who left the source of a mirror: counted, guarded, and un-listed where the sync says so."""
        counts: Counter[str] = Counter()
        if self.sync.mode != "mirror" or self.sync.when_gone == "keep":
            return counts
        for partition in self.partitions:
            leavers = gone_from(
                connection, self.tables, self.sync, partition=partition,
                told=pending.told, withheld=pending.withheld, key=self.store.key,
            )  # fmt: skip
            gone = sum(batch.num_rows for batch in leavers)
            if self.guarded:
                held = told_people(connection, pending.told, partition)
                contacts.stop_at_guards([guards.too_many_gone(self.sync, gone=gone, told=held)])
            if self.sync.when_gone == "unlist":
                unlisted = self._unlisted(connection, leavers, sink)
                counts.update(unlisted)
                counts.update({WITHOUT_ADDRESS: gone - unlisted.total()} if gone > unlisted.total() else {})
            else:
                counts[partition] += gone
        return counts

    def _unlisted(
        self, connection: duckdb.DuckDBPyConnection, leavers: Sequence[pa.RecordBatch], sink: ParquetSink
    ) -> Counter[str]:
        lake = self.store.lake
        with contextlib.ExitStack() as stack:
            known = [stack.enter_context(lake.local(p)) for p in lake.list(evidence.folder(self.sync.name))]
            return unlist(connection, sink, gone=leavers, addresses=known, lists=self.lists)

    def _facts(self, by_partition: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        refused = sum(each["refused"] for each in by_partition.values())
        reasons = reasons_of(self.tables, self.sync, self.partitions) | refusals.counted(refused)
        return {
            "by_partition": by_partition,
            "rejected_by_reason": reasons,
            "resend": self.resend,
            "sync_version": self.sync.version,
            "partitions": list(self.partitions),
            "made_at": datetime.now(UTC).isoformat(),
        }


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
