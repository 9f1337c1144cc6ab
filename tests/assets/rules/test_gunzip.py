"""A gzip stream is read whole or not at all, and every kind of damage has its words."""

import gzip
import io
import zlib

import pytest

from assets.rules.export_layout import ExportFileError
from assets.rules.gunzip import Caps, GunzipStream

TEXT = b"email,age\n" + b"".join(b"person%d@example.com,%d\n" % (n, n * 7919 % 90) for n in range(5000))
WHOLE = gzip.compress(TEXT)


def read(data: bytes, *, caps: Caps | None = None, size: int = 1000) -> bytes:
    """All that is inflated, read in small pieces."""
    stream = GunzipStream(io.BytesIO(data), caps=caps or Caps())
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
        gzip.compress(b"") + WHOLE,
        WHOLE + b"\0" * 70_000,
        b"".join(gzip.compress(TEXT[n : n + 999]) for n in range(0, len(TEXT), 999)),
    ],
    ids=["one member", "two members", "an empty member", "padding", "many members"],
)
def test_whole_files_are_read(data: bytes) -> None:
    """Members and padding are no damage."""
    assert read(data) == TEXT
    assert read(data, size=1 << 20) == TEXT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WHOLE[:-1], "ends in the middle"),
        (WHOLE[: len(WHOLE) // 2], "ends in the middle"),
        (WHOLE[:5], "ends in the middle"),
        (WHOLE[:-8] + bytes(8), "corrupt"),
        (WHOLE[:500] + b"\xff\xff\xff" + WHOLE[503:], "corrupt"),
        (WHOLE + b"garbage", "after its end"),
        (b"", "is empty"),
        (b"<html><body>Sorry</body></html>", "web page"),
        (TEXT, "no gzip file"),
        (b"PK\x03\x04zip", "no gzip file"),
        (b"\x1f", "no gzip file"),
        (gzip.compress(WHOLE), "packed twice"),
    ],
    ids=[
        *(
            "one byte short",
            "half",
            "head only",
            "wrong length",
            "scrambled",
            "garbage after",
            "nothing",
            "a page",
        ),
        *("plain text", "a zip", "one byte", "packed twice"),
    ],
)
def test_damage_is_told_apart(data: bytes, words: str) -> None:
    """The words say what a person needs, and hold nothing of the file."""
    with pytest.raises(ExportFileError, match=words) as caught:
        read(data)
    assert caught.value.damaged and "person" not in str(caught.value)


def test_a_bomb_is_stopped_by_its_ratio() -> None:
    """Long before the disk is full."""
    bomb = gzip.compress(bytes(30_000_000))
    with pytest.raises(ExportFileError, match="inflates to more than") as caught:
        read(bomb, caps=Caps(bytes_before_ratio=1_000_000), size=1 << 20)
    assert not caught.value.damaged  # fetching it again would not help


def test_a_bomb_is_stopped_by_its_size() -> None:
    """Also when it is patient."""
    with pytest.raises(ExportFileError, match="inflates"):
        read(WHOLE, caps=Caps(bytes_inflated=50_000))


def test_stored_blocks_are_read_in_any_pieces() -> None:
    """Input that hardly inflates leaves no rest behind."""
    packer = zlib.compressobj(0, wbits=31)
    data = packer.compress(TEXT) + packer.flush()
    assert read(data, size=7) == TEXT
