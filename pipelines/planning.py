"""`mailtrap-contacts plan`: what a sync would do, and what it would cost; reads only, keeps nothing of its own.

The same steps as a run, over a lake of its own that is gone afterwards; ledger, lists and withheld people are the real
ones. Not here: the steps themselves.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets import contacts, departures, exports
from assets.changes import Found
from assets.delivery import ledger, refusals
from assets.partitions import WHOLE, file_of, partitions_of
from assets.people.gone import told_people
from assets.plans import Foreseen, foresee
from assets.preparation import knowing_lists
from assets.rules import comparison, guards
from assets.rules.leaving import act_of
from assets.rules.pace import REQUESTS_PER_PAYLOAD, in_words, waiting_seconds
from assets.rules.sync import Sync
from assets.source_rows import erased_people, extract
from pipelines import printing
from pipelines.definitions import read_syncs
from pipelines.foretelling import foretold
from pipelines.sources import opened_source
from pipelines.syncing import RANGE, partition_tags, sync_named
from pipelines.watching import left_of_limit
from resources import settings
from resources.home import private_file
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client
from resources.settings import Settings
from resources.store.store import Store, open_store
from resources.warehouses import Warehouse


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on."""

    known: Settings
    client: MailtrapClient
    store: Store


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
    with standing(known) as ground, opened_source(chosen, environ) as source:
        wanted = partitions_wanted(chosen, partition)
        found = planned(ground, chosen, source=source, partitions=wanted, full=full)
    if out is not None:
        with private_file(out) as stream:
            stream.write((json.dumps(found, indent=1) + "\n").encode())
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
    """Client and store, open for as long as the block takes."""
    with open_store(known) as store, open_client(known) as client:
        yield Ground(known, client, store)


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


def planned(
    ground: Ground, chosen: Sync, *, source: Warehouse, partitions: Sequence[str], full: bool = False
) -> dict[str, Any]:
    """The plan as numbers."""
    began, store = datetime.now(UTC), ground.store
    if chosen.kind != "contacts":
        limit = ground.known.contacts_limit
        return foretold(ground.client, store, source, chosen=chosen, partitions=partitions, limit=limit)
    with store.lake.scratch() as folder:
        tables, knowing = Lake(folder), knowing_lists(ground.client, chosen)
        for partition in partitions:
            extract(source, tables, chosen, partition=partition, erased=erased_people(store))
            contacts.screen(tables, knowing, partition=partition, key=store.key, now=began)
        foreseen = foresee(ground.client, store, chosen, partitions=partitions, tables=tables, resend=full)
        rows = _added(foreseen.found.by_partition.values())
        screened = [contacts.facts_of(tables, chosen, partition) for partition in partitions]
        return {
            "schema": 1,
            "plan": True,
            "sync": chosen.name,
            "partition": None if tuple(partitions) == (WHOLE,) else f"{partitions[0]}{RANGE}{partitions[-1]}",
            "full": full,
            "run_id": None,
            "started_at": began.isoformat(),
            **_where_rows_go(rows, screened, refused=rows["refused"]),
            "changed_by_field": changed_by_field(
                store.lake, tables, chosen, found=foreseen.found, partitions=partitions
            ),
            "gone": _leaving(chosen, foreseen),
            **_cost(ground, foreseen),
            **_room(ground, new=rows["new"]),
            "guards": _guards(store, chosen, foreseen, rows=rows),
            "problems": [str(each) for each in foreseen.seen.problems],
            "would_create": {
                "lists": list(foreseen.new_lists),
                "fields": [each.merge_tag for each in foreseen.seen.to_create_fields],
            },
            "digest": foreseen.digest,
            "seconds": round((datetime.now(UTC) - began).total_seconds(), 3),
        }


def _where_rows_go(
    rows: Mapping[str, int], screened: Sequence[Mapping[str, Any]], *, refused: int
) -> dict[str, Any]:
    places = {name: rows.get(name, 0) for name in ("read", *guards.OUTCOMES)}
    return {
        "outcome": "ok",
        "rows": places | {"accepted": places["pending"], "pending": 0},
        "new": rows.get("new", 0),
        "changed": rows.get("changed", 0),
        "rejected_by_reason": _added(each.get("rejected_by_reason", {}) for each in screened)
        | refusals.counted(refused),
        "no_consent_by_reason": _added(each.get("no_consent_by_reason", {}) for each in screened),
    }


def _leaving(chosen: Sync, foreseen: Foreseen) -> dict[str, int]:
    """How many people would be unsubscribed, taken off lists, or deleted, one by one, before anything is sent."""
    counts: Counter[str] = Counter()
    for each in foreseen.leavers["why"].value_counts().to_pylist():
        counts[departures.PAST[act_of(chosen, each["values"])]] += each["counts"]
    in_imports = {} if chosen.when_gone in ("unsubscribe", "delete") else foreseen.found.gone
    return {**in_imports, **counts}


def _cost(ground: Ground, foreseen: Foreseen) -> dict[str, Any]:
    """Requests, and the minutes that they take with what is left of the account's limit."""
    payloads = math.ceil(foreseen.found.rows / ground.known.rows_per_payload)
    looks = ground.client.usage_counts.requests  # a run looks up the same: lists, fields, who is withheld
    leaving = foreseen.leavers.num_rows * departures.REQUESTS_PER_PERSON
    requests = looks + payloads * REQUESTS_PER_PAYLOAD + leaving
    left, limit = left_of_limit(ground.known), ground.known.contacts_limit
    waits = waiting_seconds(requests, left=left, per_window=limit.requests, window_seconds=limit.seconds)
    return {
        "payloads": payloads,
        "imports": [],
        "requests": requests,
        "requests_left": left,
        "minutes": round(waits / 60, 2),
        "retries": 0,
        "ambiguous": 0,
    }


def _room(ground: Ground, *, new: int) -> dict[str, Any]:
    """Contacts of the account against its plan: as many as the last export had, and those that would be new."""
    lake = ground.store.lake
    known = lake.rows(exports.LATEST) if lake.exists(exports.LATEST) else None
    limit = ground.known.plan_contacts
    over = None if known is None or limit is None else max(known + new - limit, 0)
    return {"contacts": {"in_last_export": known, "new": new, "plan_allows": limit, "over": over}}


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
    title, reasons = f"Plan of {found['sync']}", found["rejected_by_reason"]
    printing.show_rows(title, found["rows"], reasons=reasons, planned=True)
    lines = [("new", found["new"]), ("changed", found["changed"])]
    lines += [(f"  {tag}", count) for tag, count in sorted(found["changed_by_field"].items())]
    lines += [(f"{name}, one by one", count) for name, count in sorted(found["gone"].items())]
    lines += [("payloads", found["payloads"]), ("requests", found["requests"])]
    cost = [(name, f"{count:,}") for name, count in lines]
    printing.show(
        "What it would do",
        [*cost, ("waiting for the limit", in_words(60 * found["minutes"])), *_against_plan(found)],
    )
    for created, names in found["would_create"].items():
        if names:
            printing.say(f"Would create {created}: {', '.join(names)}.")
    printing.warn(*found["problems"], *found["guards"])


def _against_plan(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    room = found.get("contacts") or {}
    if room.get("plan_allows") is None:
        return []
    known = (
        "unknown: take an export first" if room["in_last_export"] is None else f"{room['in_last_export']:,}"
    )
    over = [("over the plan", f"{room['over']:,}")] if room["over"] else []
    return [("contacts at Mailtrap", known), ("contacts the plan allows", f"{room['plan_allows']:,}"), *over]


def _guards(store: Store, chosen: Sync, foreseen: Foreseen, *, rows: Mapping[str, int]) -> list[str]:
    verdicts = [*contacts.judge(chosen, rows), *foreseen.verdicts]
    if foreseen.found.gone:
        with ExitStack() as stack:
            connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
            told = stack.enter_context(ledger.told(store.journal, store.lake, chosen.name))
            held = told_people(connection, told)
        verdicts.append(guards.too_many_gone(chosen, gone=sum(foreseen.found.gone.values()), told=held))
    return [f"A guard would stop this: {each.happened} {each.remedy}" for each in verdicts if each.stops]


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
