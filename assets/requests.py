"""requests: a table of people who asked to be left alone, or to be deleted; done one by one at Mailtrap.

Whoever is in such a table is withheld from every sync from then on, also when Mailtrap does not have them yet. Belongs
here: reading the people, remembering them by keyed hash, and the account of every row. Not here: how one person is
taken away (`departures`).
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow as pa

from assets import contacts, metadata, retention, shown
from assets.account import OPT_OUTS_REQUESTED, refresh_people
from assets.checks import accounted, accounted_spec
from assets.delivery import ledger
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS
from assets.delivery.settling import settle_wholly
from assets.departures import Departed, depart_all, note_done
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run
from assets.people.leavers import Leaver
from assets.rules import cells, comparison, guards
from assets.rules.address import hash_addresses, persons
from assets.rules.leaving import act_of, too_many_leave
from assets.rules.sync import Sync
from assets.rules.traces import hashes_of, read_address
from assets.steady import steady
from assets.summary import write
from resources.errors import ConnectorError
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

_SCHEMA = pa.schema([("address_hash", pa.uuid())])


@dataclass(slots=True)
class Asked:
    """The people of some requests, and where every row of them went."""

    addresses: dict[bytes, str]
    rows: Counter[str]


def requests(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""
    key, action = dg.AssetKey([sync.name, "requests"]), act_of(sync, "requested")

    @dg.asset(
        name="requests",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"mailtrap"},
        deps=[dg.AssetKey([sync.name, "source_rows"])],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        pool="mailtrap",
        tags=metadata.tags_of(sync, personal_data="none"),
        check_specs=[accounted_spec(key)],
        description=f"People who asked for it: {action} at Mailtrap, and withheld from every sync for good.",
    )
    @told_to_dagster
    def _requests(
        context: dg.AssetExecutionContext,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> Iterator[Any]:
        partitions = partitions_of_run(context)
        summary = carry_out(mailtrap, store, sync, partitions=partitions, run_id=context.run_id)
        shown.in_list_of_runs(context, summary["rows"])
        yield dg.MaterializeResult(asset_key=key, metadata=shown.of_people(summary))
        yield accounted(key, summary["rows"])
        retention.after_a_run(store, sync, partitions=partitions, now=time.time())

    return _requests


def carry_out(
    client: MailtrapClient, store: Store, sync: Sync, *, partitions: Sequence[str], run_id: str
) -> dict[str, Any]:
    """Do what the people of these partitions asked for, each once; gives the summary, which is also kept."""
    began, before, departed = time.time(), client.usage_counts, Departed()
    asked = steady(store.journal, lambda: read(store, sync, partitions=partitions))
    contacts.stop_at_guards([guards.too_few_rows(sync, read=asked.rows["read"])])
    problem: ConnectorError | None = None
    waiting = [each for each in asked.addresses if each not in done(store, sync)]
    if waiting:
        try:
            _carry_out(client, store, sync, asked, waiting, departed, partitions[0])
        except ConnectorError as error:
            problem = error
    left, absent = sum(departed.by_act.values()), departed.absent
    known = len(asked.addresses) - len(waiting)
    asked.rows.update(accepted=left, unchanged=known + absent, pending=len(waiting) - left - absent)
    after = client.usage_counts
    summary = write(
        store.lake,
        sync.name,
        run_id=run_id,
        partitions=partitions,
        started_at=began,
        seconds=time.time() - began,
        outcome=problem.outcome if problem else "ok",
        rows=asked.rows,
        rejected_by_reason={"address_invalid": asked.rows["rejected"]} if asked.rows["rejected"] else {},
        gone=departed.by_act,
        requests=after.requests - before.requests,
        retries=after.retries - before.retries,
    )
    if problem is not None:
        raise problem
    return summary


def _carry_out(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    asked: Asked,
    waiting: Sequence[bytes],
    departed: Departed,
    partition: str,
) -> None:
    here = at_mailtrap(client, store)
    act = act_of(sync, "requested")
    row: dict[str, Any] = {"as_of": None, "list_ids": [], "partition": partition}
    people = [Leaver(each, asked.addresses[each], act, "requested", row) for each in waiting if each in here]
    contacts.stop_at_guards([too_many_leave(sync, leaving=len(people), told=len(here))])
    absent = [
        Leaver(each, asked.addresses[each], act, "requested", row) for each in waiting if each not in here
    ]
    with store.journal.lease(f"account:{client.account_id}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        if act == "delete":
            settle_wholly(client, store, lease)
        depart_all(client, store, sync, people=people, departed=departed, lease=lease)
        note_done(store, sync, absent, lease=lease)
        departed.absent += len(absent)
        ledger.merge(store.journal, store.lake, sync.name, lease=lease)


def read(store: Store, sync: Sync, *, partitions: Sequence[str], tables: Lake | None = None) -> Asked:
    """The people of the source rows; kept at once by keyed hash, so that every sync withholds them."""
    asked, lake = Asked({}, Counter()), tables or store.lake
    for partition in partitions:
        path = file_of(sync, "source_rows", partition)
        left_out = int(lake.metadata(path).get("erased", "0"))
        asked.rows.update(read=left_out, erased=left_out)
        hashes: set[bytes] = set()
        for batch in lake.read(path, [sync.email]):
            column = cells.plain(batch[sync.email])
            found = hash_addresses(persons(column), store.key)
            hashes.update(each for each in found.storage.to_pylist() if each is not None)
            _take(asked, cells.as_text(column).to_pylist(), key=store.key)
        _remember(lake, sync, partition, hashes)
    return asked


def _take(asked: Asked, texts: Sequence[str | None], *, key: bytes) -> None:
    addresses = [read_address(text or "") for text in texts]
    good = [each for each in addresses if each is not None]
    asked.rows.update(read=len(texts), rejected=len(texts) - len(good))
    for hashed, address in zip(hashes_of(good, key), good, strict=True):
        asked.rows["duplicate"] += hashed in asked.addresses
        asked.addresses.setdefault(hashed, address)


def _remember(lake: Lake, sync: Sync, partition: str, hashes: set[bytes]) -> None:
    """Add these people to those who asked before: a request does not end when its row goes."""
    path = f"{OPT_OUTS_REQUESTED}/{sync.name}/{partition}.parquet"
    if lake.exists(path):
        for batch in lake.read(path):
            hashes |= {each for each in batch["address_hash"].storage.to_pylist() if each is not None}
    with lake.writer(path, _SCHEMA) as sink:
        sink.write(pa.table([pa.array(sorted(hashes), pa.binary(16)).cast(pa.uuid())], schema=_SCHEMA))


def done(store: Store, sync: Sync) -> set[bytes]:
    """The people whose request was carried out."""
    with (
        ledger.told(store.journal, store.lake, sync.name) as told,
        store.lake.scratch() as scratch,
        comparison.connect(scratch) as connection,
    ):
        found = connection.sql(f"select address_hash from ({comparison.told_sql(told)})").to_arrow_table()
    return {each.bytes for each in found["address_hash"].to_pylist()}


def at_mailtrap(client: MailtrapClient, store: Store) -> set[bytes]:
    """Everyone whom Mailtrap has, by an export: those it does not have cost no request."""
    path = refresh_people(client, store, now=datetime.now(UTC))
    return {
        each
        for batch in store.lake.read(path, ["address_hash"])
        for each in batch["address_hash"].storage.to_pylist()
        if each is not None
    }
