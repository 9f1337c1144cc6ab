"""Who must not be written to, as local files that DuckDB reads: erased, suppressed, unsubscribed, without consent.

Belongs here: where each of these is written down. Not here: what it means for a contact (`rules/comparison`).
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets.account import OPT_OUTS_BY_US, OPT_OUTS_REQUESTED, Knowledge
from assets.partitions import file_of
from assets.rules.comparison import Withheld
from assets.rules.sync import DayPartition, Sync
from resources.lake import Lake
from resources.store.store import Store


def withheld_from(
    stack: contextlib.ExitStack,
    store: Store,
    sync: Sync,
    *,
    knowledge: Knowledge,
    partitions: Sequence[str],
    tables: Lake,
) -> Withheld:
    """Who must not be written to, as local files."""

    def local(paths: Sequence[str], lake: Lake = store.lake) -> tuple[Path, ...]:
        return stack.enter_context(lake.all_local([path for path in paths if lake.exists(path)]))

    days: tuple[Path, ...] = ()
    if isinstance(sync.source.partition, DayPartition):
        here = {file_of(sync, "no_consent", partition) for partition in partitions}
        days = local([path for path in store.lake.list(f"{sync.name}/no_consent") if path not in here])
        # A day settles its own conflicts; days that are compared together settle theirs here.
        days += local(sorted(here), tables) if len(here) > 1 else ()
    return Withheld(
        erased=tombstones_as_file(stack, store),
        suppressed=local([knowledge.suppressions]),
        unsubscribed=local(
            [
                knowledge.unsubscribed,
                *(
                    each
                    for folder in (OPT_OUTS_BY_US, OPT_OUTS_REQUESTED)
                    for each in store.lake.list(folder)
                ),
            ]
        ),
        no_consent=days,
    )


def existing_people(stack: contextlib.ExitStack, lake: Lake, *, knowledge: Knowledge) -> Path | None:
    """The people Mailtrap has, where it was asked for them."""
    if knowledge.contacts is None:
        return None
    return stack.enter_context(lake.local(knowledge.contacts))


def tombstones_as_file(stack: contextlib.ExitStack, store: Store) -> tuple[Path, ...]:
    """The erased people, for DuckDB."""
    hashes = sorted(store.journal.tombstones())
    if not hashes:
        return ()
    path = stack.enter_context(store.lake.scratch()) / "erased.parquet"
    table = pa.table({"address_hash": pa.array(hashes, pa.binary(16)).cast(pa.uuid())})
    pq.write_table(table, path)
    return (path,)
