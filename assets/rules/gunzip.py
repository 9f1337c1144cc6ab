"""A gzip stream as a stream of bytes, with every way in which it can be broken told apart.

All members are read (they may be many), checksums and lengths are verified, and what inflates beyond all measure
is stopped. Pure: reads from any object with `read`. What the bytes mean is not known here (`exported`). Inflating is
the dearest step of reading an export: `isal` does it in a third of zlib's time.
"""

from dataclasses import dataclass
from typing import Protocol, cast

from isal import isal_zlib

from assets.rules.export_layout import ExportFileError

_INPUT_BYTES = 1 << 16
_BROKEN = cast("type[Exception]", isal_zlib.error)  # its stub says: an instance
_MAGIC = b"\x1f\x8b"
_AGAIN = "Take the export again; the former one is as it was."


class Readable(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to that many bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What no honest export exceeds; beyond it reading stops, so that neither disk nor memory fills up."""

    bytes_inflated: int = 256 << 30
    ratio: int = 400
    """Inflated to compressed bytes; CSV of people reaches 5 to 40, gzip can reach 1,032."""
    bytes_before_ratio: int = 64 << 20


class GunzipStream:
    """Reads like a file; `inflated` and `compressed` count the bytes so far."""

    def __init__(self, source: Readable, *, caps: Caps) -> None:
        self._source, self._caps = source, caps
        self._inflater: isal_zlib.Decompress | None = None
        self._pending, self._ended = b"", False
        self.compressed = self.inflated = self._members = 0

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        wanted = size if size >= 0 else 1 << 62
        pieces: list[bytes] = []
        while wanted > 0 and (piece := self._next(min(wanted, 1 << 20))):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _next(self, size: int) -> bytes:
        while not self._ended:
            if self._inflater is None and not self._open_member():
                break
            assert self._inflater is not None
            if not self._pending and not self._inflater.unconsumed_tail:
                self._pending = self._take_input()
            data = self._inflater.unconsumed_tail or self._pending
            piece = self._inflate(data, size)
            self._pending = b""
            if self._inflater.eof:
                self._pending, self._inflater = self._inflater.unused_data, None
            elif not data and not piece:
                raise _damaged("The downloaded export ends in the middle.")
            if piece:
                return self._counted(piece)
        self._ended = True
        return b""

    def _open_member(self) -> bool:
        """Begin the next member; False at the end of the file (gzip allows zeros after its members)."""
        self._fill_magic()
        if self._members:
            self._pending = self._pending.lstrip(b"\0")
            while not self._pending:
                if not (more := self._take_input()):
                    return False
                self._pending = more.lstrip(b"\0")
            self._fill_magic()
        if not self._pending.startswith(_MAGIC):
            raise self._not_gzip()
        self._members += 1
        self._inflater = isal_zlib.decompressobj(wbits=31)
        return True

    def _fill_magic(self) -> None:
        while len(self._pending) < len(_MAGIC) and (more := self._take_input()):
            self._pending += more

    def _not_gzip(self) -> ExportFileError:
        if self._members:
            return _damaged("The downloaded export has something else after its end.")
        if not self._pending:
            return _damaged("The downloaded export is empty.")
        start = self._pending.lstrip()[:1]
        what = "a web page or an error document" if start == b"<" else "no gzip file"
        return _damaged(f"What was downloaded as the export is {what}.")

    def _inflate(self, data: bytes, size: int) -> bytes:
        assert self._inflater is not None
        try:
            return self._inflater.decompress(data, size)
        except _BROKEN:
            raise _damaged(
                "The downloaded export is corrupt: its checksum or its structure is wrong."
            ) from None

    def _take_input(self) -> bytes:
        data = self._source.read(_INPUT_BYTES)
        self.compressed += len(data)
        return data

    def _counted(self, piece: bytes) -> bytes:
        if not self.inflated and piece.startswith(_MAGIC):
            raise _damaged("The downloaded export is packed twice.")
        self.inflated += len(piece)
        caps = self._caps
        swollen = self.inflated > caps.bytes_before_ratio and self.inflated > caps.ratio * self.compressed
        if swollen or self.inflated > caps.bytes_inflated:
            raise ExportFileError(
                f"The downloaded export inflates to more than {self.inflated >> 20:,} MB from "
                f"{self.compressed >> 10:,} KB; reading was stopped.",
                "Files like that are made to fill disks and memory, so nothing of it was kept.",
                "Report it to Mailtrap when the account is not that large.",
                damaged=False,
            )
        return piece


def _damaged(happened: str) -> ExportFileError:
    return ExportFileError(happened, "It cannot be trusted, so nothing of it was kept.", _AGAIN, damaged=True)
