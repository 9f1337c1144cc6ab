"""What a run of a sync would do, worked out without doing it; and a plan that was made of it, kept to or refused.

Belongs here: the comparison of a run over tables that are forgotten afterwards, and the digest of its outcome. Not here:
the comparison itself (`changes`, `leavers`), and what a plan costs and looks like (`pipelines/planning`).
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.changes import Found, Question, Search, names_in_rows
from assets.delivery import ledger
from assets.delivery.settling import settle
from assets.partitions import file_of
from assets.people import leavers
from assets.preparation import by_name_of, inspected, list_ids, new_lists
from assets.rules.guards import Verdict
from assets.rules.payload import ListIds
from assets.rules.preflight import Preflight
from assets.rules.sync import Sync
from resources.errors import GuardError
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

SCREENED = ("source_rows", "accepted_contacts", "no_consent", "rejections")


class PlanConfig(dg.Config):
    """What a run that applies a plan is told: nothing is done to anybody unless it is what the plan promised."""

    plan_digest: str = ""
    """The plan's digest; empty: no plan."""
    full_resync: bool = False
    """Whether it was a plan of sending everything again."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a run would do: who is told, who leaves, what would be made first."""

    found: Found
    leavers: pa.Table
    verdicts: Sequence[Verdict]
    seen: Preflight
    new_lists: tuple[str, ...]
    digest: str


def foresee(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    partitions: Sequence[str],
    tables: Lake,
    resend: bool = False,
) -> Foreseen:
    """Compare screened rows, which lie in `tables`, with the ledger and with Mailtrap as they are now."""
    seen, lists = inspected(client, sync)
    new = new_lists(sync, seen, lists, names=names_in_rows(tables, sync, partitions))
    ids = list_ids(sync, by_name_of(lists) | dict.fromkeys(new, 0))
    bucket = ledger.bucket_of(sync, partitions)
    version = ledger.version(store.journal, sync.name, bucket=bucket)
    erasures = list(store.journal.erasures())
    found = Search(
        store=store,
        sync=sync,
        partitions=partitions,
        question=Question(client, store, sync),
        lists=ids,
        resend=resend,
        tables=tables,
        guarded=False,
    ).find("plan")
    verdicts, leaving = leavers.find(store, sync, partitions=partitions, tables=tables)
    state = [sync.version, resend, list(partitions), version, erasures, _in_words(ids), new, _fields(seen)]
    return Foreseen(found, leaving, verdicts, seen, new, digest_of(tables, found, leaving, state=state))


def keep_to_plan(
    client: MailtrapClient, store: Store, sync: Sync, *, partitions: Sequence[str], config: PlanConfig
) -> None:
    """Raise when a plan was to be applied and this is not what it promised; nothing has been sent by then."""
    if not config.plan_digest:
        return
    settle(client, store)
    with store.lake.scratch() as folder:
        for path in (file_of(sync, table, each) for table in SCREENED for each in partitions):
            _copy(store.lake, path, folder / path)
        now = foresee(
            client, store, sync, partitions=partitions, tables=Lake(folder), resend=config.full_resync
        )
    if now.digest != config.plan_digest:
        raise GuardError(
            f"The source, the sync file, or what Mailtrap has been told has moved on since the plan of {sync.name} "
            "was made.",
            "Nothing was sent: a plan is applied exactly or not at all.",
            f"Run `mailtrap-contacts plan {sync.name}` again and look at it.",
        )


def digest_of(tables: Lake, found: Found, leaving: pa.Table, *, state: Sequence[object]) -> str:
    """What a plan amounts to, whatever the order of its rows: people, values, leavers, and what it was compared with."""
    numbers = [
        *state,
        {name: dict(counts) for name, counts in found.by_partition.items()},
        dict(found.gone),
        sorted(
            (each["address_hash"].hex, each["why"])
            for each in leaving.select(["address_hash", "why"]).to_pylist()
        ),
    ]
    seen = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    seen.update(_people_in(tables, found.path).to_bytes(8, "big"))
    return seen.hexdigest()


def _people_in(tables: Lake, path: str) -> int:
    """One number for the people of a file of pending contacts and their values."""
    total = 0
    for batch in tables.read(path, ["address_hash", "fingerprint"]):
        hashes = batch["address_hash"].storage
        halves = np.frombuffer(hashes.buffers()[1], np.uint64).reshape(-1, 2)
        people = halves[hashes.offset : hashes.offset + batch.num_rows]
        values = pc.fill_null(batch["fingerprint"], 0).to_numpy()
        mixed = (
            people[:, 0] * np.uint64(0x9E3779B97F4A7C15)
            ^ people[:, 1]
            ^ values * np.uint64(0xC2B2AE3D27D4EB4F)
        )
        total = (total + int(mixed.sum(dtype=np.uint64))) % (1 << 64)
    return total


def _copy(lake: Lake, path: str, target: Path) -> None:
    if lake.exists(path):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lake.local(path) as file:
            shutil.copyfile(file, target)


def _in_words(lists: ListIds) -> list[object]:
    return [lists.include, lists.exclude, sorted((lists.by_name or {}).items())]


def _fields(seen: Preflight) -> list[str]:
    return [each.merge_tag for each in seen.to_create_fields]
