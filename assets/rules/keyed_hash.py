"""A keyed hash of every cell of a column at once: SipHash-2-4 with 128 bits, in numpy.

Belongs here: the hash. Not here: what is hashed (`address`, `judgement`, `payload`).

SipHash is a keyed pseudorandom function for short inputs (Aumasson and Bernstein, 2012): who has not the key can
neither recognise an address by its hash nor make one. HMAC-SHA-256 does the same, one cell at a time in Python and at
four times the cost: it was more than a third of all that screening costs (docs/decisions/0070-keyed-hash.md).
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from assets.rules import cells

Words = npt.NDArray[np.uint64]
"""Two words of 64 bits for each cell: the hash."""

_CELLS_AT_ONCE = 16_384  # few enough to stay near a core, many enough that other threads get their turn
_LONG_BYTES = 1_024
_START = [np.uint64(word) for word in np.frombuffer(b"somepseudorandomlygeneratedbytes", ">u8").tolist()]
_FIRST, _SECOND = np.uint64(0xEE), np.uint64(0xDD)
_TURNS = {by: (np.uint64(by), np.uint64(64 - by)) for by in (13, 16, 17, 21, 32)}
_KEPT = np.array([(1 << (8 * count)) - 1 for count in range(8)], np.uint64)


def keyed_hashes(column: cells.Array, key: bytes) -> Words:
    """The hash of each cell's bytes under a key of any length; what stands for null is meaningless.

    A cell of more than a thousand bytes is hashed by itself, by keyed BLAKE2b: no address is that long.
    """
    data, ends = cells.raw_bytes(column)
    starts, lengths = ends[:-1].astype(np.int64), np.diff(ends).astype(np.int64)
    key = hashlib.blake2b(key, digest_size=16).digest()
    found = siphash(data, starts=starts, lengths=np.minimum(lengths, _LONG_BYTES), key=key)
    for row in np.flatnonzero(lengths > _LONG_BYTES):
        cell = data[starts[row] : starts[row] + lengths[row]]
        found[row] = np.frombuffer(hashlib.blake2b(cell.tobytes(), key=key, digest_size=16).digest(), "<u8")
    return found


def siphash(
    data: npt.NDArray[np.uint8], *, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], key: bytes
) -> Words:
    """SipHash-2-4-128 of pieces of `data` under a key of 16 bytes, as its authors' own vectors have it."""
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))  # the word that begins at each byte
    found = np.empty((len(starts), 2), np.uint64)
    longest_first = np.argsort(-(lengths >> 3), kind="stable")
    for first in range(0, len(starts), _CELLS_AT_ONCE):
        rows = longest_first[first : first + _CELLS_AT_ONCE]
        state = _State(key, len(rows))
        for word in _words(words, starts[rows], lengths[rows]):
            state.take(word)
        found[rows, 0], found[rows, 1] = state.ends()
    return found


def _words(
    words: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.uint64]]:
    """Word by word, of the cells that have so many: the last one ends with the cell's length."""
    whole = lengths >> 3
    ends = np.searchsorted(-whole, -np.arange(whole[0] + 2), side="right")  # how many have at least so many
    for place in range(int(whole[0]) + 1):
        last, going_on = slice(ends[place + 1], ends[place]), ends[place]
        word = words[starts[:going_on] + 8 * place]
        length = lengths[last]
        word[last] = word[last] & _KEPT[length & 7] | length.astype(np.uint64) << np.uint64(56)
        yield word


class _State:
    """The four words of SipHash, for many cells at once."""

    def __init__(self, key: bytes, size: int) -> None:
        low, high = np.frombuffer(key, "<u8")
        seeds = (low, high ^ _FIRST, low, high)
        self._words = [np.full(size, seed ^ start) for seed, start in zip(seeds, _START, strict=True)]
        self._spare = np.empty(size, np.uint64)

    def take(self, word: npt.NDArray[np.uint64]) -> None:
        """The next word of as many cells as still have one."""
        size = len(word)
        self._words[3][:size] ^= word
        self._mix(2, size)
        self._words[0][:size] ^= word

    def ends(self) -> Iterator[npt.NDArray[np.uint64]]:
        """The two halves of the hash."""
        for place, end in ((2, _FIRST), (1, _SECOND)):
            self._words[place] ^= end
            self._mix(4, len(self._spare))
            yield np.bitwise_xor.reduce(self._words)

    def _mix(self, rounds: int, size: int) -> None:
        one, two, three, four, spare = (words[:size] for words in (*self._words, self._spare))
        for _ in range(rounds):
            one += two
            three += four
            _turn(two, 13, spare)
            _turn(four, 16, spare)
            two ^= one
            four ^= three
            _turn(one, 32, spare)
            three += two
            one += four
            _turn(two, 17, spare)
            _turn(four, 21, spare)
            two ^= three
            four ^= one
            _turn(three, 32, spare)


def _turn(words: npt.NDArray[np.uint64], by: int, spare: npt.NDArray[np.uint64]) -> None:
    left, right = _TURNS[by]
    np.left_shift(words, left, out=spare)
    np.right_shift(words, right, out=words)
    words |= spare
