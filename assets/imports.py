"""contact_imports: pending contacts sent in payloads, jobs awaited, receipts kept, and the summary of the run.

Belongs here: one run of the delivery loop over the newest pending contacts. Not here: the loop (`delivery`), where every
row went (`summary`), and what is pending (`changes`).
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from assets import metadata, progress, retention, shown, summary
from assets.changes import look_for_pending
from assets.checks import accounted, accounted_spec, against_former_runs, former_summaries, usual_specs
from assets.delivery import refusals
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS, Delivering, Timing, Told
from assets.delivery.offered import fell_behind, pending_path, up_to_date
from assets.delivery.overdue import people_in
from assets.delivery.settling import pace_of, settle_under
from assets.ended import until_ended
from assets.failures import told_to_dagster
from assets.freshness import freshness_of
from assets.partitions import WHOLE, backfill_policy_of, label, partitions_of, partitions_of_run
from assets.preparation import still_fits
from assets.rules.sync import Sync
from assets.summary import Sent, worst
from resources.errors import ConnectorError
from resources.journal import Delivery
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
        check_specs=_check_specs(key),
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
        shown.in_list_of_runs(context, sent.rows)
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


def _check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    return [
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
    ]


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
        f"account:{account}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS, seconds=timing.lease_seconds,
        stop=timing.stop,
    ) as lease:  # fmt: skip
        overdue = settle_under(client, store, lease, timing=timing)
        if fell_behind(store, sync, found):
            found = look_for_pending(client, store, sync, partitions=partitions, run_id=run_id).path
        waiting = people_in(store.lake, overdue)
        path, facts = up_to_date(store, sync, found, run_id=run_id, waiting=waiting)
        delivery = store.journal.open_delivery(
            account=account, sync=sync.name, run_id=run_id, path=path, rows=store.lake.rows(path),
            facts=facts, lease=lease,
        )  # fmt: skip
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
        "resend": sent.resend,
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
