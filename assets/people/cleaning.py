"""One file of the lake without some people, whole or not at all; a file without traces of them is left as it is.

Belongs here: rewriting, and keeping the numbers that a file notes about itself true. Not here: what a trace is
(`rules/traces`), and which files there are (`erasure`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.pending import pending_file
from assets.rules import cells
from assets.rules.traces import Cleaned, People, clean
from resources.lake import Lake


@dataclass(slots=True)
class Places:
    """What was taken out, by place."""

    rows: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """For the receipt."""
        names = sorted({*+self.rows, *+self.cells, *+self.files})
        return {
            name: {"files": self.files[name], "rows": self.rows[name], "mentions": self.cells[name]}
            for name in names
        }


def clean_file(
    lake: Lake,
    path: str,
    people: People,
    *,
    email: str | None,
    places: Places,
    source_keys: Mapping[str, set[str]] | None = None,
) -> None:
    """Rewrite one file without these people, whole or not at all; a file without traces is left as it is."""
    keys = (source_keys or {}).get("", set()) | (source_keys or {}).get(path.split("/")[-1], set())

    def cleaned() -> Iterator[Cleaned]:
        for batch in lake.read(path):
            table = pa.Table.from_batches([batch])
            yield clean(table, people, email=email, rows=rows_named(table, keys))

    if not any(each.theirs.num_rows or each.cells for each in cleaned()):
        return
    place = place_of(path)
    facts, gone = lake.metadata(path), Counter[str]()
    is_pending, schema = "/pending_contacts/" in path, lake.schema(path)
    with (
        pending_file(lake, path, schema=schema, metadata=facts)
        if is_pending
        else lake.writer(path, schema, metadata=facts)
    ) as sink:
        for each in cleaned():
            sink.write(each.table)
            places.rows[place] += each.theirs.num_rows
            places.cells[place] += each.cells
            gone.update(_by_partition(each.theirs))
        if "facts" in facts:
            sink.note("facts", json.dumps(_recounted(json.loads(facts["facts"]), gone), sort_keys=True))
    places.files[place] += 1


def place_of(path: str) -> str:
    """A place's name: the table, without what names one file of it."""
    parts = path.split("/")
    return "/".join(parts[:3] if "by_mailtrap" in path or "filtered" in path else parts[:2])


def rows_named(table: pa.Table, keys: set[str]) -> np.ndarray | None:
    """The rows whose source key is one of these."""
    if not keys or "source_key" not in table.column_names:
        return None
    return cells.to_mask(pc.is_in(cells.plain(table["source_key"]), value_set=pa.array(sorted(keys))))


def _by_partition(theirs: pa.Table) -> Counter[str]:
    """How many rows of each partition are gone; a table of one partition has them under the empty name."""
    if "partition" not in theirs.column_names or "change" not in theirs.column_names:
        return Counter({"": theirs.num_rows})
    contacts = theirs.filter(pc.not_equal(theirs["change"], "gone"))
    return Counter(contacts["partition"].to_pylist())


def _recounted(facts: dict[str, Any], gone: Mapping[str, int]) -> dict[str, Any]:
    """The numbers that a table notes about itself, so that every row is still counted once: as erased."""
    if "by_partition" in facts:
        for name, count in gone.items():
            rows = facts["by_partition"][name]
            rows["pending"] -= count
            rows["erased"] += count
    elif "accepted" in facts:
        count = sum(gone.values())
        facts["accepted"] -= count
        facts["erased"] = facts.get("erased", 0) + count
    return facts
