"""A keyed hash of every cell of a column at once: SipHash-2-4, as pandas has it.

Belongs here: the hash. Not here: what is hashed (`address`, `judgement`, `fingerprint`).

SipHash is a keyed pseudorandom function for short inputs (Aumasson and Bernstein, 2012): who has not the key can
neither recognise an address by its hash nor make one. HMAC-SHA-256 does the same, one cell at a time in Python and at
many times the cost: it was more than a third of all that screening costs (docs/decisions/0070-keyed-hash.md).
"""

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules import cells

Words = npt.NDArray[np.uint64]


def keyed_hashes(column: cells.Array, key: bytes, *, words: int = 2) -> Words:
    """So many words of 64 bits for each cell's bytes, under a key of any length; those of null are meaningless.

    Each word has a key of its own of 16 bytes, which BLAKE2b derives from the whole one.
    """
    held = cells.binary(column).to_numpy(zero_copy_only=False)
    keys = hashlib.blake2b(key, digest_size=16 * words).digest().decode("latin-1")
    found = np.empty((len(held), words), np.uint64)
    for place in range(words):
        own_key = keys[16 * place : 16 * (place + 1)]
        found[:, place] = pd.util.hash_array(held, encoding="latin-1", hash_key=own_key, categorize=False)
    return found
