"""The CSV of an export as typed Arrow batches: streamed, with flat memory, whatever its layout.

Belongs here: reading the stream, and counting what was seen. Not here: gzip (`gunzip`), which column is which
(`export_layout`), what a cell means (`export_cells`), where the file comes from and goes to (`assets/exports.py`).

    export = open_export(stream, fields, lists={7: "Newsletter"})
    for batch in export.batches():      # export.schema; sorted by e-mail within each batch
        sink.write(batch)
    export.seen.rows, export.seen.misfits
"""

import contextlib
import queue
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from assets.rules.export_cells import ListCells, decode, gather_misfits, type_column
from assets.rules.export_layout import (
    AccountField,
    Column,
    ExportFileError,
    Layout,
    match_headers,
    read_header,
)
from assets.rules.gunzip import Caps, GunzipStream, Readable

ROWS_PER_BATCH = 100_000
_BLOCK_BYTES = 1 << 20  # 8 MB blocks let memory grow with the file, measured; a row is at most one block
_HEADER_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
DEFAULT_CAPS = Caps()


_AHEAD = 2
_REPEATED = 0.25


@dataclass(slots=True)
class Seen:
    """What was read so far: numbers only."""

    rows: int = 0
    without_email: int = 0
    not_utf8: int = 0
    misfits: dict[str, int] = field(default_factory=dict)
    unknown_lists: int = 0
    csv_bytes: int = 0
    gzip_bytes: int = 0


class Export:
    """One export, opened: its layout is known, its rows are not read yet."""

    def __init__(
        self,
        stream: GunzipStream,
        layout: Layout,
        delimiter: str,
        lists: Mapping[int, str],
        status: str | None,
    ) -> None:
        self.layout, self.schema, self.seen = layout, layout.schema, Seen()
        self._stream, self._delimiter, self._lists, self._status = stream, delimiter, ListCells(lists), status

    def batches(self, *, rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[pa.RecordBatch]:
        """All rows, typed; each batch is sorted by e-mail. Counts are complete when the last one was taken."""
        for cells in self._raw(rows_per_batch):
            batch = self._typed(cells)
            self.seen.rows += batch.num_rows
            yield batch.take(pc.sort_indices(batch.column("email")))
        self._check_end()

    def _raw(self, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []
        for block in self._blocks():
            held.append(block)
            if sum(each.num_rows for each in held) >= rows_per_batch:
                yield pa.concat_batches(held)
                held = []
        if held:
            yield pa.concat_batches(held)

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        names = [str(position) for position in range(len(self.layout.headers))]
        if not (ahead := self._stream.read(1)):
            return  # a header and no rows: an export of nobody
        self._stream.unread(ahead)
        try:
            yield from pacsv.open_csv(
                pa.PythonFile(self._stream, mode="r"),
                read_options=pacsv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
                parse_options=pacsv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    check_utf8=False,  # see decode: one bad byte must not cost the export
                    column_types=dict.fromkeys(names, pa.binary()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise _unparsable(str(error), len(names)) from None  # Arrow's words hold the row itself

    def _typed(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        arrays: list[pa.Array] = []
        unfit: dict[str, tuple[pa.Array, pa.Array]] = {}
        for column in self.layout.columns:
            if column.position is None:
                arrays.append(self._absent(column, cells.num_rows))
                continue
            text, wrong = decode(cells.column(column.position))
            self.seen.not_utf8 += wrong
            if column.kind == "lists":
                arrays.append(self._lists.read(text))
                continue
            typed = type_column(text, column.kind)
            arrays.append(typed.values)
            if typed.unfit is not None and (count := pc.sum(typed.unfit).as_py()):
                unfit[column.name] = (text, typed.unfit)
                self.seen.misfits[column.name] = self.seen.misfits.get(column.name, 0) + count
        self.seen.without_email += arrays[0].null_count
        arrays.append(gather_misfits(unfit, rows=cells.num_rows))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _absent(self, column: Column, rows: int) -> pa.Array:
        if column.kind == "status" and self._status is not None:
            return pa.repeat(pa.scalar(self._status, pa.string()), rows)
        return pa.nulls(rows, self.schema.field(column.name).type)

    def _check_end(self) -> None:
        stream, seen = self._stream, self.seen
        seen.csv_bytes, seen.gzip_bytes, seen.unknown_lists = (
            stream.inflated,
            stream.compressed,
            self._lists.unknown,
        )
        if stream.quotes % 2 and stream.last_byte not in (b"\n", b"\r"):
            raise _broken("The export ends inside a quoted cell.")


def open_export(
    source: Readable,
    fields: Iterable[AccountField],
    *,
    lists: Mapping[int, str] | None = None,
    status: str | None = None,
    caps: Caps = DEFAULT_CAPS,
) -> Export:
    """The export in a csv.gz stream; `status` is what all its rows have when the export was filtered by it."""
    stream = GunzipStream(source, caps=caps)
    line = _first_record(stream)
    delimiter, headers = read_header(line)
    layout = match_headers(headers, fields)
    return Export(stream, layout, delimiter, lists or {}, status)


def worth_a_dictionary(rows: pa.RecordBatch) -> list[str]:
    """The columns whose values repeat: only there a dictionary makes Parquet smaller, and elsewhere it costs time."""
    flat = [
        name
        for name, kind in zip(rows.schema.names, rows.schema.types, strict=True)
        if not pa.types.is_nested(kind)
    ]
    return [name for name in flat if pc.count_distinct(rows[name]).as_py() < _REPEATED * rows.num_rows]


@contextlib.contextmanager
def ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[Iterator[pa.RecordBatch]]:
    """The same batches, made in a thread while the former ones are written; it ends with the block."""
    reader = _ReadAhead(batches)
    reader.start()
    try:
        yield reader.taken()
    finally:
        reader.stopped.set()
        reader.join()


class _ReadAhead(threading.Thread):
    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        super().__init__(name="export-reader", daemon=True)
        self.stopped = threading.Event()
        self._batches = batches
        self._ready: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)

    def run(self) -> None:
        """Make batches until there are no more, or nobody wants them."""
        try:
            for batch in self._batches:
                self._put(batch)
                if self.stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the batches are taken
            self._put(error)
        else:
            self._put(None)

    def taken(self) -> Iterator[pa.RecordBatch]:
        """The batches in their order; an error where it happened."""
        while (item := self._ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(item, timeout=0.1)
                return


def _first_record(stream: GunzipStream) -> str:
    """The header record, which may hold quoted line ends; the stream goes on after it."""
    data, more = b"", b"-"
    while more and len(data) < _HEADER_BYTES:
        more = stream.read(_BLOCK_BYTES >> 4)
        data = (data + more).removeprefix(_BOM).lstrip(b"\r\n")
        end = _record_end(data, complete=not more)
        if end is not None:
            stream.unread(data[end:])
            return data[:end].decode("utf-8", "replace").rstrip("\r\n")
    raise ExportFileError(
        "The first line of the export does not end." if data else "The export has no header line.",
        "Even an export of nobody has one, so this is no whole export.",
        "Take the export again; the former one is as it was.",
        damaged=True,
    )


def _record_end(data: bytes, *, complete: bool) -> int | None:
    """Where the first record ends: at a line end that is not quoted, or with the file."""
    quoted = False
    for place, byte in enumerate(data[:_HEADER_BYTES]):
        if byte == 0x22:
            quoted = not quoted
        elif byte in b"\r\n" and not quoted:
            if byte == 0x0D and place + 1 == len(data) and not complete:
                return None  # the other half of \r\n may be in the next piece
            return place + (2 if data[place : place + 2] == b"\r\n" else 1)
    return len(data) if complete and data and not quoted else None


def _unparsable(words: str, columns: int) -> ExportFileError:
    """What Arrow's words mean, without the cells that they quote."""
    if found := re.search(r"Expected (\d+) columns, got (\d+)", words):
        happened = f"A row of the export has {found[2]} cells where the header has {columns}."
    elif "straddling" in words or "block" in words:
        happened = "A row of the export is longer than 1 MB, or a quotation mark is never closed."
    else:
        happened = "The export is not a CSV file that can be read."
    return _broken(happened)


def _broken(happened: str) -> ExportFileError:
    return ExportFileError(
        happened,
        "It was cut or damaged on its way, so nothing of it was kept.",
        "Take the export again; the former one is as it was.",
        damaged=True,
    )
