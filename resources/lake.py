"""The lake: our Parquet files, written whole or not at all, read in batches.

A path inside the lake is a relative POSIX path. The lake is a local folder, or any URL that `pyarrow.fs`
understands (s3://, gs://, abfs://; credentials come from the environment). Only the lake knows which. What a file means is none of its business:
the tables and their columns belong to the assets.
"""

import bisect
import contextlib
import functools
import hashlib
import itertools
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from resources.errors import LakeError, SettingsError
from resources.process import this_host

ROWS_PER_GROUP = 122_880  # as many as DuckDB reads at once
ROWS_PER_PIECE = 8_192
"""A row group in pieces of this size takes no more memory to read than it needs in the end."""
QUICK = "lz4"
"""The compression of tables that are read soon, by the next step: speed counts more than size."""
FETCHED_AT_ONCE = 8
_PARTIAL = ".partial-"
_SCRATCH = ".scratch"


class ParquetSink:
    """Rows on their way into one Parquet file; the file appears when its writer ends well."""

    def __init__(
        self, writer: pq.ParquetWriter, schema: pa.Schema, *, rows_per_group: int, whole_groups: bool
    ) -> None:
        self._writer, self.schema, self._rows_per_group, self.rows = writer, schema, rows_per_group, 0
        self._whole_groups = whole_groups
        self._held = schema.empty_table()

    def note(self, key: str, value: str) -> None:
        """Say something about the file as a whole; see `Lake.metadata`."""
        self._writer.add_key_value_metadata({key: value})

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows; columns are taken by name and must have the types of the schema."""
        if rows.num_rows == 0:
            return
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        if table.schema != self.schema:
            table = table.select(self.schema.names).cast(self.schema)
        self.rows += table.num_rows
        if self._whole_groups:
            table = pa.concat_tables([self._held, table])
            whole = table.num_rows - table.num_rows % self._rows_per_group
            table, self._held = table.slice(0, whole), table.slice(whole)
        self._write(table)

    def finish(self) -> None:
        """Write what was held back for a whole row group."""
        self._write(self._held)

    def _write(self, table: pa.Table) -> None:
        if table.num_rows:
            self._writer.write_table(table, row_group_size=self._rows_per_group)


def _in_pieces(file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
    """A row group, read by this thread alone: whoever reads slices has threads beside it that read others."""
    pieces = file.iter_batches(ROWS_PER_PIECE, row_groups=[group], columns=columns, use_threads=False)
    return pa.Table.from_batches(pieces)


@dataclass(frozen=True, slots=True)
class _Footer:
    """What the end of a Parquet file says; a large file's takes longer to read than one of its row groups."""

    version: tuple[object, ...]
    metadata: pq.FileMetaData
    ends: Sequence[int]
    """Of each row group, in rows."""


class Lake:
    """A folder of tables, here or in an object store."""

    def __init__(self, root: str | Path, *, scratch: Path | None = None) -> None:
        """`scratch` is where local copies lie for a while when the lake itself is elsewhere; else the system decides."""
        self.root = str(root)
        self._fs, self._base = _file_system(self.root)
        self.is_local = isinstance(self._fs, pafs.LocalFileSystem)
        self._scratch = Path(self._base) / _SCRATCH if self.is_local else scratch
        self._last_footer: _Footer | None = None
        if self.is_local:
            _make_private_folder(Path(self._base))

    def __repr__(self) -> str:
        return f"Lake({self.root!r})"

    @contextlib.contextmanager
    def writer(
        self,
        path: str,
        schema: pa.Schema,
        *,
        compression: str = "zstd",
        level: int | None = 1,
        metadata: Mapping[str, str] | None = None,
        page_index: bool = False,
        rows_per_group: int = ROWS_PER_GROUP,
        whole_groups: bool = False,
        dictionary: bool | Sequence[str] = True,
        small: bool = False,
    ) -> Iterator[ParquetSink]:
        """A streamed Parquet file that appears under its name only when the block ends without an error.

        Each write ends a row group, so that sorted rows stay sorted, and nothing is held back; with `whole_groups` all
        but the last are of `rows_per_group` rows. Where pages are to be skipped (`page_index`), each column's least and
        greatest values are noted; else not those of texts, which cost a fifth of the writing and put somebody's address
        into the footer.

        A `small` file is put together in memory, and S3 is given it in one request instead of four. For threads that no
        signal interrupts: one between two instructions could cut it short.
        """
        if metadata:
            schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
        level = level if compression in ("zstd", "gzip", "brotli") else None
        with (
            self._at_once(path) if small and self._fs.type_name == "s3" else self._whole(path) as stream,
            pq.ParquetWriter(
                stream,
                schema,
                compression=compression,
                compression_level=level,
                write_page_index=page_index,
                use_dictionary=dictionary if isinstance(dictionary, bool) else list(dictionary),
                write_statistics=page_index or _of_fixed_width(schema),
            ) as writer,
        ):
            sink = ParquetSink(writer, schema, rows_per_group=rows_per_group, whole_groups=whole_groups)
            yield sink
            sink.finish()

    def read(
        self, path: str, columns: Sequence[str] | None = None, *, rows_per_batch: int = ROWS_PER_GROUP
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a file in batches, with flat memory."""
        with self._reader(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=None if columns is None else list(columns))
                yield from table.combine_chunks().to_batches(max_chunksize=rows_per_batch)

    def read_slice(
        self, path: str, columns: Sequence[str] | None = None, *, first: int, rows: int
    ) -> pa.Table:
        """`rows` rows from position `first`: only the row groups that hold them are read."""
        [found] = self.read_slices(path, columns, [(first, rows)])
        return found

    def read_slices(
        self, path: str, columns: Sequence[str] | None = None, slices: Iterable[tuple[int, int]] = ()
    ) -> Iterator[pa.Table]:
        """The same for several slices, (first, rows) each; neighbours in one row group read it once.

        Of a file that nobody replaces meanwhile, as of pending contacts, of which each run makes its own.
        """
        footer = self._footer(path)
        with self._reader(path, footer.metadata) as file:
            wanted = file.schema_arrow.names if columns is None else list(columns)
            groups, ends = range(len(footer.ends)), footer.ends
            read = functools.lru_cache(1)(lambda group: _in_pieces(file, group, wanted))
            for first, rows in slices:
                pieces = []
                for group in groups[bisect.bisect_right(ends, first) :]:
                    start = ends[group - 1] if group else 0
                    if start >= first + rows:
                        break
                    low, high = max(first, start), min(first + rows, ends[group])
                    pieces.append(read(group).slice(low - start, high - low))
                yield pa.concat_tables(pieces) if pieces else file.schema_arrow.empty_table().select(wanted)

    def schema(self, path: str) -> pa.Schema:
        """The columns and types of a file."""
        with self._reader(path) as file:
            return file.schema_arrow

    def rows(self, path: str) -> int:
        """How many rows a file has."""
        with self._reader(path) as file:
            return int(file.metadata.num_rows)

    def metadata(self, path: str) -> dict[str, str]:
        """What the writer noted about the file as a whole."""
        with self._reader(path) as file:
            found = file.metadata.metadata or {}
        return {key.decode(): value.decode() for key, value in found.items() if key != b"ARROW:schema"}

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return bool(self._info(path).type == pafs.FileType.File)

    def size(self, path: str) -> int:
        """The bytes of a file."""
        return int(self._info(path).size or 0)

    def list(self, folder: str = "") -> list[str]:
        """The files below a folder, or all, as paths inside the lake, sorted; unfinished ones are not there yet."""
        return sorted(path for path, _ in self._found(folder) if not _is_unfinished(path))

    def ages(self, folder: str = "", *, now: float) -> dict[str, float]:
        """The same files with the seconds since each was written."""
        return {path: now - written for path, written in self._found(folder) if not _is_unfinished(path)}

    def sweep(self, *, now: float, older_than_seconds: float) -> int:
        """Remove what killed processes left unfinished; says how many files that were."""
        left = [
            path
            for path, written in self._found("")
            if _is_unfinished(path) and (now - written > older_than_seconds or _was_left(path))
        ]
        for path in left:
            self.delete(path)
        self._remove_empty_scratch(now=now, older_than_seconds=older_than_seconds)
        return len(left) + _sweep_copies(None if self.is_local else self._scratch)

    def _remove_empty_scratch(self, *, now: float, older_than_seconds: float) -> None:
        """The folders of dead processes: one that is in use is not empty, or its process lives."""
        for folder in Path(self._base, _SCRATCH).glob("work-*") if self.is_local else ():
            with contextlib.suppress(OSError):
                if _was_left(folder.name) or now - folder.stat().st_mtime > older_than_seconds:
                    folder.rmdir()

    def _found(self, folder: str) -> Iterator[tuple[str, float]]:
        where = self._full(folder) if folder else self._base
        start = len(self._base.rstrip("/")) + 1
        selector = pafs.FileSelector(where, recursive=True, allow_not_found=True)
        try:
            found = self._fs.get_file_info(selector)
        except OSError as error:
            raise _unreadable(folder or "(all)", error) from None
        for info in found:
            if info.type == pafs.FileType.File:
                yield info.path[start:], (info.mtime_ns or 0) / 1e9

    def _info(self, path: str) -> pafs.FileInfo:
        try:
            return self._fs.get_file_info(self._full(path))
        except OSError as error:
            raise _unreadable(path, error) from None

    def delete(self, path: str) -> None:
        """Remove a file; that there was none is fine."""
        try:
            self._fs.delete_file(self._full(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(path, error) from None

    def copy(self, source: str, target: str) -> None:
        """A second file with the same content, whole or not at all."""
        with self._whole(target) as stream, self._fs.open_input_stream(self._full(source)) as content:
            shutil.copyfileobj(content, stream, 1 << 20)

    def read_bytes(self, path: str) -> bytes:
        """The content of a small file."""
        with self._open(path) as stream:
            return bytes(stream.read())

    def write_bytes(self, path: str, content: bytes) -> None:
        """A small file, whole or not at all."""
        with self._whole(path) as stream:
            stream.write(content)

    @contextlib.contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A local file with this content, for DuckDB: the file itself, or a private copy for as long as it takes."""
        with self.all_local([path]) as (file,):
            yield file

    @contextlib.contextmanager
    def all_local(self, paths: Sequence[str]) -> Iterator[tuple[Path, ...]]:
        """The same of several files; several are fetched at a time."""
        if self.is_local:
            for path in paths:
                if not self.exists(path):
                    raise _missing(path)
            yield tuple(Path(self._full(path)) for path in paths)
            return
        with self.scratch() as folder, ThreadPoolExecutor(FETCHED_AT_ONCE) as fetchers:
            targets = [folder / f"{number}-{PurePosixPath(path).name}" for number, path in enumerate(paths)]
            yield tuple(fetchers.map(self._fetch, paths, targets))

    def _fetch(self, path: str, target: Path) -> Path:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with self._open(path) as content, os.fdopen(handle, "wb") as stream:
                shutil.copyfileobj(content, stream, 8 << 20)
        except OSError as error:
            raise _unreadable(path, error) from None
        return target

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder on a local disk, gone when the block ends; beside the lake when that is local."""
        if self._scratch is not None:
            _make_private_folder(self._scratch)
        folder = Path(tempfile.mkdtemp(prefix=f"work-{_owner()}-", dir=self._scratch))
        try:
            yield folder
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise _no_room(error) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _footer(self, path: str) -> "_Footer":
        """The footer of a file that is read slice by slice: the last one is remembered, until its file is another."""
        info = self._info(path)
        version = (path, info.size, info.mtime_ns)
        footer = self._last_footer
        if footer is None or footer.version != version:
            with self._reader(path) as file:
                groups = (file.metadata.row_group(each) for each in range(file.num_row_groups))
                ends = itertools.accumulate(group.num_rows for group in groups)
                footer = self._last_footer = _Footer(version, file.metadata, list(ends))
        return footer

    @contextlib.contextmanager
    def _reader(self, path: str, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
        with self._open(path) as stream:
            try:
                # From a store, the columns of a row group come together; here, pages are read one by one.
                yield pq.ParquetFile(stream, metadata=footer, pre_buffer=not self.is_local)
            except pa.ArrowInvalid:
                raise LakeError(
                    f"The file {path} in the lake cannot be read as Parquet.",
                    "It was damaged or written by something else.",
                    "Remove the file and run the asset that makes it again.",
                ) from None

    def _open(self, path: str) -> Any:
        try:
            return self._fs.open_input_file(self._full(path))
        except FileNotFoundError:
            raise _missing(path) from None
        except OSError as error:
            raise _unreadable(path, error) from None

    @contextlib.contextmanager
    def _whole(self, path: str) -> Iterator[Any]:
        target = self._full(path)
        folder, _, name = target.rpartition("/")
        partial = f"{folder}/{_PARTIAL}{_owner()}-{uuid.uuid4().hex[:12]}-{name}"
        try:
            with self._create(partial) as stream:
                yield stream
            self._finish(partial, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._fs.delete_file(partial)
            if isinstance(error, OSError):
                raise _unwritable(path, error) from None
            raise

    @contextlib.contextmanager
    def _at_once(self, path: str) -> Iterator[Any]:
        """At S3 an object appears when its stream is closed, however that comes about: so it is opened when all is there.

        Elsewhere it may be there, and empty, as soon as its stream is opened.
        """
        stream = pa.BufferOutputStream()
        yield stream
        try:
            with self._fs.open_output_stream(self._full(path)) as target:
                target.write(stream.getvalue())
        except OSError as error:
            raise _unwritable(path, error) from None

    def _create(self, full: str) -> Any:
        if not self.is_local:
            return self._fs.open_output_stream(full)
        _make_private_folder(Path(full).parent, below=Path(self._base))
        os.close(os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        Path(full).chmod(0o600)
        return pa.OSFile(full, "wb")

    def _finish(self, partial: str, target: str) -> None:
        if not self.is_local:
            self._fs.move(partial, target)
            return
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        Path(partial).replace(target)

    def _full(self, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or not pure.parts:
            raise LakeError(
                "A path leads out of the lake.",
                "A name that became part of it holds a slash, a backslash or dots.",
                "Mend the name of the sync, the partition or the list.",
            )
        return f"{self._base.rstrip('/')}/{pure}"


def _of_fixed_width(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_primitive(field.type)]


def _sweep_copies(scratch: Path | None) -> int:
    """Remove the local copies of processes that were killed."""
    left = (
        [each for each in scratch.iterdir() if _was_left(each.name)] if scratch and scratch.is_dir() else []
    )
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _is_unfinished(path: str) -> bool:
    return path.startswith(f"{_SCRATCH}/") or PurePosixPath(path).name.startswith(_PARTIAL)


def _owner() -> str:
    """Who is at work on a file that is not finished: this machine and process."""
    machine = hashlib.sha256(this_host().encode()).hexdigest()[:8]
    return f"{machine}.{os.getpid()}"


def _was_left(path: str) -> bool:
    """Whether an unfinished file belongs to a process of this machine that is no more."""
    found = re.search(r"(?:work|partial)-([0-9a-f]{8})\.([0-9]+)-", path)
    if found is None or found[1] != _owner().partition(".")[0]:
        return False
    try:
        os.kill(int(found[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _file_system(root: str) -> tuple[pafs.FileSystem, str]:
    if "://" not in root:
        return pafs.LocalFileSystem(), str(Path(root).expanduser().resolve())
    try:
        found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(_as_we_use_it(root))
        return found
    except (pa.ArrowInvalid, ValueError, OSError):
        raise SettingsError(
            "CONTACTS_LAKE is not a folder or a URL that can be opened.",
            f"Its scheme is {root.partition('://')[0]!r}.",
            "Use a path, or a URL that begins with s3://, gs:// or abfs://.",
        ) from None


def _as_we_use_it(root: str) -> str:
    """With the region that the environment names: otherwise AWS would be asked for it, of every process anew.

    And small objects go there in one request, not in the three of an upload in parts.
    """
    if not root.startswith("s3://"):
        return root
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    wanted = {"region": region, "allow_delayed_open": "true"}
    for name, value in wanted.items():
        if value and f"{name}=" not in root:
            root += f"{'&' if '?' in root else '?'}{name}={value}"
    return root


def _make_private_folder(folder: Path, *, below: Path | None = None) -> None:
    """Make a folder and its parents 0700, whatever the umask; folders above `below` stay as they are."""
    if below is not None and not folder.resolve().is_relative_to(below.resolve()):
        raise LakeError(
            "A folder of the lake is a link that leads out of it.",
            "People's data would be written elsewhere.",
            "Remove the link.",
        )
    missing = [folder, *folder.parents]
    for each in reversed(missing):
        if not each.exists():
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode=0o700)
            each.chmod(0o700)


def _missing(path: str) -> LakeError:
    return LakeError(
        f"There is no file {path} in the lake.",
        "The table has not been made yet, or was removed.",
        "Run the asset that makes it.",
    )


def _unreadable(path: str, error: OSError) -> LakeError:
    return LakeError(
        f"The file {path} in the lake cannot be read ({error.strerror or type(error).__name__}).",
        "The lake is not reachable, or its permissions forbid it.",
        "Check CONTACTS_LAKE and its permissions, then run again.",
    )


def _no_room(error: Exception) -> LakeError:
    return LakeError(
        f"Tables could not be compared or screened ({type(error).__name__}).",
        "There was no room to work in: the disk beside the lake is full, or memory is short.",
        "Make room, then run again: nothing was replaced, and it goes on where it stopped.",
    )


def _unwritable(path: str, error: OSError) -> LakeError:
    return LakeError(
        f"The file {path} in the lake could not be written ({error.strerror or type(error).__name__}).",
        "Nothing was replaced: the former file, if there was one, is as it was.",
        "Make room, or mend the permissions of CONTACTS_LAKE, then run again: it goes on where it stopped.",
    )
