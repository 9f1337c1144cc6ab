"""`mailtrap-contacts plan`: what a sync would do, and what it would cost; reads only, keeps nothing of its own.

The same steps as a run, over a lake of its own that is gone afterwards; ledger, lists and withheld people are the real
ones. Not here: the steps themselves.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets import contacts, departures, ledger
from assets.changes import Found, digest_of, find_pending, known_about, names_in_rows, told_people
from assets.partitions import WHOLE, file_of, partitions_of
from assets.preparation import by_name_of, inspected, knowing_lists, list_ids, new_lists
from assets.rules import comparison, guards
from assets.rules.leaving import act_of
from assets.rules.sync import Sync
from assets.source_rows import erased_people, extract
from pipelines import printing
from pipelines.definitions import read_syncs
from pipelines.foretelling import foretold
from pipelines.syncing import RANGE, partition_tags, sync_named
from resources import settings
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client
from resources.settings import Settings
from resources.store.store import Store, open_store
from resources.warehouses import Warehouse, connect

REQUESTS_PER_PAYLOAD = 2
"""One POST, one GET that finds it finished."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on."""

    known: Settings
    client: MailtrapClient
    store: Store
    warehouse: Warehouse


def plan(
    environ: Mapping[str, str],
    *,
    sync: str,
    partition: str | None = None,
    full: bool = False,
    out: Path | None = None,
    picture: Path | None = None,
    as_json: bool = False,
) -> int:
    """Say what `sync` would do."""
    known = settings.read(environ)
    chosen = sync_named(read_syncs(environ), sync)
    with standing(known) as ground:
        found = planned(ground, chosen, partitions=partitions_wanted(chosen, partition), full=full)
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n")
    if picture is not None:
        from pipelines.picture import draw

        draw([("plan", found)], picture, title=f"Where every row of {chosen.name} would go")
    if as_json:
        printing.print_json(found)
    else:
        show(found)
    return 0


@contextmanager
def standing(known: Settings) -> Iterator[Ground]:
    """Client, store and warehouse, open for as long as the block takes."""
    with ExitStack() as stack:
        store = stack.enter_context(
            open_store(
                str(known.home),
                lake=known.lake,
                journal=known.journal,
                key=known.key,
                rows_per_payload=known.rows_per_payload,
                bytes_per_payload=known.bytes_per_payload,
                poll_seconds=known.poll_seconds,
                job_deadline_seconds=known.job_deadline_seconds,
                tombstones=known.tombstones,
            )
        )
        client = stack.enter_context(open_client(known))
        warehouse = connect(known.warehouse)
        stack.callback(warehouse.close)
        yield Ground(known, client, store, warehouse)


def partitions_wanted(chosen: Sync, partition: str | None) -> tuple[str, ...]:
    """The partitions of a plan: those named, or all."""
    definition = partitions_of(chosen)
    tags, key = partition_tags(chosen, partition)
    if definition is None:
        return (WHOLE,)
    if key is not None:
        return (key,)
    keys = definition.get_partition_keys()
    first, last = (tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    return tuple(keys[keys.index(first) : keys.index(last) + 1])


def planned(ground: Ground, chosen: Sync, *, partitions: Sequence[str], full: bool = False) -> dict[str, Any]:
    """The plan as numbers."""
    began = datetime.now(UTC)
    store = ground.store
    if chosen.kind != "contacts":
        limit = ground.known.contacts_limit
        return foretold(
            ground.client, store, ground.warehouse, chosen=chosen, partitions=partitions, limit=limit
        )
    with store.lake.scratch() as folder:
        tables, screened = Lake(folder), knowing_lists(ground.client, chosen)
        for partition in partitions:
            extract(ground.warehouse, tables, chosen, partition=partition, erased=erased_people(store))
            contacts.screen(tables, screened, partition=partition, key=store.key, now=began)
        seen, lists = inspected(ground.client, chosen)
        new = new_lists(chosen, seen, lists, names=names_in_rows(tables, chosen, partitions))
        found = find_pending(
            store,
            chosen,
            partitions=partitions,
            run_id="plan",
            knowledge=known_about(ground.client, store, chosen),
            lists=list_ids(chosen, by_name_of(lists) | dict.fromkeys(new, 0)),
            resend=full,
            tables=tables,
            guarded=False,
        )
        facts = json.loads(tables.metadata(found.path)["facts"])
        return _numbers(ground, chosen, found, partitions=partitions, tables=tables, began=began) | {
            "problems": [str(each) for each in seen.problems],
            "would_create": {
                "lists": list(new),
                "fields": [each.merge_tag for each in seen.to_create_fields],
            },
            "digest": digest_of(tables, found.path, facts),
        }


def _numbers(
    ground: Ground, chosen: Sync, found: Found, *, partitions: Sequence[str], tables: Lake, began: datetime
) -> dict[str, Any]:
    rows: Counter[str] = Counter()
    for each in found.by_partition.values():
        rows.update(each)
    pending = rows["pending"]
    payloads = math.ceil(found.rows / ground.known.rows_per_payload)
    limit = ground.known.contacts_limit
    leaving = departing(ground.store, chosen, partitions=partitions, tables=tables)
    looks = ground.client.usage_counts.requests  # a run looks up the same: lists, fields, who is withheld
    requests = (
        looks + payloads * REQUESTS_PER_PAYLOAD + sum(leaving.gone.values()) * departures.REQUESTS_PER_PERSON
    )
    screened = [contacts.facts_of(tables, chosen, partition) for partition in partitions]
    return {
        "schema": 1,
        "plan": True,
        "sync": chosen.name,
        "partition": None if tuple(partitions) == (WHOLE,) else f"{partitions[0]}{RANGE}{partitions[-1]}",
        "run_id": None,
        "started_at": began.isoformat(),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 3),
        "outcome": "ok",
        "rows": {name: rows[name] for name in ("read", *guards.OUTCOMES)}
        | {"accepted": pending, "pending": 0},
        "new": rows["new"],
        "changed": rows["changed"],
        "changed_by_field": changed_by_field(
            ground.store.lake, tables, chosen, found=found, partitions=partitions
        ),
        "rejected_by_reason": _summed(screened, "rejected_by_reason"),
        "no_consent_by_reason": _summed(screened, "no_consent_by_reason"),
        "gone": leaving.gone
        if chosen.when_gone in ("unsubscribe", "delete")
        else {**found.gone, **leaving.gone},
        "payloads": payloads,
        "imports": [],
        "requests": requests,
        "minutes": round(requests * limit.seconds / limit.requests / 60, 2),
        "retries": 0,
        "ambiguous": 0,
        "guards": [
            *_guards(ground.store, chosen, found, rows=rows),
            *(_sentence(each) for each in leaving.verdicts if each.stops),
        ],
    }


def changed_by_field(
    former: Lake, tables: Lake, chosen: Sync, *, found: Found, partitions: Sequence[str]
) -> dict[str, int]:
    """In how many of the changed contacts each field differs from the accepted contacts of the last run."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        connection = stack.enter_context(comparison.connect(stack.enter_context(tables.scratch())))
        pending = stack.enter_context(tables.local(found.path))
        for partition in partitions:
            path = file_of(chosen, "accepted_contacts", partition)
            if not former.exists(path):
                continue
            before, after = stack.enter_context(former.local(path)), stack.enter_context(tables.local(path))
            names = set(former.schema(path).names)
            tags = [rule.merge_tag for rule in chosen.fields if rule.merge_tag in names]
            counts.update(comparison.differing(connection, before, after, among=pending, columns=tags))
    return {tag: count for tag, count in counts.items() if count}


def show(found: Mapping[str, Any]) -> None:
    """The plan as tables."""
    printing.show_rows(f"Plan of {found['sync']}", found["rows"], reasons=found["rejected_by_reason"])
    lines = [("new", found["new"]), ("changed", found["changed"])]
    lines += [(f"  {tag}", count) for tag, count in sorted(found["changed_by_field"].items())]
    lines += [
        ("gone", sum(found["gone"].values())),
        ("payloads", found["payloads"]),
        ("requests", found["requests"]),
    ]
    printing.show(
        "", [*((name, f"{count:,}") for name, count in lines), ("minutes", f"{found['minutes']:g}")]
    )
    for created, names in found["would_create"].items():
        if names:
            printing.say(f"Would create {created}: {', '.join(names)}.")
    printing.say(*found["problems"], *found["guards"])


def _guards(store: Store, chosen: Sync, found: Found, *, rows: Mapping[str, int]) -> list[str]:
    verdicts = contacts.judge(chosen, rows)
    if found.gone:
        with ExitStack() as stack:
            connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
            told = stack.enter_context(ledger.told(store.journal, store.lake, chosen.name))
            held = told_people(connection, told, None)
        verdicts.append(guards.too_many_gone(chosen, gone=sum(found.gone.values()), told=held))
    return [_sentence(each) for each in verdicts if each.stops]


@dataclass(frozen=True, slots=True)
class Leaving:
    """How many people would be taken away, by what would be done, and what the guards say to it."""

    gone: dict[str, int]
    verdicts: Sequence[guards.Verdict]


def departing(store: Store, chosen: Sync, *, partitions: Sequence[str], tables: Lake) -> Leaving:
    """Who would be unsubscribed, taken off lists, or deleted, one by one, before anything is sent."""
    verdicts, leavers = departures.find(store, chosen, partitions=partitions, tables=tables)
    counts: Counter[str] = Counter()
    for each in leavers["why"].value_counts().to_pylist():
        counts[departures.PAST[act_of(chosen, each["values"])]] += each["counts"]
    return Leaving(dict(counts), verdicts)


def _sentence(verdict: guards.Verdict) -> str:
    return f"A guard would stop this: {verdict.happened} {verdict.remedy}"


def _summed(screened: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for each in screened:
        counts.update(each.get(name, {}))
    return dict(counts)
