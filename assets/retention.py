"""Retention: what we keep of people, and for how long; what is older goes at the end of every sync, and once a day.

Belongs here: which table falls under which setting. Never removed by age: the ledger and the consent evidence of people
who are with Mailtrap, the keyed hashes of people who said no, tombstones, and receipts of erasures.
"""

from collections import Counter
from collections.abc import Collection
from typing import Literal

from assets.rules.sync import Sync
from resources.errors import LakeError
from resources.store.store import Store

Kept = Literal["extracts", "rejections", "exports", "summaries"]
DAY = 86_400.0
UNDER_WAY_SECONDS = 3600.0
"""Another run may be at work on files as young as this, whatever the settings say."""
TABLES: dict[str, Kept] = {
    "source_rows": "extracts",
    "accepted_contacts": "extracts",
    "accepted_events": "extracts",
    "pending_contacts": "extracts",
    "rejections": "rejections",
    "departures": "summaries",
}


def kept_as(path: str) -> Kept | None:
    """Under which setting a file falls; none: it is not removed by age."""
    parts = path.split("/")
    if parts[0] == "summaries":
        return "summaries"
    if parts[0] == "mailtrap":
        return "exports" if parts[1] == "exported_contacts" else None
    return TABLES.get(parts[1]) if len(parts) > 2 else None


def expire(store: Store, *, now: float, just_done: Collection[str] = ()) -> Counter[str]:
    """Remove what is older than its setting allows; gives how many files of each kind.

    `just_done` are files of a run that has ended: with a setting of 0 days they go at once.
    """
    gone: Counter[str] = Counter()
    open_paths = _open_paths(store)
    for path, age in store.lake.ages(now=now).items():
        kind = kept_as(path)
        if kind is None or path in open_paths:
            continue
        allowed = store.keep_days[kind] * DAY
        if age > (allowed if path in just_done else max(allowed, UNDER_WAY_SECONDS)):
            store.lake.delete(path)
            gone[kind] += 1
    gone["unfinished"] = store.lake.sweep(now=now, older_than_seconds=DAY)
    return +gone


def after_a_run(store: Store, sync: Sync, *, partitions: Collection[str], now: float) -> None:
    """The same at the end of a sync; a file that cannot be removed now does not make the sync fail."""
    tables = [name for name, kind in TABLES.items() if kind == "extracts"]
    just_done = {f"{sync.name}/{table}/{partition}.parquet" for table in tables for partition in partitions}
    just_done |= {each.path for each in store.journal.deliveries(sync.name) if each.state != "open"}
    try:
        expire(store, now=now, just_done=just_done)
    except LakeError:
        return


def _open_paths(store: Store) -> set[str]:
    """Pending contacts of deliveries that are not over: the next run goes on with them."""
    syncs = {path.split("/")[0] for path in store.lake.list() if "/pending_contacts/" in path}
    return {
        delivery.path
        for sync in syncs
        for delivery in store.journal.deliveries(sync, latest=1000)
        if delivery.state == "open"
    }
