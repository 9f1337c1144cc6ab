"""What a sync of events, or a table of requests, would do: the plan of the kinds that work one person at a time.

The same numbers as the plan of contacts. Not here: that one (`planning`), and how either is shown.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from assets import events, requests
from assets.changes import known_about
from assets.departures import PAST, REQUESTS_PER_PERSON
from assets.partitions import WHOLE, label
from assets.rules import guards
from assets.rules.leaving import act_of, too_many_leave
from assets.rules.sync import Sync
from assets.source_rows import erased_people, extract
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.settings import Rate
from resources.store.store import Store
from resources.warehouses.contract import Warehouse


def foretold(
    client: MailtrapClient,
    store: Store,
    warehouse: Warehouse,
    *,
    chosen: Sync,
    partitions: Sequence[str],
    limit: Rate,
) -> dict[str, Any]:
    """The plan as numbers; sends nothing and keeps nothing of its own."""
    began = datetime.now(UTC)
    with store.lake.scratch() as folder:
        tables = Lake(folder)
        for each in partitions:
            extract(warehouse, tables, chosen, partition=each, erased=erased_people(store))
        look = _events if chosen.kind == "events" else _requests
        numbers = look(client, store, chosen, tables=tables, partitions=partitions, began=began)
    rows: Counter[str] = numbers.pop("counts")
    return {
        "schema": 1,
        "plan": True,
        "sync": chosen.name,
        "partition": None if tuple(partitions) == (WHOLE,) else label(partitions),
        "run_id": None,
        "started_at": began.isoformat(),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 3),
        "outcome": "ok",
        "rows": {name: rows[name] for name in ("read", *guards.OUTCOMES)},
        "new": rows["accepted"],
        "changed": 0,
        "changed_by_field": {},
        "no_consent_by_reason": {},
        "payloads": 0,
        "imports": [],
        "minutes": round(numbers["requests"] * limit.seconds / limit.requests / 60, 2),
        "retries": 0,
        "ambiguous": 0,
        "problems": [],
        "would_create": {"lists": [], "fields": []},
        "digest": "",
        **numbers,
    }


def _events(
    client: MailtrapClient,
    store: Store,
    chosen: Sync,
    *,
    tables: Lake,
    partitions: Sequence[str],
    began: datetime,
) -> dict[str, Any]:
    rows, reasons = Counter[str](), Counter[str]()
    knowledge = known_about(client, store, chosen)
    for partition in partitions:
        found = events.screen(store, chosen, partition, now=began, tables=tables)
        rows.update({name: count for name, count in found.rows.items() if name != "accepted"})
        reasons.update(found.rejected_by_reason)
        for batch in events.pending(store, chosen, partition, knowledge=knowledge, tables=tables):
            fates = Counter(batch["fate"].to_pylist())
            rows.update(accepted=fates.pop("pending", 0), **fates)
    return {
        "counts": rows,
        "requests": rows["accepted"],
        "gone": {},
        "rejected_by_reason": dict(reasons),
        "guards": [],
    }


def _requests(
    client: MailtrapClient,
    store: Store,
    chosen: Sync,
    *,
    tables: Lake,
    partitions: Sequence[str],
    began: datetime,  # noqa: ARG001
) -> dict[str, Any]:
    asked = requests.read(store, chosen, partitions=partitions, tables=tables)
    waiting = set(asked.addresses) - requests.done(store, chosen)
    here = requests.at_mailtrap(client, store) if waiting else set[bytes]()
    leaving = len(waiting & here)
    asked.rows.update(accepted=leaving, unchanged=len(asked.addresses) - leaving)
    verdict = too_many_leave(chosen, leaving=leaving, told=len(here))
    return {
        "counts": asked.rows,
        "requests": leaving * REQUESTS_PER_PERSON,
        "gone": {PAST[act_of(chosen, "requested")]: leaving} if leaving else {},
        "rejected_by_reason": {"address_invalid": asked.rows["rejected"]} if asked.rows["rejected"] else {},
        "guards": [f"A guard would stop this: {verdict.happened} {verdict.remedy}"] if verdict.stops else [],
    }
