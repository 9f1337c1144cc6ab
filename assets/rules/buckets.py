"""Where a row belongs whose address is spelt oddly: in the bucket of the person whom it is about.

Plain addresses are parted by the warehouse. Of the others, as `Name <ann@example.com>`, it gives each bucket all, because
only the rule of addresses can tell whom they are about; a "no" among them has to meet its person's other rows. Belongs here:
which of a bucket's rows are its own. Not here: the part that is SQL (`resources/warehouses/statement`).
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import address, cells

_ODD = r"[^A-Za-z0-9@._+\-]|\.$"


def in_bucket(addresses: cells.Array, index: int, count: int) -> cells.Mask:
    """Which rows of a bucket's window belong to the bucket: all that are spelt plainly, and of the others its own."""
    if not pa.types.is_string(addresses.type):
        return np.ones(len(addresses), np.bool_)
    odd = np.flatnonzero(cells.to_mask(pc.match_substring_regex(addresses, _ODD)))
    ours = np.ones(len(addresses), np.bool_)
    if len(odd):
        persons = address.persons(addresses.take(pa.array(odd))).to_pylist()
        ours[odd] = [_bucket(person, count) == index for person in persons]
    return ours


def _bucket(person: bytes, count: int) -> int:
    """As every warehouse's SQL has it."""
    digest = hashlib.md5(person, usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % count
