"""departures: people who said no to us are taken away at Mailtrap, one by one, before anything is sent in bulk.

Belongs here: finding them, their addresses, and doing it in steps that a killed run goes on from. Whoever is done has a
ledger row without a fingerprint: Mailtrap holds them no longer for this sync. Nobody is ever subscribed again. Not
here: who leaves and what that asks for (`rules/leaving`).
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from assets import contacts, metadata
from assets.account import OPT_OUTS_BY_US
from assets.delivery import ledger
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS
from assets.delivery.settling import settle_wholly
from assets.failures import told_to_dagster
from assets.partitions import (
    WHOLE,
    backfill_policy_of,
    label,
    partitions_of,
    partitions_of_run,
)
from assets.people.leavers import Leaver, find, named
from assets.plans import PlanConfig, keep_to_plan
from assets.rules.comparison import TOLD_SCHEMA
from assets.rules.leaving import act_of
from assets.rules.sync import Sync
from assets.summary import WITHOUT_ADDRESS, note_departed
from resources.errors import ConnectorError, RefusedError
from resources.journal import Lease
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import Contact
from resources.store.store import Store

SENDERS = 4
PEOPLE_PER_STEP = 40
REQUESTS_PER_PERSON = 2
"""One GET, so that nobody is made anew by being unsubscribed; one PATCH or DELETE."""
OPT_OUTS_SCHEMA = pa.schema([("address_hash", pa.uuid()), ("reason", pa.string())])


@dataclass(slots=True)
class Departed:
    """What came of it, in numbers."""

    by_act: Counter[str] = field(default_factory=Counter)
    """How many people were unsubscribed, unlisted, deleted."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How Mailtrap had them: done, already, not_there; and without_address, whom we could not name."""
    absent: int = 0
    """People of requests whom Mailtrap does not have: nothing was asked about them."""
    requests: int = 0

    def facts(self) -> dict[str, int]:
        """For the summary and the UI."""
        return {**self.by_act, **{f"people_{name}": count for name, count in self.outcomes.items()}}


def departures(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""

    @dg.asset(
        name="departures",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=owners,
        kinds={"mailtrap"},
        deps=[dg.AssetKey([sync.name, name]) for name in ("accepted_contacts", "rejections")],
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        pool="mailtrap",
        description="People whom Mailtrap was told about and who now say no: unsubscribed one by one, ahead of all "
        "imports; people whose consent lapsed leave the lists of this sync. Nobody is ever resubscribed.",
    )
    @told_to_dagster
    def _departures(
        context: dg.AssetExecutionContext,
        config: PlanConfig,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> dg.MaterializeResult[None]:
        partitions = partitions_of_run(context)
        keep_to_plan(mailtrap, store, sync, partitions=partitions, config=config)
        departed = depart(mailtrap, store, sync, partitions=partitions, run_id=context.run.run_id)
        facts: dict[str, Any] = {
            "who_left": metadata.counts(departed.by_act, nothing="Nobody left."),
            **departed.facts(),
            "requests": departed.requests,
            **({} if partitions == (WHOLE,) else {"partitions": label(partitions)}),
        }
        return dg.MaterializeResult(metadata=facts)

    return _departures


def depart(
    client: MailtrapClient, store: Store, sync: Sync, *, partitions: Sequence[str], run_id: str
) -> Departed:
    """Take away everyone of these partitions who leaves; goes on where a killed run stopped."""
    departed, before, bucket = Departed(), client.usage_counts, ledger.bucket_of(sync, partitions)
    verdicts, leavers = find(store, sync, partitions=partitions)
    contacts.stop_at_guards(verdicts)
    if leavers.num_rows:
        with store.journal.lease(
            f"account:{client.account_id}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS
        ) as lease:
            if any(act_of(sync, why) == "delete" for why in leavers["why"].unique().to_pylist()):
                settle_wholly(client, store, lease)  # an import that ends later would make the contact anew
            people = named(store.lake, sync, leavers, key=store.key, partitions=partitions)
            departed.outcomes[WITHOUT_ADDRESS] += leavers.num_rows - len(people)
            depart_all(client, store, sync, people=people, departed=departed, lease=lease, bucket=bucket)
            ledger.merge(store.journal, store.lake, sync.name, lease=lease, bucket=bucket)
    departed.requests = client.usage_counts.requests - before.requests
    departed.outcomes = +departed.outcomes
    nameless = {name: n for name, n in departed.outcomes.items() if name == WITHOUT_ADDRESS}
    gone = {**departed.by_act, **nameless}
    note_departed(store.lake, sync.name, run_id=run_id, gone=gone, requests=departed.requests)
    return departed


# Doing it


def depart_all(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    people: Sequence[Leaver],
    departed: Departed,
    lease: Lease,
    bucket: str | None = None,
) -> None:
    """Everybody, in steps."""
    for first in range(0, len(people), PEOPLE_PER_STEP):
        some = people[first : first + PEOPLE_PER_STEP]
        depart_some(client, store, sync, people=some, departed=departed, lease=lease, bucket=bucket)


def depart_some(
    client: MailtrapClient,
    store: Store,
    sync: Sync,
    *,
    people: Sequence[Leaver],
    departed: Departed,
    lease: Lease,
    bucket: str | None = None,
) -> None:
    """Some people at a time: all are looked at, then taken away; who is done is noted before an error ends the run.

    Whose no would go with their contact is remembered before the contact is deleted, so that no kill can lose it.
    """
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="depart") as pool:
        looks = list(pool.map(partial(_look, client), people))
        keep_out(store.lake, sync, _whose_no_would_be_lost(people, looks))
        outcomes = list(pool.map(partial(_take_away, client), people, looks))
    done = [
        (each, outcome)
        for each, outcome in zip(people, outcomes, strict=True)
        if not isinstance(outcome, ConnectorError)
    ]
    note_done(store, sync, [each for each, _ in done], lease=lease, bucket=bucket)
    for each, outcome in done:
        departed.outcomes[outcome] += 1
        departed.by_act[PAST[each.act]] += 1
    for problem in (each for each in outcomes if isinstance(each, ConnectorError)):
        raise problem


PAST: dict[str, str] = {"unsubscribe": "unsubscribed", "unlist": "unlisted", "delete": "deleted"}


def _look(client: MailtrapClient, leaver: Leaver) -> Contact | ConnectorError | None:
    """The contact, so that taking somebody away never makes them, and needs their address in no further URL."""
    try:
        return client.get_contact(leaver.address, lane="unsubscribe")
    except ConnectorError as error:
        return error


def _whose_no_would_be_lost(
    people: Sequence[Leaver], looks: Sequence[Contact | ConnectorError | None]
) -> list[Leaver]:
    return [
        each
        for each, contact in zip(people, looks, strict=True)
        if each.act == "delete" and isinstance(contact, Contact)
        if contact.unsubscribed or each.why == "requested"
    ]


def _take_away(
    client: MailtrapClient, leaver: Leaver, contact: Contact | ConnectorError | None
) -> str | ConnectorError:
    """One person, by the id that Mailtrap gave them."""
    if isinstance(contact, ConnectorError):
        return contact
    if contact is None:
        return "not_there"
    try:
        return _ask_to_take_away(client, leaver, contact)
    except RefusedError as error:
        return "not_there" if error.status == 404 else error  # gone since we looked
    except ConnectorError as error:
        return error


def _ask_to_take_away(client: MailtrapClient, leaver: Leaver, contact: Contact) -> str:
    if leaver.act == "delete":
        client.delete_contact(contact.id, lane="unsubscribe")
        return "done"
    lists = sorted(set(leaver.row["list_ids"] or ()) & set(contact.list_ids))
    if contact.status == "unsubscribed" if leaver.act == "unsubscribe" else not lists:
        return "already"
    client.upsert_contact(
        contact.id,
        email=leaver.address,
        unsubscribed=leaver.act == "unsubscribe",
        list_ids_excluded=lists if leaver.act == "unlist" else (),
        lane="unsubscribe",
    )
    return "done"


def note_done(
    store: Store, sync: Sync, people: Sequence[Leaver], *, lease: Lease, bucket: str | None = None
) -> None:
    """From here on the ledger knows that they are done."""
    if people:
        rows = told_no_longer(people)
        path = ledger.write_part(store.lake, sync.name, rows, bucket=bucket)
        store.journal.add_ledger_part(sync.name, path=path, rows=rows.num_rows, lease=lease)


def told_no_longer(people: Sequence[Leaver]) -> pa.Table:
    """Ledger rows: Mailtrap holds these people no longer for this sync. Requests are remembered for good."""
    rows = [
        {
            "address_hash": each.hash,
            "fingerprint": 0 if each.why == "requested" else None,
            "as_of": each.row["as_of"],
            "import_id": None,
            "list_ids": [],
            "partition": each.row["partition"],
        }
        for each in people
    ]
    return pa.Table.from_pylist(rows, TOLD_SCHEMA)


def keep_out(lake: Lake, sync: Sync, people: Sequence[Leaver]) -> None:
    """Remember people whose no went with their contact: a source that has them again must not bring them back."""
    if not people:
        return
    # Named after all of them, so that no other set of people ever takes the place of this one.
    digest = hashlib.sha256(b"".join(sorted(each.hash for each in people))).hexdigest()[:32]
    path = f"{OPT_OUTS_BY_US}/{sync.name}-{digest}.parquet"
    rows = [{"address_hash": each.hash, "reason": each.why} for each in people]
    with lake.writer(path, OPT_OUTS_SCHEMA) as sink:
        sink.write(pa.Table.from_pylist(rows, OPT_OUTS_SCHEMA))
