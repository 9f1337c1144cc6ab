"""The job `erase_people`: the right to erasure, everywhere, for good.

The job is told the path of a file, never an address: what a run is told is kept by Dagster and shown in its UI. Not
here: how people are erased (`assets/erasure.py`), and the command (`people`).
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field as Described

from assets import erasure
from assets.failures import told_to_dagster
from assets.rules.sync import Sync
from resources.errors import SettingsError
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

JOB, STEP = "erase_people", "erase_people_of_file"


class EraseConfig(dg.Config):
    """What a run of the erasure is told."""

    file: str = Described(description="The path of a text file with one address a line. Never addresses.")


def erase_people_job(syncs: Sequence[Sync]) -> dg.JobDefinition:
    """Delete people at Mailtrap and in every table here, and keep them out."""

    @dg.op(name=STEP, pool="mailtrap", description="Delete people at Mailtrap and here, and keep them out.")
    @told_to_dagster
    def _erase(
        context: dg.OpExecutionContext,
        config: EraseConfig,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> None:
        requested = erasure.read_file(checked_path(config.file))
        receipt = erasure.erase(mailtrap, store, requested, syncs=syncs, run_id=context.run.run_id)
        context.add_output_metadata(
            {
                "people": receipt["people"],
                "unreadable_lines": len(receipt["unreadable_lines"]),
                "requests": receipt["requests"],
                "receipt": erasure.receipt_path(context.run.run_id),
            }
        )

    @dg.job(
        name=JOB,
        description="Erase the people of a file: at Mailtrap, in every table here, and for good. Can be run again.",
        tags={"contacts/erasure": "yes"},
        executor_def=dg.in_process_executor,
    )
    def _job() -> None:
        _erase()

    return _job


def checked_path(path: str) -> str:
    """The path of the file, unless it looks like what should stand in the file."""
    if "@" in path:
        raise SettingsError(
            "The path of the file of people to erase holds an @.",
            "Dagster keeps the path and shows it, so it must not be, or hold, an address. Nobody was erased.",
            "Write the addresses into a file, one a line, and give its path.",
        )
    return path
