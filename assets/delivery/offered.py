"""The file of pending contacts that a run sends: found, and as it stands now.

Belongs here: which file, and who leaves it because the ledger, an erasure or an unfinished import has overtaken it since.
Not here: the comparison that made it (`changes`), and sending it (`imports`).
"""

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.delivery import ledger
from assets.partitions import file_of, label
from assets.pending import pending_file
from assets.people.withheld import tombstones_as_file
from assets.rules import comparison
from assets.rules.comparison import Change
from assets.rules.sync import DayPartition, Sync
from resources.errors import LakeError
from resources.lake import Lake
from resources.store.store import Store


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
        if told.is_empty:
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
    with pending_file(lake, target) as sink:
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
