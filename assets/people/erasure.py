"""Erasure: a person is deleted at Mailtrap, taken out of every table that we keep, and never brought back.

The order, each step safe to repeat after a kill:
    tombstone `begun`     from here on nothing is sent to them, whatever a source, a backfill or a backup says
    settle                imports under way are awaited: one that ends later could make the contact anew
    delete, read back     until Mailtrap answers 404; tombstone `deleted`
    clean                 every table of the lake, whoever made it; tombstone `erased`
    receipt               numbers, ids and keyed hashes only

A backup that is restored holds them again: `erase_again` takes out everybody who has a tombstone, without an address.

Belongs here: this order and the places. Not here: what counts as a person's row (`rules/traces`), and leaving erased
people out of new tables (`source_rows`, `account`, `exports`, `changes`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assets.account import PEOPLE, SUPPRESSIONS, UNSUBSCRIBED
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS
from assets.delivery.settling import settle_wholly
from assets.people.cleaning import Places, clean_file, place_of
from assets.rules import cells
from assets.rules.sync import Sync
from assets.rules.traces import HASHES, People, is_of, read_address
from assets.steady import ERASURE, WAIT_SECONDS
from resources import tombstones
from resources.errors import SettingsError, UnfinishedError
from resources.journal import Lease
from resources.lake import Lake
from resources.mailtrap.client import Counts, MailtrapClient
from resources.store.store import Store

SENDERS = 4
PEOPLE_PER_STEP = 40
READ_BACK_PAUSES = (0.0, 1.0, 2.0, 4.0)
STAYS_WITH_MAILTRAP = (
    "suppressions of the address, so that nothing is sent to it (they are never deleted by us)",
    "e-mail logs, statistics and events of mails that were sent, until Mailtrap's own retention ends",
)
STAYS_ELSEWHERE = (
    "the warehouse: it is the source of truth, and nothing of ours writes to it but the table of opt-outs",
    "files that people had written with `export --out`, and backups: run `erase --again` after one is restored",
)


@dataclass(frozen=True, slots=True)
class Requested:
    """The people of a file, and the numbers of the lines that name nobody."""

    addresses: tuple[str, ...]
    spellings: Mapping[str, str] = field(repr=False)
    unreadable_lines: tuple[int, ...]


def read_file(path: str) -> Requested:
    """One address a line; blank lines and lines that begin with # are passed over, others must name somebody."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise SettingsError(
            f"The file of people to erase cannot be read ({error.strerror or type(error).__name__}).",
            "Nobody was erased.",
            "Give the path of a text file with one address a line.",
        ) from None
    found: dict[str, str] = {}
    unreadable = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        address = read_address(text)
        if address is None:
            unreadable.append(number)
        else:
            found.setdefault(address, text.lower())
    return Requested(tuple(found), found, tuple(unreadable))


def erase(
    client: MailtrapClient,
    store: Store,
    requested: Requested,
    *,
    syncs: Sequence[Sync],
    run_id: str,
    forget: Callable[[Sequence[str]], int | None] = lambda _: None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Erase people for good; gives the receipt, which is also kept.

    `forget` removes addresses from the table that opt-outs are written back to, if there is one.
    """
    work = _Work(client, store, run_id, clock)
    people = People.of_addresses(requested.addresses, key=store.key)
    hashes = people.hashes.to_pylist()
    by_hash = dict(zip(hashes, requested.addresses, strict=True))
    begin(store, hashes)
    if hashes:
        with work.account() as lease:
            settle_wholly(client, store, lease)
            work.deleted = delete_at_mailtrap(
                client, store, by_hash, spellings=requested.spellings, sleep=sleep
            )
            work.places = clean_lake(store, people, syncs=syncs, now=clock())
            work.places.rows["written back"] += forget(requested.addresses) or 0
            tombstones.bury(store.home, store.journal, hashes, state="erased")
    return work.receipt(hashes, unreadable_lines=list(requested.unreadable_lines))


def erase_again(
    client: MailtrapClient,
    store: Store,
    *,
    syncs: Sequence[Sync],
    run_id: str,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Take everybody who has a tombstone out of every table: the step after a restore. Gives the receipt.

    Nobody knows their addresses any more, so Mailtrap is not asked about them; whose deletion was begun and not
    finished is counted, for `erase` with their file.
    """
    work = _Work(client, store, run_id, clock)
    known = store.journal.tombstones()
    if known:
        with work.account() as lease:
            settle_wholly(client, store, lease)
            people = People.of_hashes(known, key=store.key)
            work.places = clean_lake(store, people, syncs=syncs, now=clock())
            deleted = [each for each, state in known.items() if state == "deleted"]
            tombstones.bury(store.home, store.journal, deleted, state="erased")
    begun = sum(state == "begun" for state in known.values())
    return work.receipt(sorted(known), again=True, not_deleted_yet=begun)


@dataclass(slots=True)
class _Work:
    """One erasure under way, and what its receipt will say."""

    client: MailtrapClient
    store: Store
    run_id: str
    clock: Callable[[], float]
    began: float = field(init=False)
    before: Counts = field(init=False)
    deleted: Counter[str] = field(default_factory=Counter)
    places: Places = field(default_factory=Places)

    def __post_init__(self) -> None:
        self.began, self.before = self.clock(), self.client.usage_counts

    def account(self) -> AbstractContextManager[Lease]:
        """Alone with the account, so that no run sends meanwhile."""
        return self.store.journal.lease(
            f"account:{self.client.account_id}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS
        )

    def receipt(self, hashes: Sequence[bytes], **more: Any) -> dict[str, Any]:
        """What was done, without personal data; kept in the lake, with the tombstones beside it."""
        used = self.client.usage_counts
        found = {
            "schema": 1,
            "run_id": self.run_id,
            "erased_at": datetime.fromtimestamp(self.clock(), UTC).isoformat(),
            "seconds": round(self.clock() - self.began, 3),
            "people": len(hashes),
            "address_hashes": [each.hex() for each in hashes],
            **more,
            "at_mailtrap": {"deleted": self.deleted["deleted"], "not_there": self.deleted["not_there"]},
            "places": self.places.as_dict(),
            "requests": used.requests - self.before.requests,
            "retries": used.retries - self.before.retries,
            "stays_with_mailtrap": list(STAYS_WITH_MAILTRAP),
            "stays_elsewhere": list(STAYS_ELSEWHERE),
        }
        self.store.bring_tombstones_together()
        self.store.lake.write_bytes(receipt_path(self.run_id), json.dumps(found, indent=1).encode())
        return found


def receipt_path(run_id: str) -> str:
    """Where the receipt of an erasure lies."""
    return f"receipts/erasure-{run_id}.json"


def begin(store: Store, hashes: Sequence[bytes]) -> None:
    """Put up tombstones, but for people whose erasure is further on already."""
    known = store.journal.tombstones()
    tombstones.bury(
        store.home, store.journal, [each for each in hashes if known.get(each) != "deleted"], state="begun"
    )
    store.bring_tombstones_together()


# At Mailtrap


def delete_at_mailtrap(
    client: MailtrapClient,
    store: Store,
    by_hash: Mapping[bytes, str],
    *,
    spellings: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Counter[str]:
    """Delete everyone who is not deleted yet, and believe only a 404; goes on where a killed run stopped."""
    found: Counter[str] = Counter()
    known = store.journal.tombstones()
    waiting = [each for each in by_hash if known.get(each) != "deleted"]
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="erase") as pool:
        for first in range(0, len(waiting), PEOPLE_PER_STEP):
            some = waiting[first : first + PEOPLE_PER_STEP]
            addresses = [by_hash[each] for each in some]
            outcomes = list(
                pool.map(lambda address: _delete(client, address, spellings[address], sleep), addresses)
            )
            found.update(outcomes)
            gone = [each for each, outcome in zip(some, outcomes, strict=True) if outcome != "still_there"]
            tombstones.bury(store.home, store.journal, gone, state="deleted")
    if found["still_there"]:
        raise UnfinishedError(
            f"Mailtrap still has {found['still_there']} of {len(by_hash)} people after their deletion.",
            "Their tombstones stand: nothing is sent to them. The tables here are not cleaned yet.",
            "Run the erasure again with the same file; it goes on where it stopped.",
        )
    return found


def _delete(client: MailtrapClient, address: str, spelling: str, sleep: Callable[[float], None]) -> str:
    """Delete by the canonical address, and by the spelling that was given where that is another one."""
    names = [address, *([spelling] if _is_another(spelling, address) else [])]
    was_there = [client.delete_contact(name, lane="erasure") for name in names]
    if all(_is_gone(client, name, sleep) for name in names):
        return "deleted" if any(was_there) else "not_there"
    return "still_there"


def _is_another(spelling: str, address: str) -> bool:
    return spelling != address and spelling.count("@") == 1 and not set(spelling) & set(" <>\"',;:\t")


def _is_gone(client: MailtrapClient, name: str, sleep: Callable[[float], None]) -> bool:
    for pause in READ_BACK_PAUSES:
        sleep(pause)
        if client.get_contact(name, lane="erasure") is None:
            return True
    return False


# In the lake


def clean_lake(store: Store, people: People, *, syncs: Sequence[Sync], now: float) -> Places:
    """Take people out of every table, and remove what killed runs left unfinished."""
    places = Places()
    emails = {sync.name: sync.email for sync in syncs}
    keys = {sync.name: sync.source.key for sync in syncs}
    with ExitStack() as stack:
        for path in (SUPPRESSIONS, UNSUBSCRIBED, PEOPLE):  # not while somebody refreshes them
            stack.enter_context(store.journal.lease(f"refresh:{path}", wait_seconds=WAIT_SECONDS))
        stack.enter_context(store.journal.lease(ERASURE, wait_seconds=WAIT_SECONDS))
        tables = [path for path in store.lake.list() if path.endswith(".parquet")]
        sent = _delivered(store, syncs)
        named = {
            name: source_keys_of(store.lake, tables, people, sync=name, email=emails[name], key=keys[name])
            for name in keys
        }
        for path in tables:
            folder = path.split("/")[0]
            if path in sent:
                _forget_delivered(store.lake, path, people, places)
                continue
            refused = named.get(folder, {}) if "/rejections/" in path else {}
            clean_file(store.lake, path, people, email=emails.get(folder), source_keys=refused, places=places)
        store.lake.sweep(now=now, older_than_seconds=3600.0)
    return places


def _delivered(store: Store, syncs: Sequence[Sync]) -> set[str]:
    """Files of pending contacts whose delivery has ended: its records count rows by position, so none may move."""
    found = (store.journal.deliveries(sync.name, latest=1_000_000) for sync in syncs)
    return {delivery.path for each in found for delivery in each}


def _forget_delivered(lake: Lake, path: str, people: People, places: Places) -> None:
    """A file that was sent is needed no more: it goes as a whole when it holds one of them."""
    theirs = sum(
        int(is_of(pa.Table.from_batches([batch]), people).sum())
        for batch in lake.read(path, ["address_hash", "email"])
    )
    if theirs:
        lake.delete(path)
        places.rows[place_of(path)] += theirs
        places.files[place_of(path)] += 1


def source_keys_of(
    lake: Lake, tables: Sequence[str], people: People, *, sync: str, email: str, key: str | None
) -> dict[str, set[str]]:
    """By what the source calls these people, for rejections of rows whose address was none: under "" where the key is
    the same in all tables, else under the name of the one file whose positions they are."""
    found: dict[str, set[str]] = {}
    for path in tables:
        if not path.startswith(f"{sync}/"):
            continue
        if "/source_rows/" in path:
            name = "" if key else path.split("/")[-1]
            found.setdefault(name, set()).update(_keys_in_source(lake, path, people, email, key))
        elif key and (column := _key_column(lake.schema(path))):
            for batch in lake.read(path, column):
                table = pa.Table.from_batches([batch])
                theirs = table.filter(pa.array(is_of(table, people)))
                found.setdefault("", set()).update(each for each in theirs[column[1]].to_pylist() if each)
    return found


def _key_column(schema: pa.Schema) -> list[str]:
    hashed = [name for name in schema.names if name in HASHES]
    keyed = [name for name in schema.names if name in ("source_key", "_source_key")]
    return [hashed[0], keyed[0]] if hashed and keyed else []


def _keys_in_source(lake: Lake, path: str, people: People, email: str, key: str | None) -> Iterator[str]:
    position = 0
    if email not in lake.schema(path).names or (key and key not in lake.schema(path).names):
        return
    for batch in lake.read(path, [email, *([key] if key and key != email else [])]):
        table = pa.Table.from_batches([batch])
        places = np.flatnonzero(is_of(table, people, email=email))
        if key:
            yield from (
                each
                for each in cells.as_text(cells.plain(table[key])).take(pa.array(places)).to_pylist()
                if each
            )
        else:
            yield from map(str, places + position)
        position += table.num_rows
