"""The warehouse's side of a sync, as the graph shows it: a table, a query or files that somebody else makes.

Belongs here: the external asset at the start of each sync. Not here: reading it (`source_rows`).
"""

from collections.abc import Iterable, Sequence

import dagster as dg

from assets import columns, metadata
from assets.rules.sync import Sync

GROUP = "warehouse"


def key_of(sync: Sync) -> dg.AssetKey:
    """The upstream asset that the sync file names, else the warehouse's own name for what is read."""
    source = sync.source
    if source.asset:
        return dg.AssetKey(list(source.asset))
    if source.table:
        return dg.AssetKey([GROUP, *source.table.split(".")])
    return dg.AssetKey([GROUP, f"{sync.name}_{'query' if source.query else 'files'}"])


def warehouse_tables(syncs: Iterable[Sync]) -> list[dg.AssetSpec]:
    """What the syncs read, each once; nothing where another asset of this Dagster makes it."""
    readers: dict[dg.AssetKey, list[Sync]] = {}
    for sync in syncs:
        if not sync.source.asset:
            readers.setdefault(key_of(sync), []).append(sync)
    return [_spec(key, read_by) for key, read_by in readers.items()]


def _spec(key: dg.AssetKey, read_by: Sequence[Sync]) -> dg.AssetSpec:
    source = read_by[0].source
    return dg.AssetSpec(
        key,
        group_name=GROUP,
        kinds={"table" if source.table else "sql" if source.query else "file"},
        tags=metadata.tags_of(None, personal_data="addresses"),
        description="Made by others; of it, only these columns are read.\n\n"
        + "\n\n".join(_what_is_read(sync) for sync in read_by),
        metadata={"reads": source.table or source.query or source.file or ""},
    )


def _what_is_read(sync: Sync) -> str:
    described = columns.of_source(sync).items()
    return f"By **{sync.name}**:\n" + "\n".join(f"* `{name}`: {words}" for name, words in described)
