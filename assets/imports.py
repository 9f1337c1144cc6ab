"""contact_imports: pending contacts sent in payloads, jobs awaited, receipts kept, and the summary of the run.

Belongs here: one run of the delivery loop over the newest pending contacts, and the account of where every row went.
Not here: the loop (`delivery`), and what is pending (`changes`).
"""

import contextlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets import contacts, ledger, metadata, refusals
from assets.changes import COMPRESSION, pace_of, settle_under
from assets.delivery import WAIT_FOR_ACCOUNT_SECONDS, Delivering, Told
from assets.failures import told_to_dagster
from assets.partitions import WHOLE, backfill_policy_of, label, partitions_of, partitions_of_run
from assets.pending import PENDING_SCHEMA, ROWS_PER_GROUP
from assets.rules import comparison, guards
from assets.rules.comparison import Change
from assets.rules.sync import Sync
from resources.errors import ConnectorError, LakeError
from resources.journal import Delivery, Payload
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store


@dataclass(slots=True)
class Sent:
    """What one run achieved: rows by outcome per partition, and the numbers of the summary."""

    by_partition: dict[str, dict[str, int]]
    told: Told
    gone: Mapping[str, int]
    rejected_by_reason: Mapping[str, int]
    requests: int = 0
    retries: int = 0
    started_at: float = field(default_factory=time.time)
    seconds: float = 0.0

    @property
    def rows(self) -> dict[str, int]:
        """All partitions together."""
        total: Counter[str] = Counter()
        for each in self.by_partition.values():
            total.update(each)
        return {name: total.get(name, 0) for name in ("read", *guards.OUTCOMES)}


def contact_imports(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""
    key = dg.AssetKey([sync.name, "contact_imports"])

    @dg.asset(
        name="contact_imports",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"mailtrap"},
        deps=[dg.AssetKey([sync.name, "pending_contacts"])],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        output_required=False,
        pool="mailtrap",
        check_specs=[
            dg.AssetCheckSpec("every_row_is_accounted_for", asset=key),
            dg.AssetCheckSpec("mailtrap_took_everything", asset=key),
        ],
        description="Pending contacts sent as imports of up to 50,000, each one awaited and proven.",
    )
    @told_to_dagster
    def _contact_imports(
        context: dg.AssetExecutionContext,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> Iterator[Any]:
        sent = send_pending(
            mailtrap,
            store,
            sync,
            partitions=partitions_of_run(context),
            run_id=context.run_id,
            roots=(context.run_id, context.run.root_run_id, context.run.parent_run_id),
        )
        yield from _shown(sync, sent)
        yield from _checks(key, sent)
        if sent.told.problems:
            raise worst(sent.told.problems)

    return _contact_imports


def send_pending(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    run_id: str,
    roots: Sequence[str | None] = (),
    stop: threading.Event | None = None,
    progress: Callable[[Delivery, Payload], None] | None = None,
) -> Sent:
    """Send what is pending for these partitions and keep the summary; goes on where a former run stopped."""
    started = time.time()
    before = client.usage_counts
    found = pending_path(store.lake, sync, partitions=partitions, run_ids=(run_id, *roots))
    account = str(client.account_id)
    with store.journal.lease(f"account:{account}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        settle_under(client, store, lease)
        path, facts = up_to_date(store, sync, found, run_id=run_id)
        rows = store.lake.rows(path)
        delivery = store.journal.open_delivery(
            account=account, sync=sync.name, run_id=run_id, path=path, rows=rows, facts=facts, lease=lease
        )
        loop = Delivering(
            client, store.journal, store.lake, lease=lease, pace=pace_of(store), stop=stop, progress=progress
        )
        told = loop.deliver(delivery)
    after = client.usage_counts
    sent = Sent(
        by_partition=account_for(facts["by_partition"], told),
        told=told,
        gone=facts["gone"],
        rejected_by_reason=_reasons(store.lake, sync, partitions, told),
        requests=after.requests - before.requests,
        retries=after.retries - before.retries,
        started_at=started,
        seconds=time.time() - started,
    )
    keep_summary(store.lake, sync, partitions=partitions, run_id=run_id, sent=sent)
    refusals.forget_former(
        store.lake,
        sync.name,
        deliveries=[each.id for each in store.journal.deliveries(sync.name) if each.id != delivery.id]
        if partitions == (WHOLE,)
        else [],
    )
    return sent


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


def up_to_date(store: Store, sync: Sync, path: str, *, run_id: str) -> tuple[str, dict[str, Any]]:
    """The pending contacts as they stand now: without those that the ledger has overtaken since they were found.

    Another run, or an earlier try of this one, may have told Mailtrap the same or something newer meanwhile.
    """
    facts = facts_of(store.lake, path)
    version = ledger.version(store.journal, sync.name)
    if facts["ledger"] == version:
        return path, facts
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name))
        file = stack.enter_context(store.lake.local(path))
        overtaken = comparison.overtaken(connection, file, told=told, resend=facts["resend"])
        target = f"{sync.name}/pending_contacts/{run_id}-{uuid.uuid4().hex[:8]}.parquet"
        by_partition = copy_without(store.lake, path, target, overtaken=overtaken, facts=facts)
    facts = {**facts, "by_partition": by_partition, "ledger": version}
    return target, facts


def copy_without(
    lake: Lake, path: str, target: str, *, overtaken: Iterator[pa.RecordBatch], facts: Mapping[str, Any]
) -> dict[str, dict[str, int]]:
    """Copy pending contacts but for some, and count these as what they have become."""
    codes = np.zeros(lake.rows(path), np.uint8)
    for answers in overtaken:
        codes[answers["row"].to_numpy()] = answers["change"].to_numpy()
    by_partition = {name: dict(counts) for name, counts in facts["by_partition"].items()}
    first = 0
    with lake.writer(target, PENDING_SCHEMA, compression=COMPRESSION, rows_per_group=ROWS_PER_GROUP) as sink:
        for batch in lake.read(path):
            here = codes[first : first + batch.num_rows]
            first += batch.num_rows
            sink.write(batch.filter(pa.array(here == 0)))
            for change in (Change.unchanged, Change.stale):
                became = batch.filter(pa.array(here == change))
                contacts = became.filter(pc.not_equal(became["change"], "gone"))
                for each in contacts["partition"].value_counts().to_pylist():
                    by_partition[each["values"]]["pending"] -= each["counts"]
                    by_partition[each["values"]][change.name] += each["counts"]
        sink.note("facts", json.dumps({**facts, "by_partition": by_partition}, sort_keys=True))
    return by_partition


def account_for(compared: Mapping[str, Mapping[str, int]], told: Told) -> dict[str, dict[str, int]]:
    """Rows by outcome after sending: what was pending is accepted, rejected, over the limit, or still pending."""
    rows = {name: dict(counts) for name, counts in compared.items()}
    over_limit = told.over_limit
    for name, counts in rows.items():
        counts["accepted"] = told.accepted.get(name, 0)
        counts["rejected"] += told.rejected.get(name, 0)
        left = counts["pending"] - counts["accepted"] - told.rejected.get(name, 0)
        counts["over_limit"] = min(left, over_limit)
        over_limit -= counts["over_limit"]
        counts["pending"] = left - counts["over_limit"]
    return rows


def keep_summary(
    lake: Lake, sync: Sync, *, partitions: Sequence[str], run_id: str, sent: Sent
) -> dict[str, Any]:
    """The summary of a run: numbers and ids, never an address."""
    problem = worst(sent.told.problems) if sent.told.problems else None
    summary = {
        "schema": 1,
        "sync": sync.name,
        "partition": None if tuple(partitions) == (WHOLE,) else label(partitions),
        "run_id": run_id,
        "started_at": datetime.fromtimestamp(sent.started_at, UTC).isoformat(),
        "seconds": round(sent.seconds, 3),
        "outcome": problem.outcome if problem else "ok",
        "rows": sent.rows,
        "rejected_by_reason": dict(sent.rejected_by_reason),
        "gone": dict(sent.gone),
        "payloads": sent.told.payloads,
        "imports": sent.told.imports,
        "requests": sent.requests,
        "retries": sent.retries,
        "ambiguous": sent.told.ambiguous,
    }
    lake.write_bytes(summary_path(sync.name, run_id), json.dumps(summary, indent=1).encode())
    return summary


def summary_path(sync: str, run_id: str) -> str:
    """Where the summary of a run lies."""
    return f"summaries/{sync}/{run_id}.json"


def worst(problems: Sequence[ConnectorError]) -> ConnectorError:
    """The problem that a person should see first."""
    order = ("config", "data", "unknown", "transient")
    return min(problems, key=lambda each: order.index(each.outcome))


def _reasons(lake: Lake, sync: Sync, partitions: Sequence[str], told: Told) -> dict[str, int]:
    found: Counter[str] = Counter()
    for partition in partitions:
        found.update(contacts.facts_of(lake, sync, partition).get("rejected_by_reason", {}))
    refused = sum(told.rejected.values())
    return dict(found) | ({refusals.REASON: refused} if refused else {})


def _shown(sync: Sync, sent: Sent) -> Iterator[Any]:
    key = dg.AssetKey([sync.name, "contact_imports"])
    run = {
        "requests": sent.requests,
        "payloads": sent.told.payloads,
        "seconds": round(sent.seconds, 3),
        "ambiguous": sent.told.ambiguous,
    }
    for partition, rows in sent.by_partition.items():
        shown = {f"rows_{name}": count for name, count in rows.items()}
        table = metadata.table([(name, count) for name, count in rows.items()], head=("rows", "count"))
        facts: dict[str, Any] = {**shown, **run, "where_every_row_went": table}
        if partition == WHOLE:
            yield dg.MaterializeResult(asset_key=key, metadata=facts)
        elif rows["pending"] == 0:
            yield dg.AssetMaterialization(asset_key=key, partition=partition, metadata=facts)


def _checks(key: dg.AssetKey, sent: Sent) -> Iterator[dg.AssetCheckResult]:
    missing = guards.unaccounted(sent.rows)
    left = sent.rows["pending"] + sent.rows["over_limit"]
    yield dg.AssetCheckResult(
        passed=missing == 0,
        check_name="every_row_is_accounted_for",
        asset_key=key,
        metadata={"unaccounted": missing},
    )
    yield dg.AssetCheckResult(
        passed=left == 0,
        check_name="mailtrap_took_everything",
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"pending": sent.rows["pending"], "over_limit": sent.rows["over_limit"]},
    )
