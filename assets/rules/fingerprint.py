"""The fingerprint of a contact: a hash that differs where Mailtrap would be told something else.

Belongs here: what goes into it. Not here: what is done with it (`comparison`), how a contact is told (`payload`).
"""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.keyed_hash import keyed_hashes
from assets.rules.sync import Sync

VERSION = "3"
_UNIT, _NOTHING, _GROUP = "\x1f", "\x1e", "\x1d"
"""No accepted value holds a control character, so that these keep values apart."""


def fingerprints(contacts: pa.Table, *, sync: Sync, key: bytes) -> cells.Array:
    """64 bits of a keyed hash over the fields and lists of each accepted contact; its address tells whose they are."""
    parts = [_plain(cells.plain(contacts[rule.merge_tag])) for rule in sync.fields]
    if sync.lists.from_column:
        parts.append(_sorted_names(cells.plain(contacts["_lists"])))
    if not parts:
        parts.append(pa.repeat("", contacts.num_rows))
    told = pc.binary_join_element_wise(*parts, _UNIT, null_handling="replace", null_replacement=_NOTHING)
    return pa.array(keyed_hashes(told, _key_of(sync, key), words=1)[:, 0])


def _key_of(sync: Sync, key: bytes) -> bytes:
    """What is the same for all contacts of a sync goes into the key: a fixed list more is a change of everybody."""
    lists = (sorted(map(str, sync.lists.include)), sorted(map(str, sync.lists.exclude)))
    kinds = [(rule.merge_tag, rule.type, rule.nulls) for rule in sync.fields]
    return hashlib.blake2b(repr((VERSION, lists, kinds)).encode(), key=key[:64], digest_size=32).digest()


def _plain(column: cells.Array) -> cells.Array:
    """Texts that differ where values do, in every version of every library: floats as their bits, dates as days."""
    if pa.types.is_floating(column.type):
        column = pc.add(column, 0.0).view(pa.int64())  # -0.0 is 0.0
    elif pa.types.is_date(column.type):
        column = column.view(pa.int32())
    return column.cast(pa.string())


def _sorted_names(lists: cells.Array) -> cells.Array:
    joined = pc.binary_join(lists, _GROUP).dictionary_encode()
    ordered = [_GROUP.join(sorted(each.split(_GROUP))) for each in joined.dictionary.to_pylist()]
    return pa.array(ordered, pa.string()).take(joined.indices)
