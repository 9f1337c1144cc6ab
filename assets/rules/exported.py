"""The CSV of an export as typed Arrow batches: streamed, with flat memory, whatever its layout.

Belongs here: reading the stream, and counting what was seen. Not here: gzip (`gunzip`), which column is which
(`export_layout`), what a cell means (`export_cells`), where the file comes from and goes to (`assets/exports.py`).

    export = open_export(stream, fields, lists={7: "Newsletter"})
    for batch in export.batches():      # export.schema; sorted by e-mail within each batch
        sink.write(batch)
    export.seen.rows, export.seen.misfits
"""

import contextlib
import csv
import io
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from assets.rules.export_cells import ListCells, Typed, gather_misfits, type_column
from assets.rules.export_layout import (
    AccountField,
    Column,
    ExportFileError,
    Layout,
    match_headers,
    read_header,
)
from assets.rules.export_text import TextStream
from assets.rules.gunzip import Caps, GunzipStream, Readable

ROWS_PER_BATCH = 100_000
BEYOND = "beyond_header"
"""The key in `misfits` of cells that have no header."""
_BLOCK_BYTES = 1 << 20  # 8 MB blocks let memory grow with the file, measured; a row is at most one block
_HEADER_BYTES = 1 << 18
_ODD_ROWS_AT_LEAST, _ODD_SHARE = 100, 0.01
DEFAULT_CAPS = Caps()


_AHEAD = 2
_REPEATED = 0.25
_STATUSES = ("subscribed", "unsubscribed")  # any other word could be anything, and is only counted


@dataclass(slots=True)
class Seen:
    """What was read so far: numbers only."""

    rows: int = 0
    without_email: int = 0
    not_utf8: int = 0
    odd_rows: int = 0
    """Rows with more or fewer cells than the header."""
    misfits: dict[str, int] = field(default_factory=dict)
    unknown_lists: int = 0
    """Distinct cells that name a list which the account does not have (any more)."""
    by_status: dict[str, int] = field(default_factory=dict)
    csv_bytes: int = 0
    gzip_bytes: int = 0


class Export:
    """One export, opened: its layout is known, its rows are not read yet."""

    def __init__(
        self,
        text: TextStream,
        gunzip: GunzipStream,
        layout: Layout,
        *,
        delimiter: str,
        lists: Mapping[int, str],
        status: str | None,
    ) -> None:
        self.layout, self.schema, self.seen = layout, layout.schema, Seen()
        self._text, self._gunzip, self._delimiter, self._status = text, gunzip, delimiter, status
        self._lists, self._odd_rows = ListCells(lists), _OddRows(len(layout.headers), delimiter)

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
            held.append(block.append_column(BEYOND, pa.nulls(block.num_rows, pa.string())))
            self.seen.odd_rows += self._odd_rows.found
            held.extend(self._odd_rows.taken())
            self._check_odd(self.seen.rows + sum(each.num_rows for each in held))
            if sum(each.num_rows for each in held) >= rows_per_batch:
                yield self._text.restored(pa.concat_batches(held))
                held = []
        self.seen.odd_rows += self._odd_rows.found
        held.extend(self._odd_rows.taken())
        if held:
            yield self._text.restored(pa.concat_batches(held))

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        names = [str(position) for position in range(len(self.layout.headers))]
        if not (start := self._text.read(1)):
            return  # a header and no rows: an export of nobody
        self._text.unread(start)
        try:
            yield from pacsv.open_csv(
                pa.PythonFile(self._text, mode="r"),
                read_options=pacsv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
                parse_options=pacsv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=self._odd_rows.note,
                ),
                convert_options=pacsv.ConvertOptions(
                    check_utf8=False,  # TextStream has seen to it
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise _unparsable(str(error)) from None  # Arrow's words hold the row itself

    def _typed(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        arrays: list[pa.Array] = []
        unfit: dict[str, tuple[pa.Array, pa.Array]] = {}
        for column in self.layout.columns:
            if column.position is None:
                arrays.append(self._absent(column, cells.num_rows))
                continue
            text = cells.column(column.position)
            typed = (
                Typed(self._lists.read(text)) if column.kind == "lists" else type_column(text, column.kind)
            )
            arrays.append(typed.values)
            if column.kind == "status":
                self._count_statuses(typed.values)
            if typed.unfit is not None and (count := pc.sum(typed.unfit).as_py()):
                unfit[column.name] = (text, typed.unfit)
                self.seen.misfits[column.name] = self.seen.misfits.get(column.name, 0) + count
        beyond = cells.column(cells.num_columns - 1)
        if beyond.null_count < len(beyond):
            unfit[BEYOND] = (beyond, pc.is_valid(beyond))
        self.seen.without_email += arrays[0].null_count
        arrays.append(gather_misfits(unfit, rows=cells.num_rows))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _count_statuses(self, statuses: pa.Array) -> None:
        for each in pc.value_counts(statuses.drop_null()).to_pylist():
            word = each["values"] if each["values"] in _STATUSES else "other"
            self.seen.by_status[word] = self.seen.by_status.get(word, 0) + each["counts"]

    def _absent(self, column: Column, rows: int) -> pa.Array:
        if column.kind == "status" and self._status is not None:
            self.seen.by_status[self._status] = self.seen.by_status.get(self._status, 0) + rows
            return pa.repeat(pa.scalar(self._status, pa.string()), rows)
        return pa.nulls(rows, self.schema.field(column.name).type)

    def _check_odd(self, rows: int) -> None:
        if self.seen.odd_rows > _ODD_ROWS_AT_LEAST + _ODD_SHARE * rows:
            raise _broken(
                f"{self.seen.odd_rows:,} rows of the export have more or fewer cells than its header."
            )

    def _check_end(self) -> None:
        seen = self.seen
        self._check_odd(seen.rows)
        seen.csv_bytes, seen.gzip_bytes = self._gunzip.inflated, self._gunzip.compressed
        seen.unknown_lists, seen.not_utf8 = self._lists.unknown, self._text.not_utf8
        if self._text.ends_inside_quotes:
            raise _broken("The export ends inside a quoted cell.")
        short = self._odd_rows.last_short
        if short and not self._text.ends_with_line and self._text.tail.endswith(short):
            raise _broken("The last row of the export ends in the middle.")


class _OddRows:
    """Rows with more or fewer cells than the header: kept, with nulls, or with what is beyond as a misfit."""

    def __init__(self, cells: int, delimiter: str) -> None:
        self._cells, self._delimiter = cells, delimiter
        self._noted: list[str] = []
        self.last_short = b""

    @property
    def found(self) -> int:
        """How many wait to be taken."""
        return len(self._noted)

    def note(self, row: pacsv.InvalidRow) -> str:
        """For Arrow: set a row aside."""
        self._noted.append(row.text)
        return "skip"

    def taken(self) -> list[pa.RecordBatch]:
        """What was noted, as a batch."""
        noted, self._noted = self._noted, []
        if not noted:
            return []
        rows = [
            next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter), []) for text in noted
        ]
        if len(rows[-1]) < self._cells:
            self.last_short = noted[-1].encode()
        padded = [[cell or None for cell in row] + [None] * (self._cells - len(row)) for row in rows]
        columns = [pa.array([row[place] for row in padded], pa.string()) for place in range(self._cells)]
        beyond = [self._joined(row[self._cells :]) for row in rows]
        names = [*map(str, range(self._cells)), BEYOND]
        return [pa.RecordBatch.from_arrays([*columns, pa.array(beyond, pa.string())], names=names)]

    def _joined(self, cells: list[str]) -> str | None:
        if not cells:
            return None
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="").writerow(cells)
        return text.getvalue()


def open_export(
    source: Readable,
    fields: Iterable[AccountField],
    *,
    lists: Mapping[int, str] | None = None,
    status: str | None = None,
    caps: Caps = DEFAULT_CAPS,
) -> Export:
    """The export in a csv.gz stream; `status` is what all its rows have when the export was filtered by it."""
    gunzip = GunzipStream(source, caps=caps)
    text = TextStream(gunzip)
    line = _first_record(text)
    delimiter, headers = read_header(line)
    layout = match_headers(headers, fields)
    return Export(text, gunzip, layout, delimiter=delimiter, lists=lists or {}, status=status)


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


def _first_record(stream: TextStream) -> str:
    """The header record, which may hold quoted line ends; the stream goes on after it."""
    data, more = b"", b"-"
    while more and len(data) < _HEADER_BYTES:
        more = stream.read(_BLOCK_BYTES >> 4)
        data = (data + more).lstrip(b"\r\n")
        end = _record_end(data, complete=not more)
        if end is not None:
            stream.unread(data[end:])
            if data[:end].endswith(b"\n") and not data[:end].endswith(b"\r\n"):
                stream.keep_returns()
            return data[:end].decode().rstrip("\r\n")
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


def _unparsable(words: str) -> ExportFileError:
    """What Arrow's words mean, without the cells that they quote."""
    if "straddling" in words or "block" in words:
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
