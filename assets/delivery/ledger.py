"""What Mailtrap was last told, per sync: a base and the parts that overrule it, in the lake.

A part counts from the moment the journal lists it, in the same step that finishes its payload; so the ledger moves
by proven receipts only, whole or not at all, and runs of different partitions keep each other's work. Keyed hashes
only. Belongs here: reading, adding and merging the files. Not here: what a comparison makes of them.

Nobody is ever in two buckets, so a run of one bucket adds files of that bucket's own, and reads no other bucket's: what a
run reads does not grow with the table. The path says it: <sync>/ledger/64.07/part-….parquet.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from assets.rules import comparison
from assets.rules.comparison import TOLD_SCHEMA, Told
from assets.rules.sync import BucketPartition, Sync
from resources.journal import Journal, Lease, LedgerPart
from resources.lake import Lake

PARTS_AT_MOST = 32
SHARE_OF_BASE = 0.1
UNLISTED_FOR_SECONDS = 6 * 3600.0


def bucket_of(sync: Sync, partitions: Sequence[str]) -> str | None:
    """The one bucket that a run is about; none when it is about several, or about something else."""
    match sync.source.partition:
        case BucketPartition(count=count) if len(partitions) == 1:
            return f"{count}.{partitions[0]}"
    return None


@contextlib.contextmanager
def told(journal: Journal, lake: Lake, sync: str, *, bucket: str | None = None) -> Iterator[Told]:
    """The ledger, or what of it concerns a bucket, as local files for DuckDB."""
    parts = _concerning(journal.ledger_parts(sync), bucket)
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


def version(journal: Journal, sync: str, *, bucket: str | None = None) -> int:
    """A number that grows whenever the ledger of a sync does, or what of it concerns a bucket."""
    return max((part.seq for part in _concerning(journal.ledger_parts(sync), bucket)), default=0)


def write_part(
    lake: Lake, sync: str, rows: pa.Table, *, bucket: str | None = None, delivery: str = ""
) -> str:
    """Keep rows for the ledger in a file of their own; they count once the journal lists its path.

    Nobody is in two parts of one delivery: their names say so, for a merge to know.
    """
    path = _file(sync, f"part-{delivery}" if delivery else "part", bucket)
    with lake.writer(path, TOLD_SCHEMA, dictionary=["partition"]) as sink:
        sink.write(rows.select(TOLD_SCHEMA.names).cast(TOLD_SCHEMA))
    return path


def merge(journal: Journal, lake: Lake, sync: str, *, lease: Lease, bucket: str | None = None) -> bool:
    """Make one base of base and parts when the parts have become many; says whether it did."""
    every = journal.ledger_parts(sync)
    parts = [part for part in every if _bucket_in(part.path) == bucket]
    if not _is_due(parts):
        return False
    between = range(parts[0].seq, parts[-1].seq)
    if any(part.seq in between and part not in parts for part in _concerning(every, bucket)):
        parts, bucket = every, None  # one of the others overrules some of these: the order must stay
    older = [part for part in _concerning(every, bucket) if part not in parts and part.seq < parts[0].seq]
    path = _file(sync, "base", bucket)
    with contextlib.ExitStack() as stack:
        local = [(part.base, stack.enter_context(lake.local(part.path))) for part in parts]
        connection = stack.enter_context(comparison.connect(stack.enter_context(lake.scratch())))
        # Who is held no longer need not be known, unless an older file that is not merged says otherwise.
        where = "true" if older else "fingerprint is not null"
        told = replace(_as_told(local), apart=_of_one_delivery(parts))
        query = f"select * from ({comparison.told_sql(told)}) where {where}"
        with lake.writer(path, TOLD_SCHEMA, dictionary=["partition"]) as sink:
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
        base > 0 and len(loose) > 1 and sum(part.rows for part in loose) > SHARE_OF_BASE * base
    )


def _as_told(files: list[tuple[bool, Path]]) -> Told:
    """Oldest first: what begins with a base is a base and its parts; a later base, of a bucket, is a part like others."""
    paths = tuple(path for _, path in files)
    return Told(base=paths[0], parts=paths[1:]) if files and files[0][0] else Told(parts=paths)


def _file(sync: str, kind: str, bucket: str | None) -> str:
    folder = f"{sync}/ledger" if bucket is None else f"{sync}/ledger/{bucket}"
    return f"{folder}/{kind}-{uuid.uuid4().hex}.parquet"


def _of_one_delivery(parts: list[LedgerPart]) -> bool:
    kinds = {part.path.rpartition("/")[2].rpartition("-")[0] for part in parts}
    return len(kinds) == 1 and kinds.isdisjoint({"base", "part"})


def _bucket_in(path: str) -> str | None:
    """The bucket whose people a file is about; none: anybody may be in it."""
    parts = path.split("/")
    return parts[2] if len(parts) == 4 else None


def _concerning(parts: list[LedgerPart], bucket: str | None) -> list[LedgerPart]:
    """Without the files of other buckets; buckets of another count are parted otherwise, so their files concern all."""
    if bucket is None:
        return parts
    count = bucket.partition(".")[0]

    def concerns(theirs: str | None) -> bool:
        return theirs is None or theirs == bucket or theirs.partition(".")[0] != count

    return [part for part in parts if concerns(_bucket_in(part.path))]
