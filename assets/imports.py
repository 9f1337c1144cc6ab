"""contact_imports: pending contacts sent in payloads, jobs awaited, receipts kept, and the summary of the run.

Belongs here: one run of the delivery loop over the newest pending contacts. Not here: the loop (`delivery`), where every
row went (`summary`), and what is pending (`changes`).
"""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets import ledger, metadata, progress, refusals, retention, shown, summary
from assets.changes import COMPRESSION, look_for_pending, pace_of, settle_under, tombstones_as_file
from assets.checks import accounted, accounted_spec, against_former_runs, former_summaries, usual_specs
from assets.delivery import WAIT_FOR_ACCOUNT_SECONDS, Delivering, Timing, Told
from assets.ended import until_ended
from assets.failures import told_to_dagster
from assets.freshness import freshness_of
from assets.overdue import people_in
from assets.partitions import WHOLE, backfill_policy_of, file_of, label, partitions_of, partitions_of_run
from assets.pending import PENDING_SCHEMA, REPEATED, ROWS_PER_GROUP
from assets.preparation import still_fits
from assets.rules import comparison
from assets.rules.comparison import Change
from assets.rules.sync import DayPartition, Sync
from assets.summary import Sent, worst
from resources.errors import ConnectorError, LakeError
from resources.journal import Delivery
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

NEVER_SENT_FOR_SECONDS = 7 * 86_400.0


def contact_imports(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""
    key = dg.AssetKey([sync.name, "contact_imports"])

    @dg.asset(
        name="contact_imports",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"mailtrap"},
        tags=metadata.tags_of(sync, personal_data="none"),
        freshness_policy=freshness_of(sync),
        deps=[dg.AssetKey([sync.name, "pending_contacts"])],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        output_required=False,
        pool="mailtrap",
        check_specs=[
            accounted_spec(key),
            dg.AssetCheckSpec(
                "mailtrap_took_everything",
                asset=key,
                description="No row is left pending, or over the limit of the account's plan. Warns.",
            ),
            dg.AssetCheckSpec(
                "no_import_is_overdue",
                asset=key,
                description="Mailtrap finishes every import in time; people in one that it does not stay pending. Warns.",
            ),
            *usual_specs(key),
        ],
        description="Pending contacts sent as imports of up to 50,000, each one awaited and proven.",
    )
    @told_to_dagster
    def _contact_imports(
        context: dg.AssetExecutionContext,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> Iterator[Any]:
        with (
            progress.told_meanwhile(
                context.log.info, store.journal, sync.name, rows_per_payload=store.rows_per_payload
            ),
            until_ended(context.instance, context.run.run_id) as stop,
        ):
            sent = send_pending(
                mailtrap,
                store,
                sync,
                partitions=partitions_of_run(context),
                run_id=context.run.run_id,
                roots=(context.run.run_id, context.run.root_run_id, context.run.parent_run_id),
                timing=Timing(stop=stop),
            )
        run = _numbers_of(sent, run_id=context.run.run_id)
        context.log.info(progress.in_one_line(sync.name, run))
        yield from _shown(sync, sent, run)
        yield from _checks(key, sent)
        partitions = partitions_of_run(context)
        like = None if partitions == (WHOLE,) else label(partitions)
        former = former_summaries(store.lake, sync.name, but=context.run.run_id, like=like)
        yield from against_former_runs(key, {**run, "partition": like}, former)
        if sent.told.problems:
            raise worst(sent.told.problems)
        retention.after_a_run(store, sync, partitions=partitions, now=time.time())

    return _contact_imports


def send_pending(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    run_id: str,
    roots: Sequence[str | None] = (),
    timing: Timing | None = None,
) -> Sent:
    """Send what is pending for these partitions and keep the summary; goes on where a former run stopped."""
    started, before, timing = time.time(), client.usage_counts, timing or Timing()
    found = pending_path(store.lake, sync, partitions=partitions, run_ids=(run_id, *roots))
    account = str(client.account_id)
    with store.journal.lease(
        f"account:{account}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS, seconds=timing.lease_seconds
    ) as lease:
        overdue = settle_under(client, store, lease, timing=timing)
        if fell_behind(store, sync, found):
            found = look_for_pending(client, store, sync, partitions=partitions, run_id=run_id).path
        waiting = people_in(store.lake, overdue)
        path, facts = up_to_date(store, sync, found, run_id=run_id, waiting=waiting)
        rows = store.lake.rows(path)
        delivery = store.journal.open_delivery(
            account=account, sync=sync.name, run_id=run_id, path=path, rows=rows, facts=facts, lease=lease
        )
        loop = Delivering(
            client,
            store.journal,
            store.lake,
            lease=lease,
            pace=pace_of(store),
            timing=timing,
            still_fits=lambda lists: still_fits(client, sync, lists=lists),
        )
        told = Told()
        try:
            loop.deliver(delivery, told)
        finally:
            used = client.usage_counts
            sent = summary.sent(
                facts,
                told,
                started_at=started,
                ended_at=time.time(),
                requests=int(facts.get("requests", 0)) + used.requests - before.requests,
                retries=used.retries - before.retries,
                overdue=overdue,
            )
            with contextlib.suppress(ConnectorError):
                summary.keep(store.lake, delivery, sent)
        close(store, loop, delivery, told=told, original=found)
    return sent


def close(store: Store, loop: Delivering, delivery: Delivery, *, told: Told, original: str) -> None:
    """End a delivery, and forget what its success has made worthless; trouble here is one more problem of the run."""
    try:
        loop.close(delivery)
        if not told.problems:
            forget_former(store, delivery, original=original)
    except ConnectorError as error:
        told.problems.append(error)


def forget_former(store: Store, delivery: Delivery, *, original: str) -> None:
    """Remove the pending contacts and refusals of former deliveries of the same partitions, but for what still stands."""
    here = set(delivery.facts["partitions"])
    former = [
        each
        for each in store.journal.deliveries(delivery.sync)
        if each.id != delivery.id and each.state != "open" and here.issuperset(each.facts["partitions"])
    ]
    partitions = delivery.facts["partitions"]
    refusals.carry_over(
        store.lake,
        delivery.sync,
        former=[each.id for each in former],
        delivery=delivery.id,
        version=delivery.facts["sync_version"],
        accepted=[f"{delivery.sync}/accepted_contacts/{each}.parquet" for each in partitions],
        offered=delivery.path,
    )
    for path in {original, *(each.path for each in former)} - {delivery.path}:
        store.lake.delete(path)
    known = {each.path for each in store.journal.deliveries(delivery.sync)}
    folder = f"{delivery.sync}/pending_contacts"
    for path, age_seconds in store.lake.ages(folder, now=time.time()).items():
        if path not in known and age_seconds > NEVER_SENT_FOR_SECONDS:
            store.lake.delete(path)


def pending_path(lake: Lake, sync: Sync, *, partitions: Sequence[str], run_ids: Sequence[str | None]) -> str:
    """The file of pending contacts of this run, of the run it re-executes, or the newest one of these partitions."""
    for run_id in run_ids:
        path = f"{sync.name}/pending_contacts/{run_id}.parquet"
        if run_id and lake.exists(path):
            return path
    known = {path: facts_of(lake, path) for path in lake.list(f"{sync.name}/pending_contacts")}
    fitting = [path for path, facts in known.items() if facts.get("partitions") == list(partitions)]
    if fitting:
        return max(fitting, key=lambda path: str(known[path]["made_at"]))
    raise LakeError(
        f"There are no pending contacts of {sync.name} for {label(partitions)}.",
        "contact_imports sends what pending_contacts found, and that has not run.",
        "Materialize pending_contacts first, or run the whole sync.",
    )


def facts_of(lake: Lake, path: str) -> dict[str, Any]:
    """The numbers that were noted in a file of pending contacts."""
    found: dict[str, Any] = json.loads(lake.metadata(path).get("facts", "{}"))
    return found


def fell_behind(store: Store, sync: Sync, path: str) -> bool:
    """Whether an older day was told to Mailtrap since pending contacts were found, of people who were not pending then.

    Only days can overtake each other; and a full resend sends everybody anyway.
    """
    facts = facts_of(store.lake, path)
    if facts["resend"] or not isinstance(sync.source.partition, DayPartition):
        return False
    with contextlib.ExitStack() as stack:
        after = ledger.told_after(store.journal, store.lake, sync.name, version=facts["ledger"])
        told = stack.enter_context(after)
        if told.base is None and not told.parts:
            return False
        accepted = [file_of(sync, "accepted_contacts", each) for each in facts["partitions"]]
        files = [stack.enter_context(store.lake.local(each)) for each in accepted if store.lake.exists(each)]
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        pending = stack.enter_context(store.lake.local(path))
        return comparison.has_fallen_behind(connection, files, told=told, pending=pending)


def up_to_date(
    store: Store, sync: Sync, path: str, *, run_id: str, waiting: pa.Array
) -> tuple[str, dict[str, Any]]:
    """The pending contacts as they stand now: without those that the ledger has overtaken since they were found.

    Another run, or an earlier try of this one, may have told Mailtrap the same or something newer meanwhile. Whoever is
    in an import that does not end is left out too, and stays pending.
    """
    facts = facts_of(store.lake, path)
    bucket = facts.get("bucket")
    version = ledger.version(store.journal, sync.name, bucket=bucket)
    erasures = list(store.journal.erasures())
    if facts["ledger"] == version and facts["erasures"] == erasures and not len(waiting):
        return path, facts
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name, bucket=bucket))
        file = stack.enter_context(store.lake.local(path))
        erased = tombstones_as_file(stack, store)
        resent = resent_before(store, sync, facts) if facts["resend"] else None
        overtaken = comparison.overtaken(connection, file, told=told, erased=erased, resent=resent)
        target = f"{sync.name}/pending_contacts/{run_id}-{uuid.uuid4().hex[:8]}.parquet"
        by_partition = copy_without(
            store.lake, path, target, overtaken=overtaken, waiting=waiting, facts=facts
        )
    return target, {**facts, "by_partition": by_partition, "ledger": version, "erasures": erasures}


def resent_before(store: Store, sync: Sync, facts: Mapping[str, Any]) -> list[int]:
    """The imports with which a full resend has told people already, before it was interrupted.

    The ledger keeps each person's last import, also when its files are merged in between.
    """
    tries = [
        each for each in store.journal.deliveries(sync.name) if each.facts["made_at"] == facts["made_at"]
    ]
    done = (store.journal.payloads(each, states=("finished",)) for each in tries)
    return [payload.import_id for each in done for payload in each if payload.import_id is not None]


def copy_without(
    lake: Lake,
    path: str,
    target: str,
    *,
    overtaken: Iterator[pa.RecordBatch],
    waiting: pa.Array,
    facts: Mapping[str, Any],
) -> dict[str, dict[str, int]]:
    """Copy pending contacts but for some, and count these as what they have become."""
    codes = np.zeros(lake.rows(path), np.uint8)
    for answers in overtaken:
        codes[answers["row"].to_numpy()] = answers["change"].to_numpy()
    by_partition = {name: dict(counts) for name, counts in facts["by_partition"].items()}
    first = 0
    with lake.writer(
        target, PENDING_SCHEMA, compression=COMPRESSION, rows_per_group=ROWS_PER_GROUP, dictionary=REPEATED
    ) as sink:
        for batch in lake.read(path):
            here = codes[first : first + batch.num_rows]
            first += batch.num_rows
            is_sent = pa.array(here == 0)
            if len(waiting):
                hashes = batch["address_hash"].storage.cast(pa.binary(16))
                is_sent = pc.and_not(is_sent, pc.is_in(hashes, value_set=waiting))
            sink.write(batch.filter(is_sent))
            for change in (Change.erased, Change.unchanged, Change.stale):
                became = batch.filter(pa.array(here == change))
                contacts = became.filter(pc.not_equal(became["change"], "gone"))
                for each in contacts["partition"].value_counts().to_pylist():
                    by_partition[each["values"]]["pending"] -= each["counts"]
                    by_partition[each["values"]][change.name] += each["counts"]
        sink.note("facts", json.dumps({**facts, "by_partition": by_partition}, sort_keys=True))
    return by_partition


def _numbers_of(sent: Sent, *, run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "rows": sent.rows,
        "rejected_by_reason": sent.rejected_by_reason,
        "requests": sent.requests,
        "retries": sent.retries,
        "payloads": sent.told.payloads,
        "seconds": round(sent.seconds, 3),
        "ambiguous": sent.told.ambiguous,
        **{
            name: sum(rows.get(name, 0) for rows in sent.by_partition.values()) for name in ("new", "changed")
        },
    }


def _shown(sync: Sync, sent: Sent, run: Mapping[str, Any]) -> Iterator[Any]:
    key = dg.AssetKey([sync.name, "contact_imports"])
    for partition, rows in sent.by_partition.items():
        facts = shown.of_contact_imports(sync, partition, rows=rows, run=run, of=len(sent.by_partition))
        if partition == WHOLE:
            yield dg.MaterializeResult(asset_key=key, metadata=facts)
        elif rows["pending"] == 0:
            yield dg.AssetMaterialization(asset_key=key, partition=partition, metadata=facts)


def _checks(key: dg.AssetKey, sent: Sent) -> Iterator[dg.AssetCheckResult]:
    left = sent.rows["pending"] + sent.rows["over_limit"]
    yield accounted(key, sent.rows)
    yield dg.AssetCheckResult(
        passed=left == 0,
        check_name="mailtrap_took_everything",
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"pending": sent.rows["pending"], "over_limit": sent.rows["over_limit"]},
    )
    yield dg.AssetCheckResult(
        passed=not sent.overdue,
        check_name="no_import_is_overdue",
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "imports": ", ".join(str(each.payload.import_id) for each in sent.overdue),
            "contacts": sum(each.payload.sent_rows for each in sent.overdue),
        },
    )
