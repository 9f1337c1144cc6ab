"""Imports that Mailtrap does not finish: the people in them wait, everybody else goes on.

A job beyond CONTACTS_JOB_DEADLINE_SECONDS is asked about by every run, once. Until it ends, nobody in it is written to by
another import, so that no two are under way for one person. Belongs here: which imports these are, and who is in them.
Not here: what ends one (`awaiting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from assets.delivery.sending import without
from resources.errors import UnfinishedError
from resources.journal import Delivery, Journal, Payload
from resources.lake import Lake


@dataclass(frozen=True, slots=True)
class Overdue:
    """One such import."""

    delivery: Delivery
    payload: Payload


def overdue_in(journal: Journal, delivery: Delivery, *, deadline_seconds: float) -> list[Overdue]:
    """The imports of a delivery that should have ended long ago."""
    return [
        Overdue(delivery, payload)
        for payload in journal.payloads(delivery, states=["submitted"])
        if journal.seconds_since_sent(payload) >= deadline_seconds
    ]


def people_in(lake: Lake, overdue: Sequence[Overdue]) -> pa.Array:
    """The keyed hashes of everybody who is in these imports."""
    found = [pa.array([], pa.binary(16))]
    for each in overdue:
        first, rows = each.payload.first_row, each.payload.rows
        table = lake.read_slice(each.delivery.path, ["address_hash"], first=first, rows=rows)
        hashes = without(table, each.payload)["address_hash"].combine_chunks()
        found.append(hashes.storage.cast(pa.binary(16)))
    return pa.concat_arrays(found)


def still_at_work(count: int) -> UnfinishedError:
    """For those who cannot begin before every import has ended."""
    return UnfinishedError(
        f"{count} imports of an earlier run are not finished yet.",
        "Their contacts may be on their way, so nothing is begun until that is known.",
        "Run again later; CONTACTS_JOB_DEADLINE_SECONDS says how long a run waits.",
    )
