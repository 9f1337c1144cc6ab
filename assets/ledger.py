"""What Mailtrap was last told, per sync: a base and the parts that overrule it, in the lake.

A part counts from the moment the journal lists it, in the same step that finishes its payload; so the ledger moves
by proven receipts only, whole or not at all, and runs of different partitions keep each other's work. Keyed hashes
only. Belongs here: reading, adding and merging the files. Not here: what a comparison makes of them.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from assets.rules import comparison
from assets.rules.comparison import TOLD_SCHEMA, Told
from resources.journal import Journal, Lease, LedgerPart
from resources.lake import Lake

PARTS_AT_MOST = 32
SHARE_OF_BASE = 0.1
UNLISTED_FOR_SECONDS = 6 * 3600.0


@contextlib.contextmanager
def told(journal: Journal, lake: Lake, sync: str, *, since: int | None = None) -> Iterator[Told]:
    """The ledger as local files for DuckDB; or only the parts that came after version `since`."""
    parts = journal.ledger_parts(sync)
    if since is not None:
        parts = [part for part in parts if part.seq > since and not part.base]
    with contextlib.ExitStack() as stack:
        yield _as_told([(part.base, stack.enter_context(lake.local(part.path))) for part in parts])


@contextlib.contextmanager
def told_after(journal: Journal, lake: Lake, sync: str, *, version: int) -> Iterator[Told]:
    """At least what was told after a version; all of it when that has been merged meanwhile."""
    parts = journal.ledger_parts(sync)
    if not any(part.base and part.seq > version for part in parts):
        parts = [part for part in parts if part.seq > version]
    with contextlib.ExitStack() as stack:
        yield _as_told([(part.base, stack.enter_context(lake.local(part.path))) for part in parts])


def version(journal: Journal, sync: str) -> int:
    """A number that grows whenever the ledger of a sync does."""
    return max((part.seq for part in journal.ledger_parts(sync)), default=0)


def write_part(lake: Lake, sync: str, rows: pa.Table) -> str:
    """Keep rows for the ledger in a file of their own; they count once the journal lists its path."""
    path = f"{sync}/ledger/part-{uuid.uuid4().hex}.parquet"
    with lake.writer(path, TOLD_SCHEMA) as sink:
        sink.write(rows.select(TOLD_SCHEMA.names).cast(TOLD_SCHEMA))
    return path


def merge(journal: Journal, lake: Lake, sync: str, *, lease: Lease) -> bool:
    """Make one base of base and parts when the parts have become many; says whether it did."""
    parts = journal.ledger_parts(sync)
    if not _is_due(parts):
        return False
    path = f"{sync}/ledger/base-{uuid.uuid4().hex}.parquet"
    with contextlib.ExitStack() as stack:
        local = [(part.base, stack.enter_context(lake.local(part.path))) for part in parts]
        connection = stack.enter_context(comparison.connect(stack.enter_context(lake.scratch())))
        query = f"select * from ({comparison.told_sql(_as_told(local))}) where fingerprint is not null"
        with lake.writer(path, TOLD_SCHEMA) as sink:
            for batch in connection.sql(query).to_arrow_reader(200_000):
                sink.write(batch)
            rows = sink.rows
    journal.replace_ledger_parts(sync, parts, path=path, rows=rows, lease=lease)
    _sweep(journal, lake, sync)
    return True


def _sweep(journal: Journal, lake: Lake, sync: str) -> None:
    """Remove files that the journal does not list: merged ones, and those of runs that died before they counted.

    Not at once: a run beside this one may be reading what was listed a moment ago.
    """
    listed = {part.path for part in journal.ledger_parts(sync)}
    for path, age_seconds in lake.ages(f"{sync}/ledger", now=time.time()).items():
        if path not in listed and age_seconds > UNLISTED_FOR_SECONDS:
            lake.delete(path)


def _is_due(parts: list[LedgerPart]) -> bool:
    loose = [part for part in parts if not part.base]
    base = sum(part.rows for part in parts if part.base)
    return len(loose) > PARTS_AT_MOST or (
        len(loose) > 1 and sum(part.rows for part in loose) > SHARE_OF_BASE * base
    )


def _as_told(files: list[tuple[bool, Path]]) -> Told:
    base = next((path for is_base, path in files if is_base), None)
    return Told(base=base, parts=tuple(path for is_base, path in files if not is_base))
