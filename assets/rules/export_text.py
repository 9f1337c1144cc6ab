"""Inflated bytes as text that a CSV parser can take: always valid UTF-8, with what is needed to notice a cut.

A byte that is not UTF-8 is read as Windows-1252, so that it costs neither the cell nor the export. Not here: gzip
(`gunzip`), rows and cells (`exported`).
"""

import contextlib
import re
import struct

import pyarrow as pa
import pyarrow.compute as pc

from assets.rules.gunzip import Readable

_PIECE_BYTES = 1 << 18
_TAIL_BYTES = 4096
_BOM = b"\xef\xbb\xbf"
_ESCAPED = re.compile("[\udc80-\udcff]")
_ESCAPE = "\ufdd0"  # a noncharacter; where it occurs all the same, it is escaped too
_ESCAPE_BYTES = _ESCAPE.encode()


class TextStream:
    """Reads like a file; `not_utf8` counts the bytes that had to be read another way."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ready, self._split, self._ended, self._begun = b"", b"", False, False
        self._quotes = self.not_utf8 = 0
        self._keeps_returns = self._has_returns = False
        self.tail = b""
        """The last bytes so far."""
        self.closed = False

    @property
    def ends_inside_quotes(self) -> bool:
        """Whether the text so far stops in a quoted cell: only a cut does that."""
        return self._quotes % 2 == 1 and not self.ends_with_line

    @property
    def ends_with_line(self) -> bool:
        """Whether the last line is complete."""
        return self.tail.endswith((b"\n", b"\r"))

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        pieces, length = [self._ready], len(self._ready)
        while not self._ended and (size < 0 or length < size):
            piece = self._next()
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        wanted = length if size < 0 else size
        self._ready = data[wanted:]
        return data[:wanted]

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be read again first."""
        self._ready = data + self._ready

    def keep_returns(self) -> None:
        """From here on lines end with a line feed alone, and a carriage return is a character like any other.

        Some writers do not quote it, and the parser would end a line there: it is escaped, see `restored`.
        """
        self._keeps_returns = True
        self._ready = self._escaped(self._ready)

    def restored(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        """Cells with the carriage returns that they had."""
        if not self._has_returns:
            return cells
        columns = [
            pc.replace_substring(pc.replace_substring(each, _ESCAPE + "r", "\r"), _ESCAPE + "e", _ESCAPE)
            for each in cells.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=cells.schema)

    def _escaped(self, data: bytes) -> bytes:
        if not self._keeps_returns or (b"\r" not in data and _ESCAPE_BYTES not in data):
            return data
        self._has_returns = True
        return data.replace(_ESCAPE_BYTES, _ESCAPE_BYTES + b"e").replace(b"\r", _ESCAPE_BYTES + b"r")

    def close(self) -> None:
        """Nothing to give back; for those who expect a file."""
        self.closed = True

    def readable(self) -> bool:
        """For those who expect a file."""
        return True

    def _next(self) -> bytes:
        read = self._source.read(_PIECE_BYTES)
        self._ended = not read
        piece = self._valid(self._split + read)
        if not self._begun and piece:
            piece, self._begun = piece.removeprefix(_BOM), True
        piece = self._escaped(piece)
        self._quotes += piece.count(b'"')
        if piece:
            self.tail = (self.tail + piece[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        return piece

    def _valid(self, data: bytes) -> bytes:
        self._split = b""
        if _is_utf8(data):
            return data
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and not self._ended:
                data, self._split = data[: error.start], data[error.start :]
                return data
        return self._mended(data)

    def _mended(self, data: bytes) -> bytes:
        """Read what is not UTF-8 as Windows-1252; a character cut in two waits for its other half."""
        if not self._ended:
            kept = next((n for n in range(1, 4) if data[-n] >= 0xC0 and _is_cut(data[-n:])), 0)
            data, self._split = (data[:-kept], data[-kept:]) if kept else (data, b"")
        text, wrong = _ESCAPED.subn(_as_windows, data.decode("utf-8", "surrogateescape"))
        self.not_utf8 += wrong
        return text.encode()


def _is_utf8(data: bytes) -> bool:
    """Arrow looks without making a text of it."""
    ends = pa.py_buffer(struct.pack("=ii", 0, len(data)))
    with contextlib.suppress(pa.ArrowInvalid):
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
        return True
    return False


def _is_cut(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _as_windows(found: re.Match[str]) -> str:
    byte = bytes([ord(found[0]) - 0xDC00])
    try:
        return byte.decode("cp1252")
    except UnicodeDecodeError:
        return byte.decode("latin-1")
