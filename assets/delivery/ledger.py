"""What Mailtrap was last told, per sync: a base and the parts that overrule it, in the lake.

A part counts from the moment the journal lists it, in the same step that finishes its payload; so the ledger moves
by proven receipts only, whole or not at all, and runs of different partitions keep each other's work. Keyed hashes
only. Belongs here: reading, adding and merging the files. Not here: what a comparison makes of them.

Nobody is ever in two buckets, so a run of one bucket adds files of that bucket's own, and reads no other bucket's: what a
run reads does not grow with the table. The path says it: <sync>/ledger/64.07/part-….parquet.
"""

import contextlib
import itertools
import time
import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa

from assets.rules import comparison
from assets.rules.comparison import TOLD_SCHEMA, Told
from assets.rules.sync import BucketPartition, Sync
from resources.journal import Journal, Lease, LedgerPart
from resources.lake import Lake

PARTS_AT_MOST = 32
SHARE_OF_BASE = 0.1
ROWS_WORTH_A_FILE = 10_000
"""So many rows cost more to read than it costs to open their file."""
UNLISTED_FOR_SECONDS = 6 * 3600.0
REPEATED = ("partition", "import_id")
MERGED, SINGLE = "base", "part"


def bucket_of(sync: Sync, partitions: Sequence[str]) -> str | None:
    """The one bucket that a run is about; none when it is about several, or about something else."""
    match sync.source.partition:
        case BucketPartition(count=count) if len(partitions) == 1:
            return f"{count}.{partitions[0]}"
    return None


@contextlib.contextmanager
def told(journal: Journal, lake: Lake, sync: str, *, bucket: str | None = None) -> Iterator[Told]:
    """The ledger, or what of it concerns a bucket, as local files for DuckDB."""
    with _read(lake, _concerning(journal.ledger_parts(sync), bucket)) as found:
        yield found


@contextlib.contextmanager
def told_after(journal: Journal, lake: Lake, sync: str, *, version: int) -> Iterator[Told]:
    """At least what was told after a version; all of it when that has been merged meanwhile."""
    parts = journal.ledger_parts(sync)
    if not any(part.base and part.seq > version for part in parts):
        parts = [part for part in parts if part.seq > version]
    with _read(lake, parts) as found:
        yield found


def version(journal: Journal, sync: str, *, bucket: str | None = None) -> int:
    """A number that grows whenever the ledger of a sync does, or what of it concerns a bucket."""
    return max((part.seq for part in _concerning(journal.ledger_parts(sync), bucket)), default=0)


def write_part(
    lake: Lake, sync: str, rows: pa.Table, *, bucket: str | None = None, delivery: str = ""
) -> str:
    """Keep rows for the ledger in a file of their own; they count once the journal lists its path.

    Nobody is in two parts of one delivery: their names say so, so that a first one can be a base as it is. Each of them
    is of one payload; others may be of any size.
    """
    path = _file(sync, f"{SINGLE}-{delivery}" if delivery else SINGLE, bucket)
    with lake.writer(path, TOLD_SCHEMA, dictionary=REPEATED, small=bool(delivery)) as sink:
        sink.write(rows.select(TOLD_SCHEMA.names).cast(TOLD_SCHEMA))
    return path


def merge(journal: Journal, lake: Lake, sync: str, *, lease: Lease, bucket: str | None = None) -> bool:
    """Make one base of base and parts when the parts have become many; says whether it did.

    A first delivery is a base already: its large files need not be written a second time.
    """
    every = journal.ledger_parts(sync)
    parts = [part for part in every if _bucket_in(part.path) == bucket]
    if not _is_due(parts):
        return False
    between = range(parts[0].seq, parts[-1].seq)
    if any(part.seq in between and part not in parts for part in _concerning(every, bucket)):
        parts, bucket = every, None  # one of the others overrules some of these: the order must stay
    older = [part for part in _concerning(every, bucket) if part not in parts and part.seq < parts[0].seq]
    if not older and _is_first_delivery(parts):
        journal.make_base(parts, lease=lease)
        return True
    path = _file(sync, MERGED, bucket)
    # Who is held no longer need not be known, unless an older file that is not merged says otherwise.
    where = "true" if older else "fingerprint is not null"
    with (
        _read(lake, parts) as found,
        lake.scratch() as folder,
        comparison.connect(folder) as connection,
        lake.writer(path, TOLD_SCHEMA, dictionary=REPEATED) as sink,
    ):
        query = f"select * from ({comparison.told_sql(found)}) where {where}"
        for batch in connection.sql(query).to_arrow_reader(200_000):
            sink.write(batch)
    _sweep(journal, lake, sync, but=path)  # what is replaced now stays until the next merge
    journal.replace_ledger_parts(sync, parts, path=path, rows=sink.rows, lease=lease)
    return True


def _sweep(journal: Journal, lake: Lake, sync: str, *, but: str) -> None:
    """Remove files that the journal does not list: merged ones, and those of runs that died before they counted.

    Not at once: a run beside this one may be reading what was listed a moment ago, or be about to list its own.
    """
    listed = {part.path for part in journal.ledger_parts(sync)} | {but}
    for path, age_seconds in lake.ages(f"{sync}/ledger", now=time.time()).items():
        if path not in listed and age_seconds > UNLISTED_FOR_SECONDS:
            lake.delete(path)


def _is_due(parts: list[LedgerPart]) -> bool:
    loose = [part for part in parts if not part.base]
    base = sum(part.rows for part in parts if part.base)
    return len(loose) > PARTS_AT_MOST or (
        base > 0 and len(loose) > 1 and sum(part.rows for part in loose) > SHARE_OF_BASE * base
    )


@contextlib.contextmanager
def _read(lake: Lake, parts: Sequence[LedgerPart]) -> Iterator[Told]:
    """Oldest first: what begins with a base is a base and its parts; a later base, of a bucket, is a part like others."""
    with lake.all_local([part.path for part in parts]) as files:
        size = _files_of_base(parts)
        yield Told(base=files[:size], parts=files[size:])


def _files_of_base(parts: Sequence[LedgerPart]) -> int:
    """How many of the files, from the oldest on, are one base: that of a merge, or all of a first delivery."""
    if not parts or not parts[0].base:
        return 0
    first = _origin(parts[0])
    alike = itertools.takewhile(lambda part: part.base and _origin(part) == first, parts)
    return 1 if first == MERGED else len(list(alike))


def _file(sync: str, kind: str, bucket: str | None) -> str:
    folder = f"{sync}/ledger" if bucket is None else f"{sync}/ledger/{bucket}"
    return f"{folder}/{kind}-{uuid.uuid4().hex}.parquet"


def _is_first_delivery(parts: list[LedgerPart]) -> bool:
    """Whether these files are all of one delivery, in which nobody is twice, and large enough to be left as they are."""
    origins = {_origin(part) for part in parts}
    rows = sum(part.rows for part in parts)
    return (
        len(origins) == 1 and origins.isdisjoint({MERGED, SINGLE}) and rows >= ROWS_WORTH_A_FILE * len(parts)
    )


def _origin(part: LedgerPart) -> str:
    """What a file was made by: a merge, a delivery, or something else."""
    return part.path.rpartition("/")[2].rpartition("-")[0]


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
