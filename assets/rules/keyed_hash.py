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
_START = [np.uint64(word) for word in np.frombuffer(b"somepseudorandomlygeneratedbytes", ">u8").tolist()]
_FIRST, _SECOND = np.uint64(0xEE), np.uint64(0xDD)
_TURNS = {by: (np.uint64(by), np.uint64(64 - by)) for by in (13, 16, 17, 21, 32)}
_KEPT = np.array([(1 << (8 * count)) - 1 for count in range(8)], np.uint64)


def keyed_hashes(column: cells.Array, key: bytes) -> Words:
    """The hash of each cell's bytes under a key of any length; what stands for null is meaningless."""
    data, ends = cells.raw_bytes(column)
    starts, lengths = ends[:-1].astype(np.int64), np.diff(ends).astype(np.int64)
    key_of_16_bytes = hashlib.blake2b(key, digest_size=16).digest()
    return siphash(data, starts=starts, lengths=lengths, key=key_of_16_bytes)


def siphash(
    data: npt.NDArray[np.uint8], *, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], key: bytes
) -> Words:
    """SipHash-2-4-128 of pieces of `data` under a key of 16 bytes, as its authors' own vectors have it."""
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))  # the word that begins at each byte
    found = np.empty((len(starts), 2), np.uint64)
    for rows, whole in _alike(lengths >> 3):
        at, length = starts[rows], lengths[rows]
        state = _State(key, len(rows))
        for place in range(whole):
            state.take(words[at + 8 * place])
        state.take(words[at + 8 * whole] & _KEPT[length & 7] | length.astype(np.uint64) << np.uint64(56))
        found[rows, 0], found[rows, 1] = state.ends()
    return found


def _alike(sizes: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Cells of the same number of whole words, some at a time."""
    order = np.argsort(sizes.astype(np.uint16) if sizes.max(initial=0) < 1 << 16 else sizes, kind="stable")
    for alike in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        for first in range(0, len(alike), _CELLS_AT_ONCE):
            yield alike[first : first + _CELLS_AT_ONCE], int(sizes[alike[0]])


class _State:
    """The four words of SipHash, for many cells at once."""

    def __init__(self, key: bytes, size: int) -> None:
        low, high = np.frombuffer(key, "<u8")
        seeds = (low, high ^ _FIRST, low, high)
        self._words = [np.full(size, seed ^ start) for seed, start in zip(seeds, _START, strict=True)]
        self._spare = np.empty(size, np.uint64)

    def take(self, words: npt.NDArray[np.uint64]) -> None:
        """The next word of each cell."""
        self._words[3] ^= words
        self._mix(2)
        self._words[0] ^= words

    def ends(self) -> Iterator[npt.NDArray[np.uint64]]:
        """The two halves of the hash."""
        for place, end in ((2, _FIRST), (1, _SECOND)):
            self._words[place] ^= end
            self._mix(4)
            yield np.bitwise_xor.reduce(self._words)

    def _mix(self, rounds: int) -> None:
        one, two, three, four = self._words
        for _ in range(rounds):
            one += two
            three += four
            self._turn(two, 13)
            self._turn(four, 16)
            two ^= one
            four ^= three
            self._turn(one, 32)
            three += two
            one += four
            self._turn(two, 17)
            self._turn(four, 21)
            two ^= three
            four ^= one
            self._turn(three, 32)

    def _turn(self, words: npt.NDArray[np.uint64], by: int) -> None:
        left, right = _TURNS[by]
        np.left_shift(words, left, out=self._spare)
        np.right_shift(words, right, out=words)
        words |= self._spare
