"""Files as a warehouse: CSV, JSON lines and Parquet, in a folder or an object store, compressed or not.

`files:` is the current folder, `files:exports` a folder in it, `files:///data/exports` an absolute one; `s3://…`,
`gs://…`, `abfs://…` are folders in object stores (by pyarrow, or by fsspec where that is installed).
A relation is a file, a folder, or a pattern with `*`, `?` and `**`, relative to it; or a URL of its own.

Here: which files there are, and the columns that their folders give. One state of the files is read:
each is listed once for the whole connection, and one that changes afterwards is an error. Formats are in
`file_formats.py`.
"""

import contextlib
import dataclasses
import functools
import importlib
import posixpath
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from resources.errors import WarehouseError
from resources.warehouses import complaints, plain, statement, windows
from resources.warehouses.contract import (
    ROWS_PER_BATCH,
    STATEMENT_TIMEOUT_SECONDS,
    Batches,
    Days,
    Files,
    Relation,
    Window,
)
from resources.warehouses.file_formats import Format, SourceFile, format_of

NAME = "The folder of files"
_WILD = re.compile(r"[*?\[]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def open_warehouse(
    url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
) -> "FilesWarehouse":
    """The folder at this URL."""
    return FilesWarehouse(url, statement_timeout_seconds=statement_timeout_seconds)


class FilesWarehouse:
    """A folder, and every file below it, as they are when they are first looked at."""

    dialect = ""

    def __init__(self, url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = statement_timeout_seconds
        with complaints.border(lambda error: _cannot_open(url, error)):
            self._filesystem, self._folder = _located(url)
        self._listed: dict[str, tuple[SourceFile, ...]] = {}

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column of the first file and of its folders; of JSON lines, every key of every file."""
        files = _require_files(relation)
        with complaints.border(_complaint_about(files)):
            return plain.plain_schema(_schema(self._files(files), files))

    @contextlib.contextmanager
    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> Iterator[Batches]:
        """Stream the columns, file after file in the order of their names."""
        files = _require_files(relation)
        complain = _complaint_about(files)
        needed = list(dict.fromkeys([*columns, *([window.column] if window else [])]))
        with complaints.border(complain):
            found = self._files(files)
            known = {field.name: field for field in _schema(found, files, enough=needed)}
            chosen = statement.pick(needed, known, relation=files)
        schema = pa.schema([pa.field(name, plain.plain_type(chosen[name].type)) for name in needed])
        rows = _rows(found, files, schema, window=window, rows_per_batch=rows_per_batch)
        rows = _in_time(rows, self._timeout_seconds)
        if window:
            rows = windows.inside(plain.even(rows, rows_per_batch=rows_per_batch), window, schema)
        wanted = (batch.select(list(columns)) for batch in rows)
        plain_schema = pa.schema([schema.field(name) for name in columns])
        yield plain.stream(complaints.guarded(wanted, complain), plain_schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """What the footers of Parquet files say; other files would have to be read."""
        if window is not None:
            return None
        files = _require_files(relation)
        with complaints.border(_complaint_about(files)):
            rows = [format_of(file, files.csv).rows(file) for file in self._files(files)]
        known = [each for each in rows if each is not None]
        return sum(known) if len(known) == len(rows) else None

    def files(self, relation: Files) -> tuple[SourceFile, ...]:
        """The files that there are, with size and time of change; `WarehouseError` when there is none."""
        return self._files(relation)

    def close(self) -> None:
        """Forget what was listed."""
        self._listed.clear()

    def _files(self, relation: Files) -> tuple[SourceFile, ...]:
        pattern = relation.pattern
        if pattern not in self._listed:
            filesystem, path = self._filesystem, posixpath.join(self._folder, pattern)
            if _URL.match(pattern):
                filesystem, path = _located(pattern)
            found = sorted(_matching(filesystem, path), key=lambda file: file.path)
            if not found:
                raise _no_file(filesystem, path, pattern)
            self._listed[pattern] = tuple(found)
        return self._listed[pattern]


def _schema(files: Sequence[SourceFile], relation: Files, *, enough: Sequence[str] = ()) -> pa.Schema:
    """The columns that the files offer; where keys are optional, all files are looked through until it is enough."""
    merged: dict[str, pa.Field] = {}
    for file in files:
        form = format_of(file, relation.csv)
        merged = {field.name: field for field in form.schema(file, enough=enough)} | merged
        if not form.optional_columns or (enough and merged.keys() >= set(enough)):
            break
    merged = {name: pa.field(name, pa.string()) for name, _value in files[0].folders} | merged
    return pa.schema(merged.values())


def _rows(
    files: Sequence[SourceFile],
    relation: Files,
    schema: pa.Schema,
    *,
    window: Window | None,
    rows_per_batch: int,
) -> Iterator[pa.RecordBatch]:
    for file in files:
        _require_unchanged(file)
        part = _Part(file, format_of(file, relation.csv), schema.names)
        for batch in part.batches(window=window, rows_per_batch=rows_per_batch):
            yield next(plain.convert([batch], schema))
        _require_unchanged(file)


def _in_time(batches: Iterator[pa.RecordBatch], seconds: float) -> Iterator[pa.RecordBatch]:
    """The same batches, while reading them takes no longer than it may; the consumer's own time does not count."""
    spent = 0.0
    while True:
        began = time.monotonic()
        batch = next(batches, None)
        spent += time.monotonic() - began
        if spent > seconds:
            raise complaints.too_slow(seconds)
        if batch is None:
            return
        yield batch


class _Part:
    """One file among others: which of the wanted columns are its own, and which its folders give."""

    def __init__(self, file: SourceFile, form: Format, wanted: Sequence[str]) -> None:
        self._file, self._form, self._wanted = file, form, wanted
        own = set(wanted) if form.optional_columns else set(form.schema(file, enough=wanted).names)
        self._folders = {
            name: value for name, value in file.folders if form.optional_columns or name not in own
        }
        known = {name: name for name in [*own, *self._folders]}
        self._names = statement.pick(wanted, known, relation=Files(file.shown))

    def batches(self, *, window: Window | None, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        """The wanted columns in their order, in the file's own types."""
        own = list(dict.fromkeys(name for name in self._names.values() if name not in self._folders))
        if isinstance(window, Days):
            inside = self._names[window.column]
            window = None if inside in self._folders else dataclasses.replace(window, column=inside)
        for batch in self._form.batches(self._file, own, window=window, rows_per_batch=rows_per_batch):
            columns = dict(zip(own, batch.columns, strict=True))
            for name, value in self._folders.items():
                columns[name] = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            yield pa.RecordBatch.from_arrays(
                [columns[self._names[name]] for name in self._wanted], names=self._wanted
            )


def _located(url: str) -> tuple[pafs.FileSystem, str]:
    scheme, rest = url.split(":", 1)
    if scheme in ("files", "file"):
        return pafs.LocalFileSystem(), str(Path(unquote(rest.removeprefix("//")) or ".").absolute())
    try:
        found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(url)
    except pa.ArrowInvalid:
        return _located_by_fsspec(url)
    return found


def _located_by_fsspec(url: str) -> tuple[pafs.FileSystem, str]:
    try:
        # Only for schemes that pyarrow does not know, and perhaps not installed.
        filesystem, path = importlib.import_module("fsspec.core").url_to_fs(url)
    except (ImportError, ValueError):
        raise WarehouseError(
            f"Nothing here can open {complaints.masked(url)}.",
            "pyarrow knows file, s3, gs, abfs and hdfs; other schemes need fsspec with the package for that scheme.",
            "pip install fsspec and that package, or copy the files to where they can be read.",
        ) from None
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path


def _matching(filesystem: pafs.FileSystem, path: str) -> Iterator[SourceFile]:
    wild = _WILD.search(path)
    base = posixpath.dirname(path[: wild.start()]) if wild else path
    if not wild and (info := filesystem.get_file_info(path)).type == pafs.FileType.File:
        yield _source_file(filesystem, info, posixpath.dirname(path))
        return
    inside = re.compile(_as_regex(path) if wild else ".*", re.DOTALL)
    for info in filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True)):
        names = posixpath.relpath(info.path, base).split("/")
        hidden = any(name.startswith((".", "_")) for name in names)
        if info.type == pafs.FileType.File and not hidden and inside.fullmatch(info.path):
            yield _source_file(filesystem, info, base)


def _source_file(filesystem: pafs.FileSystem, info: pafs.FileInfo, base: str) -> SourceFile:
    shown = posixpath.relpath(info.path, base)
    pairs = [name.split("=", 1) for name in shown.split("/")[:-1] if "=" in name]
    folders = tuple((name, None if value == _NO_VALUE else unquote(value)) for name, value in pairs)
    return SourceFile(filesystem, info.path, shown, info.size or 0, info.mtime_ns or 0, folders)


def _require_unchanged(file: SourceFile) -> None:
    info = file.filesystem.get_file_info(file.path)
    if (info.size or 0, info.mtime_ns or 0) != (file.size, file.changed_ns):
        raise WarehouseError(
            f"{file.shown} changed while it was being read.",
            "What was read is not one state of the file and is thrown away.",
            "Run it again when the export has finished; let it write under another name and rename at the end.",
            outcome="transient",
        )


def _as_regex(pattern: str) -> str:
    """`*` and `?` within a name, `**` over folders."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]/]+\])", pattern)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)


def _require_files(relation: Relation) -> Files:
    if isinstance(relation, Files):
        return relation
    raise complaints.not_readable(
        statement.in_words(relation), NAME, remedy="Name the files by `file:` in the sync file."
    )


def _no_file(filesystem: pafs.FileSystem, path: str, pattern: str) -> WarehouseError:
    wild = _WILD.search(path)
    folder = posixpath.dirname(path[: wild.start()] if wild else path)
    there = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    hint = complaints.nearest(posixpath.basename(path), [info.base_name for info in there])
    where = (
        f"in {folder}, which has {len(there)} entries"
        if there
        else f"in {folder}, which is empty or not there"
    )
    return WarehouseError(
        f"No file fits {complaints.masked(pattern)} {where}.",
        hint or "Names that begin with a dot or an underscore are never read.",
        "Correct `file:` in the sync file; it is relative to the folder of the warehouse URL.",
    )


def _cannot_open(url: str, error: Exception) -> WarehouseError:
    why = complaints.code_of(error)
    return complaints.cannot_connect(
        url, why, remedy="Check the URL and the credentials of the store.", transient=False
    )


def _complaint_about(relation: Files) -> complaints.Translate:
    return functools.partial(_translate, pattern=complaints.masked(relation.pattern))


def _translate(error: Exception, *, pattern: str) -> WarehouseError:
    words, code = str(error), complaints.code_of(error)
    if isinstance(error, FileNotFoundError):
        return WarehouseError(
            f"A file of {pattern} vanished.", "It was listed before.", "Run it again.", outcome="transient"
        )
    if isinstance(error, PermissionError) or "ACCESS_DENIED" in words or "Forbidden" in words:
        return complaints.no_permission(pattern, grant="Give this user the right to list and read the files.")
    if isinstance(error, pa.ArrowInvalid) or any(said in words for said in _BROKEN):
        return WarehouseError(
            f"A file of {pattern} is damaged, cut short, or not what its name says.",
            "Nothing of it is used.",
            "Write or copy the file again.",
            outcome="data",
        )
    if isinstance(error, OSError):
        return complaints.connection_lost(f"the store of {pattern}", code)
    return complaints.unexpected(NAME, code)


_BROKEN = (
    "Truncated compressed stream",
    "zlib",
    "ZSTD",
    "LZ4",
    "bz2",
    "Couldn't deserialize thrift",
    "Unexpected end",
)
