"""accepted_events, rejections and contact_events: rows of a sync of events, each sent once, at most.

Mailtrap knows no key for an event: twice is two. So the intent is written to the journal before the request, and an
event whose answer was lost is reported and never repeated. Belongs here: screening, leaving out what was sent and who
must not be written to, sending. Not here: what a good event is (`rules/events`).
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from assets import contacts, metadata, retention, shown
from assets.account import Knowledge
from assets.changes import known_about
from assets.checks import accounted, accounted_spec
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run
from assets.people.withheld import withheld_from
from assets.rules import comparison
from assets.rules.events import Screened, events_schema, screen_events
from assets.rules.judgement import NO_CONSENT
from assets.rules.rejection import REJECTIONS
from assets.rules.sync import Sync
from assets.steady import steady
from assets.summary import write
from resources.errors import ConnectorError
from resources.journal import Lease
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import EventAccepted, EventRefused
from resources.store.store import Store

NO_CONTACT_AGAIN_SECONDS = 86_400.0
"""An event of somebody whom Mailtrap does not have is tried again after a day: the contact may come later."""
_STATES = pa.schema([("event_hash", pa.uuid()), ("state", pa.string())])


@dataclass(slots=True)
class Sent:
    """What a run achieved, in numbers."""

    rows: Counter[str] = field(default_factory=Counter)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    ambiguous: int = 0
    seconds: float = 0.0
    problem: ConnectorError | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)


def screened_events(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The two tables of one sync, made in one step."""
    accepted, rejections = (dg.AssetKey([sync.name, name]) for name in ("accepted_events", "rejections"))

    @dg.multi_asset(
        name=f"{sync.name}__screening",
        group_name=sync.name,
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        specs=contacts.screened_specs(
            sync,
            owners=owners,
            accepted=accepted,
            words="Rows with consent, an address, a key and fitting parameters: one event per key.",
        ),
    )
    @told_to_dagster
    def _screened(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> Iterator[Any]:
        now = datetime.now(UTC)
        found = {
            partition: steady(
                store.journal,
                lambda partition=partition: screen(store, sync, partition, now=now),  # type: ignore[misc]
            )
            for partition in partitions_of_run(context)
        }
        contacts.stop_at_guards(contacts.judge(sync, contacts.added(each.rows for each in found.values())))
        yield metadata.of_partitions(context, {name: each.rows for name, each in found.items()}, key=accepted)
        reasons = {name: each.rejected_by_reason for name, each in found.items()}
        yield metadata.of_partitions(context, reasons, key=rejections)

    return _screened


def contact_events(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync that sends."""
    key = dg.AssetKey([sync.name, "contact_events"])

    @dg.asset(
        name="contact_events",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"mailtrap"},
        deps=[dg.AssetKey([sync.name, "accepted_events"])],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        pool="mailtrap",
        tags=metadata.tags_of(sync, personal_data="none"),
        check_specs=[
            accounted_spec(key),
            dg.AssetCheckSpec(
                "no_answer_was_lost",
                asset=key,
                description="Mailtrap has said of every event whether it was recorded. Warns.",
            ),
        ],
        description="Events sent to Mailtrap, each once, at most; one whose answer was lost is not repeated.",
    )
    @told_to_dagster
    def _contact_events(
        context: dg.AssetExecutionContext,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> Iterator[Any]:
        sent = send(mailtrap, store, sync, partitions=partitions_of_run(context), run_id=context.run_id)
        shown.in_list_of_runs(context, sent.rows)
        yield dg.MaterializeResult(asset_key=key, metadata=shown.of_people(sent.summary))
        yield accounted(key, sent.rows)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="no_answer_was_lost",
            passed=sent.ambiguous == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"ambiguous": sent.ambiguous},
            description="Whether Mailtrap has these events nobody knows; they are not sent again.",
        )
        if sent.problem is not None:
            raise sent.problem
        retention.after_a_run(store, sync, partitions=partitions_of_run(context), now=time.time())

    return _contact_events


def screen(
    store: Store, sync: Sync, partition: str, *, now: datetime, tables: Lake | None = None
) -> Screened:
    """Screen the source rows of a partition, whole or not at all."""
    lake = tables or store.lake
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(lake.local(file_of(sync, "source_rows", partition)))

        def sink(table: str, schema: pa.Schema) -> Any:
            return stack.enter_context(lake.writer(file_of(sync, table, partition), schema))

        accepted = sink("accepted_events", events_schema(sync))
        found = screen_events(
            source,
            sync,
            now=now,
            key=store.key,
            accepted=accepted,
            rejections=sink("rejections", REJECTIONS),
            no_consent=sink("no_consent", NO_CONSENT),
        )
        left_out = int(lake.metadata(file_of(sync, "source_rows", partition)).get("erased", "0"))
        found.rows.update(read=left_out, erased=left_out)
        facts = {**found.rows, "rejected_by_reason": dict(found.rejected_by_reason)}
        accepted.note("facts", json.dumps(facts))
    return found


def send(client: MailtrapClient, store: Store, sync: Sync, *, partitions: Sequence[str], run_id: str) -> Sent:
    """Send what was never begun; the account is held, so that no two runs begin the same event."""
    began, before, sent = time.time(), client.usage_counts, Sent()
    knowledge = known_about(client, store, sync)
    with store.journal.lease(f"account:{client.account_id}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        sent.ambiguous += store.journal.give_up_events(sync.name, lease=lease)
        for partition in partitions:
            facts = json.loads(store.lake.metadata(file_of(sync, "accepted_events", partition))["facts"])
            names = ("read", "rejected", "no_consent", "duplicate", "erased")
            sent.rows.update({name: facts.get(name, 0) for name in names})
            sent.rejected_by_reason.update(facts["rejected_by_reason"])
            _send_partition(client, store, sync, partition, knowledge, sent, lease=lease)
    after = client.usage_counts
    sent.requests, sent.retries = after.requests - before.requests, after.retries - before.retries
    sent.seconds = time.time() - began
    keep_summary(store.lake, sync, partitions=partitions, run_id=run_id, sent=sent, began=began)
    return sent


def _send_partition(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    partition: str,
    knowledge: Knowledge,
    sent: Sent,
    *,
    lease: Lease,
) -> None:
    tags = [rule.merge_tag for rule in sync.events.params] if sync.events else []
    for batch in pending(store, sync, partition, knowledge=knowledge):
        for row in batch.to_pylist():
            if row["fate"] != "pending":
                sent.rows[row["fate"]] += 1
            elif sent.problem is not None:
                sent.rows["pending"] += 1
            else:
                params = {tag: _plain(row[tag]) for tag in tags if row[tag] is not None}
                _send_one(client, store, sync, row, params, sent, lease=lease)


def _send_one(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    row: Mapping[str, Any],
    params: Mapping[str, Any],
    sent: Sent,
    *,
    lease: Lease,
) -> None:
    """Intent, request, outcome; an outcome that nobody knows stays begun, and is not begun again."""
    event = row["_event_hash"].bytes
    store.journal.begin_event(sync.name, event, lease=lease)
    try:
        outcome = client.create_event(row["email"], row["_event_name"], params=params)
    except ConnectorError as error:  # certainly not recorded
        store.journal.settle_event(sync.name, event, state=None)
        sent.rows["pending"] += 1
        sent.problem = error
        return
    match outcome:
        case EventAccepted():
            state, fate = "sent", "accepted"
        case EventRefused(status=status):
            state, fate = ("no_contact" if status == 404 else "refused"), "rejected"
            sent.rejected_by_reason["no_such_contact" if status == 404 else "refused_by_mailtrap"] += 1
        case _:
            state, fate = "ambiguous", "pending"
            sent.ambiguous += 1
    store.journal.settle_event(sync.name, event, state=state)
    sent.rows[fate] += 1


def pending(
    store: Store, sync: Sync, partition: str, *, knowledge: Knowledge, tables: Lake | None = None
) -> Iterator[pa.RecordBatch]:
    """Accepted events, each with its fate: pending, or why it is not sent."""
    lake = tables or store.lake
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(store.lake.scratch())
        connection = stack.enter_context(comparison.connect(scratch))
        withheld = withheld_from(stack, store, sync, knowledge=knowledge, partitions=[partition], tables=lake)
        states = _states_as_file(store, sync, scratch)
        here = stack.enter_context(lake.local(file_of(sync, "accepted_events", partition)))
        groups = (
            ("erased", withheld.erased),
            ("suppressed", withheld.suppressed),
            ("unsubscribed", withheld.unsubscribed),
        )
        whens = " ".join(
            f"when here._address_hash in (select address_hash::uuid from read_parquet({comparison.quoted(str(path))}) "
            f"where address_hash is not null) then '{name}'"
            for name, paths in groups
            for path in paths
        )
        query = f"""
            select here.*, case {whens} when known.state in ('refused', 'no_contact') then 'rejected'
                when known.state is not null then 'unchanged' else 'pending' end as fate
            from read_parquet({comparison.quoted(str(here))}) here
            left join read_parquet({comparison.quoted(str(states))}) known on known.event_hash = here._event_hash
        """
        yield from connection.sql(query).to_arrow_reader(10_000)


def _states_as_file(store: Store, sync: Sync, scratch: Path) -> Path:
    """The events that were begun before, for DuckDB; those without a contact only for a day."""
    path, again = scratch / "states.parquet", time.time() - NO_CONTACT_AGAIN_SECONDS
    rows = [
        (each, state)
        for each, state, at in store.journal.event_states(sync.name)
        if state != "no_contact" or at > again
    ]
    hashes = pa.array([each for each, _ in rows], pa.binary(16)).cast(pa.uuid())
    pq.write_table(
        pa.table([hashes, pa.array([state for _, state in rows], pa.string())], schema=_STATES), path
    )
    return path


def keep_summary(
    lake: Lake, sync: Sync, *, partitions: Sequence[str], run_id: str, sent: Sent, began: float
) -> None:
    """The summary of a run: numbers and ids, never an address."""
    sent.summary = write(
        lake,
        sync.name,
        run_id=run_id,
        partitions=partitions,
        started_at=began,
        seconds=sent.seconds,
        outcome=sent.problem.outcome if sent.problem else "ok",
        rows=sent.rows,
        rejected_by_reason=sent.rejected_by_reason,
        requests=sent.requests,
        retries=sent.retries,
        ambiguous=sent.ambiguous,
    )


def _plain(value: object) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
