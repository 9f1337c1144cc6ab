"""How rows come out of one file: CSV, JSON lines, Parquet.

Here: one class for each format, which says the columns of a file and streams its rows. No type is guessed:
whatever a format does not type itself is text. Not here: which files there are, windows, columns of folders
(`files.py`).
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from resources.errors import WarehouseError
from resources.warehouses import complaints, statement
from resources.warehouses.contract import CsvDialect, Days, Window

BYTES_PER_BLOCK = 1 << 20
# No JSON text and no sane CSV has this character outside of an escape: with it, a line is one column.
_NEVER = "\x01"
_ROW = re.compile(r"Row #(\d+)")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file, as it was when it was listed."""

    filesystem: pafs.FileSystem
    path: str
    shown: str
    size: int
    changed_ns: int
    folders: tuple[tuple[str, str | None], ...] = ()
    """The columns that the names of its folders give: `country=de/` is ("country", "de")."""


@dataclass(frozen=True, slots=True)
class DefaultDialect:
    """CSV as RFC 4180 has it, with a header."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[tuple[str, str], ...] = ()
    null_values: tuple[str, ...] = ("",)


class Format(Protocol):
    """What is asked of a format."""

    @property
    def optional_columns(self) -> bool:
        """Whether a column may be missing in one file and there in the next."""
        ...

    def schema(self, file: SourceFile, *, enough: Sequence[str] = ()) -> pa.Schema:
        """The columns of the file in the types of its batches; the search may stop when `enough` are found."""
        ...

    def batches(
        self, file: SourceFile, columns: Sequence[str], *, window: Window | None, rows_per_batch: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows, with these columns in this order; rows that cannot be in the window may be left out."""
        ...

    def rows(self, file: SourceFile) -> int | None:
        """The number of rows, when the file says so itself."""
        ...


class Csv:
    """Delimited text by a declared dialect; every column is text."""

    optional_columns = False

    def __init__(self, dialect: CsvDialect) -> None:
        self._dialect = dialect

    def schema(self, file: SourceFile, *, enough: Sequence[str] = ()) -> pa.Schema:  # noqa: ARG002
        """Our names of the columns: of the header by the mapping, or of the dialect by position."""
        return pa.schema([pa.field(ours, pa.string()) for _theirs, ours in self._names(file)])

    def batches(
        self,
        file: SourceFile,
        columns: Sequence[str],
        *,
        window: Window | None,  # noqa: ARG002
        rows_per_batch: int,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch]:
        """The rows as text; a row with too many or too few fields is an error that names its line."""
        theirs = {ours: name for name, ours in self._names(file)}
        wanted = [theirs[name] for name in columns]
        with self._errors_of(file), _opened(file) as raw:
            text = _Text(raw, self._dialect)
            if not (file.size == 0 and not self._dialect.header):
                yield from self._reader(text, list(theirs.values()), wanted)
        if text.may_end_in_quotes and (line := self._unclosed_quote(file)):
            raise broken_row(file, f"line {line}", "a quote that opens there is never closed")

    def rows(self, file: SourceFile) -> int | None:  # noqa: ARG002
        """Not without reading it."""
        return None

    def _reader(self, text: "_Text", names: Sequence[str], wanted: Sequence[str]) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            pa.PythonFile(text, mode="r"),
            # Without threads an error says in which row it is.
            read_options=self._read_options(None if self._dialect.header else names),
            parse_options=self._parse_options(),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(wanted),
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(self._dialect.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _read_options(self, names: Sequence[str] | None) -> pacsv.ReadOptions:
        given = {} if names is None else {"column_names": list(names)}
        return pacsv.ReadOptions(block_size=BYTES_PER_BLOCK, use_threads=False, **given)

    def _parse_options(self) -> pacsv.ParseOptions:
        return pacsv.ParseOptions(
            delimiter=self._dialect.delimiter,
            quote_char=self._dialect.quote or False,
            double_quote=self._dialect.escape is None,
            escape_char=self._dialect.escape or False,
            newlines_in_values=True,
        )

    def _names(self, file: SourceFile) -> list[tuple[str, str]]:
        """(name in the file, our name) of every column of the file."""
        if not self._dialect.header:
            return [(ours, ours) for _nothing, ours in self._dialect.columns]
        if file.size == 0:
            raise WarehouseError(
                f"{file.shown} is empty: it has not even a header.",
                remedy="Let the export write a header, or say `csv: {header: false, columns: …}`.",
                outcome="data",
            )
        with self._errors_of(file), _opened(file) as raw:
            reader = pacsv.open_csv(
                pa.PythonFile(_Text(raw, self._dialect), mode="r"),
                read_options=self._read_options(None),
                parse_options=self._parse_options(),
            )
            names = reader.schema.names
        if any("@" in name for name in names):  # before a message lists them as names of columns
            raise WarehouseError(
                f"The first line of {file.shown} is no header: an address stands in it.",
                "People's data would be taken for the names of columns.",
                "Let the export write a header, or say `csv: {header: false, columns: …}`.",
                outcome="data",
            )
        mapping = dict(self._dialect.columns)
        if unknown := [name for name in mapping if name not in names]:
            raise complaints.column_missing(unknown, names, relation=f"the header of {file.shown}")
        ours = [mapping.get(name, name) for name in names]
        _refuse_twins(ours, file, remedy="Name the columns apart in the file, or under `csv: columns:`.")
        return list(zip(names, ours, strict=True))

    @contextmanager
    def _errors_of(self, file: SourceFile) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            raise self._broken(file, str(error)) from None
        except UnicodeError:
            raise _not_this_encoding(file, self._dialect.encoding) from None

    def _broken(self, file: SourceFile, words: str) -> WarehouseError:
        """Arrow's message quotes the row; ours counts it."""
        if "straddling" in words:
            return broken_row(
                file, "a row", f"it is longer than {BYTES_PER_BLOCK} bytes, as after an unclosed quote"
            )
        if "invalid UTF8" in words:
            return _not_this_encoding(file, self._dialect.encoding)
        if "Empty CSV" in words:
            return broken_row(file, "the whole file", "it is empty: it has not even a header")
        row = _ROW.search(words)
        try:
            where = self._place(file, int(row[1])) if row else "a row"
        except UnicodeError:
            return _not_this_encoding(file, self._dialect.encoding)
        except csv.Error:
            return broken_row(file, "a row", "it does not end, as after an unclosed quote")
        fields = re.search(r"Expected (\d+) columns, got (\d+)", words)
        return broken_row(
            file, where, f"it has {fields[2]} fields instead of {fields[1]}" if fields else "it is malformed"
        )

    def _place(self, file: SourceFile, row: int) -> str:
        """The line of the n-th row: rows may hold newlines. Slow, but only on the way to an error."""
        with _opened(file) as raw:
            reader, line, at = self._slow_reader(raw), 1, 0
            while at < row:
                line = reader.line_num + 1
                at += bool(next(reader, ["end"]))
        return f"line {line}"

    def _unclosed_quote(self, file: SourceFile) -> int | None:
        """The line in which the last row begins, when the file ends inside quotes."""
        line = 1
        with _opened(file) as raw:
            reader = self._slow_reader(raw)
            try:
                for _row in reader:
                    line = reader.line_num + 1
            except csv.Error:
                return line
        return None

    def _slow_reader(self, raw: pa.NativeFile) -> Any:
        lines = io.TextIOWrapper(io.BufferedReader(_Raw(raw)), encoding=_codec(self._dialect), newline="")
        return csv.reader(
            lines,
            delimiter=self._dialect.delimiter,
            quotechar=self._dialect.quote,
            quoting=csv.QUOTE_MINIMAL if self._dialect.quote else csv.QUOTE_NONE,
            doublequote=self._dialect.escape is None,
            escapechar=self._dialect.escape,
            strict=True,
        )


class JsonLines:
    """One JSON object a line; every column is text, and what is nested is its JSON."""

    optional_columns = True

    def schema(self, file: SourceFile, *, enough: Sequence[str] = ()) -> pa.Schema:
        """Every key of every object, or those found until they are enough."""
        keys: dict[str, None] = {}
        sql = "SELECT DISTINCT unnest(json_keys(line)) AS key FROM lines"
        with _one_thread() as connection:
            for lines, first in self._lines(file):
                found = _asked(connection, lines, sql, file=file, first=first)
                keys.update(dict.fromkeys(found.column("key").to_pylist()))
                if enough and keys.keys() >= set(enough):
                    break
        return pa.schema([pa.field(key, pa.string()) for key in sorted(keys)])

    def batches(
        self,
        file: SourceFile,
        columns: Sequence[str],
        *,
        window: Window | None,  # noqa: ARG002
        rows_per_batch: int,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch]:
        """The values by key as text; an object without the key has none."""
        paths = ", ".join(statement.text(_pointer(name), "duckdb") for name in columns)
        listed = ", ".join(f"v[{at}] AS c{at}" for at in range(1, len(columns) + 1))
        sql = f"SELECT {listed} FROM (SELECT json_extract_string(line, [{paths}]) AS v FROM lines)"
        with _one_thread() as connection:
            for lines, first in self._lines(file):
                found = _asked(connection, lines, sql, file=file, first=first)
                yield from found.rename_columns(list(columns)).to_batches()

    def rows(self, file: SourceFile) -> int | None:  # noqa: ARG002
        """Not without reading it."""
        return None

    def _lines(self, file: SourceFile) -> Iterator[tuple[pa.Table, int]]:
        first = 1
        if file.size == 0:
            return
        with _errors_of_lines(file), _opened(file) as raw:
            reader = pacsv.open_csv(
                raw,
                read_options=pacsv.ReadOptions(
                    column_names=["line"], block_size=BYTES_PER_BLOCK, use_threads=False
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=_NEVER, quote_char=False, escape_char=False, ignore_empty_lines=False
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={"line": pa.string()}, strings_can_be_null=False
                ),
            )
            for batch in reader:
                yield pa.table({"line": batch.column(0)}), first
                first += batch.num_rows


def _refuse_twins(names: Sequence[str], file: SourceFile, *, remedy: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WarehouseError(
            f"More than one column of {file.shown} is named {', '.join(twice)}.",
            "It is not clear which one is meant.",
            remedy,
        )


class Parquet:
    """Parquet; the types are the file's own."""

    optional_columns = False

    def schema(self, file: SourceFile, *, enough: Sequence[str] = ()) -> pa.Schema:  # noqa: ARG002
        """The columns of the footer."""
        with self._open(file) as parquet:
            schema = parquet.schema_arrow.remove_metadata()
        _refuse_twins(schema.names, file, remedy="Name the columns apart where the file is written.")
        return schema

    def batches(
        self, file: SourceFile, columns: Sequence[str], *, window: Window | None, rows_per_batch: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the row groups whose statistics do not rule the window out."""
        groups = self._groups(file, window)
        with self._open(file) as parquet:
            for batch in parquet.iter_batches(rows_per_batch, columns=list(columns), row_groups=groups):
                yield batch.select(list(columns))

    def rows(self, file: SourceFile) -> int | None:
        """What the footer says."""
        with self._open(file) as parquet:
            return int(parquet.metadata.num_rows)

    def _open(self, file: SourceFile) -> pq.ParquetFile:
        # pre_buffer would keep what was read: memory would grow with the file.
        return pq.ParquetFile(file.filesystem.open_input_file(file.path), pre_buffer=False)

    def _groups(self, file: SourceFile, window: Window | None) -> list[int] | None:
        if not isinstance(window, Days):
            return None
        data_type = self.schema(file).field(window.column).type
        if not pa.types.is_temporal(data_type) or pa.types.is_time(data_type):
            return None
        fragment = pads.ParquetFileFormat().make_fragment(file.path, filesystem=file.filesystem)
        column = pads.field(window.column)
        inside = (column >= _scalar(window.start_utc, data_type)) & (
            column <= _scalar(window.end_utc, data_type)
        )
        return [group.id for part in fragment.split_by_row_group(inside) for group in part.row_groups]


def format_of(file: SourceFile, dialect: CsvDialect | None) -> Format:
    """The format by the name of the file, compression aside."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(file.path).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".parquet", ".pq"):
        return Parquet()
    if suffix in (".jsonl", ".ndjson", ".json"):
        return JsonLines()
    if dialect is not None:
        return Csv(dialect)
    if suffix in (".csv", ".tsv", ".txt"):
        return Csv(DefaultDialect(delimiter="\t" if suffix == ".tsv" else ","))
    raise WarehouseError(
        f"{file.shown} is of no format that is known here.",
        remedy="Name files that end in .csv, .tsv, .parquet, .jsonl or .ndjson (also .gz, .zst, .bz2, .lz4), "
        "or say with `csv:` that they are delimited text.",
    )


def broken_row(file: SourceFile, where: str, why: str) -> WarehouseError:
    """A row that cannot be read; where it is, not what it says."""
    return WarehouseError(
        f"{where[:1].upper()}{where[1:]} of {file.shown} cannot be read: {why}.",
        "A file is read whole or not at all: after such a row nobody knows which value belongs to which column.",
        "Mend that row, or the dialect under `csv:` (delimiter, quote, escape).",
        outcome="data",
    )


class _Text(io.RawIOBase):
    """Bytes of a CSV file as UTF-8; counts quotes, to notice a file that ends inside of them.

    Arrow takes such a file for whole: all that follows the quote becomes one value, and no row is missed.
    """

    def __init__(self, raw: pa.NativeFile, dialect: CsvDialect) -> None:
        super().__init__()
        self._lines = _recoded(raw, dialect)
        self._quote = (dialect.quote or "").encode()
        self._escaped = ((dialect.escape or "") + (dialect.quote or "")).encode() if dialect.escape else b""
        self._quotes = 0

    @property
    def may_end_in_quotes(self) -> bool:
        return self._quotes % 2 == 1

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._lines.read(size)
        if self._quote:
            self._quotes += block.count(self._quote)
        if self._escaped:
            self._quotes -= block.count(self._escaped)
        return block


class _Raw(io.RawIOBase):
    """Arrow's stream as Python's own, for `io.TextIOWrapper`."""

    def __init__(self, raw: pa.NativeFile) -> None:
        super().__init__()
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        block = self._raw.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


class _Recoded:
    """Reads any encoding as UTF-8."""

    def __init__(self, raw: pa.NativeFile, encoding: str) -> None:
        self._text = io.TextIOWrapper(io.BufferedReader(_Raw(raw)), encoding=encoding, newline="")

    def read(self, size: int) -> bytes:
        # A character of text has at most four bytes.
        return self._text.read(max(1, size // 4)).encode("utf-8")


def _recoded(raw: pa.NativeFile, dialect: CsvDialect) -> "pa.NativeFile | _Recoded":
    return raw if _codec(dialect) == "utf-8-sig" else _Recoded(raw, _codec(dialect))


def _codec(dialect: CsvDialect) -> str:
    name = dialect.encoding.lower().replace("_", "-")
    return "utf-8-sig" if name in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii") else dialect.encoding


@contextmanager
def _opened(file: SourceFile) -> Iterator[pa.NativeFile]:
    with file.filesystem.open_input_stream(
        file.path, compression="detect", buffer_size=BYTES_PER_BLOCK
    ) as raw:
        yield raw


def _asked(
    connection: duckdb.DuckDBPyConnection, lines: pa.Table, sql: str, *, file: SourceFile, first: int
) -> pa.Table:
    """The answer to a statement about the lines; the first line that is no JSON object is an error."""
    connection.register("all_lines", lines)
    kinds = "SELECT count(*) AS n FROM lines WHERE json_type(line) <> 'OBJECT'"
    try:
        answers = [connection.sql(_WITHOUT_BLANKS + each).to_arrow_table() for each in (sql, kinds)]
    except duckdb.InvalidInputException:
        raise _broken_line(lines, file, first) from None
    if answers[1].column("n").to_pylist() != [0]:
        raise _broken_line(lines, file, first)
    return answers[0]


def _broken_line(lines: pa.Table, file: SourceFile, first: int) -> WarehouseError:
    with duckdb.connect() as connection:
        connection.register("all_lines", lines)
        found = connection.sql(
            "SELECT min(number) FROM (SELECT line, row_number() OVER () AS number FROM all_lines) "
            "WHERE trim(line, E' \\t\\r') <> '' "
            "AND CASE WHEN json_valid(line) THEN json_type(line) <> 'OBJECT' ELSE true END"
        ).fetchall()
    return WarehouseError(
        f"Line {first + (found[0][0] or 1) - 1} of {file.shown} is not a JSON object.",
        "JSON lines hold one object on each line; nothing of the file is used.",
        "Mend that line, or write the file as JSON lines.",
        outcome="data",
    )


@contextmanager
def _errors_of_lines(file: SourceFile) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        if "invalid UTF8" in str(error):
            raise _not_this_encoding(file, "utf-8") from None
        why = (
            f"it is longer than {BYTES_PER_BLOCK} bytes" if "straddling" in str(error) else "it is malformed"
        )
        raise broken_row(file, "a line", why) from None


def _not_this_encoding(file: SourceFile, encoding: str) -> WarehouseError:
    return WarehouseError(
        f"{file.shown} is not written in {encoding}.",
        "Some of its bytes are no characters of that encoding.",
        "Say the encoding under `csv: encoding:` (for example latin-1, cp1252, utf-16), or export as UTF-8.",
        outcome="data",
    )


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _scalar(moment: object, data_type: pa.DataType) -> pa.Scalar:
    instant = pa.scalar(moment, pa.timestamp("us", tz="UTC"))
    if pa.types.is_date(data_type) or data_type.tz is None:
        instant = instant.cast(pa.timestamp("us"))
    return pc.cast(instant, data_type, safe=False)


def _one_thread() -> duckdb.DuckDBPyConnection:
    # Opening one takes 40 ms: once for a file, not once for a block.
    return duckdb.connect(config={"threads": "1"})


_WITHOUT_BLANKS = "WITH lines AS (SELECT line FROM all_lines WHERE trim(line, E' \\t\\r') <> '') "
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
