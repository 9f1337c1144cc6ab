"""The job `erase_people`: the right to erasure, everywhere, for good.

The job is told the path of a file, never an address: what a run is told is kept by Dagster and shown in its UI. Not
here: how people are erased (`assets/people/erasure.py`), and the command (`people`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field as Described

from assets import metadata
from assets.failures import told_to_dagster
from assets.people import erasure
from assets.rules.sync import Sync
from resources.errors import SettingsError
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store
from resources.warehouses.write_back import WriteBack

JOB, STEP = "erase_people", "erase_people_of_file"


class EraseConfig(dg.Config):
    """What a run of the erasure is told."""

    file: str = Described(
        default="", description="The path of a text file with one address a line. Never addresses."
    )
    again: bool = Described(
        default=False,
        description="After a backup was restored: take everybody who was ever erased out of every table again.",
    )


def erase_people_job(syncs: Sequence[Sync]) -> dg.JobDefinition:
    """Delete people at Mailtrap and in every table here, and keep them out."""

    @dg.op(name=STEP, pool="mailtrap", description="Delete people at Mailtrap and here, and keep them out.")
    @told_to_dagster
    def _erase(
        context: dg.OpExecutionContext,
        config: EraseConfig,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
        write_back: dg.ResourceParam[WriteBack],
    ) -> None:
        run_id = context.run.run_id
        if config.again == bool(config.file):
            raise neither_or_both()
        if config.again:
            receipt = erasure.erase_again(mailtrap, store, syncs=syncs, run_id=run_id)
        else:
            requested = erasure.read_file(checked_path(config.file))
            receipt = erasure.erase(
                mailtrap, store, requested, syncs=syncs, run_id=run_id, forget=write_back.forget
            )
        context.add_output_metadata(shown(receipt))

    @dg.job(
        name=JOB,
        description="Erase the people of a file: at Mailtrap, in every table here, and for good. Can be run again. With "
        "`again`: the same for all who were ever erased, after a backup was restored.",
        tags={"contacts/erasure": "yes"},
        executor_def=dg.in_process_executor,
    )
    def _job() -> None:
        _erase()

    return _job


def shown(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """What the UI shows of a receipt: numbers that plot, and where it lies."""
    rows = {place: counts["rows"] for place, counts in receipt["places"].items() if counts["rows"]}
    bars = metadata.bars(sorted(rows.items()), whole=sum(rows.values()))
    return {
        "people": receipt["people"],
        **receipt["at_mailtrap"],
        "rows_removed": sum(rows.values()),
        "where_rows_were_removed": dg.MetadataValue.md(f"```text\n{bars}\n```" if rows else "Nowhere."),
        "unreadable_lines": len(receipt.get("unreadable_lines", ())),
        "not_deleted_yet": receipt.get("not_deleted_yet", 0),
        "requests": receipt["requests"],
        "receipt": erasure.receipt_path(receipt["run_id"]),
    }


def neither_or_both() -> SettingsError:
    """An erasure is of the people of a file, or of everybody once more."""
    return SettingsError(
        "An erasure needs either a file of people, or to be told `again`.",
        "Nobody was erased.",
        "Give --file with one address a line; or, after a backup was restored, --again.",
    )


def checked_path(path: str) -> str:
    """The path of the file, unless it looks like what should stand in the file."""
    if "@" in path:
        raise SettingsError(
            "The path of the file of people to erase holds an @.",
            "Dagster keeps the path and shows it, so it must not be, or hold, an address. Nobody was erased.",
            "Write the addresses into a file, one a line, and give its path.",
        )
    return path
