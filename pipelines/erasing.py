"""The job `erase_people`, and the command that runs it: the right to erasure, everywhere, for good.

The job is told the path of a file, never an address: what a run is told is kept by Dagster and shown in its UI. Not
here: how people are erased (`assets/erasure.py`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field as Described

from assets import erasure
from assets.failures import told_to_dagster
from assets.rules.sync import Sync
from pipelines import printing
from resources import settings
from resources.errors import EXIT_CODES, SettingsError
from resources.lake import Lake
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


def erase(environ: Mapping[str, str], *, file: Path, as_json: bool = False) -> int:
    """Erase the people of a file, by the same job that the UI offers."""
    from pipelines.definitions import build_definitions, read_syncs
    from pipelines.runs import instance_of, run_job

    known, syncs = settings.read(environ), read_syncs(environ)
    path = checked_path(str(file.resolve()))
    requested = erasure.read_file(path)
    definitions = build_definitions(syncs, environ=environ)
    with instance_of(known) as instance:
        ran = run_job(definitions, JOB, instance=instance, config={"ops": {STEP: {"config": {"file": path}}}})
    lake, kept = Lake(known.lake), erasure.receipt_path(ran.run_id)
    receipt = json.loads(lake.read_bytes(kept)) if lake.exists(kept) else {}
    unreadable = requested.unreadable_lines
    outcome = "data" if ran.outcome == "ok" and unreadable else ran.outcome
    if as_json:
        printing.print_json({"outcome": outcome, "unreadable_lines": list(unreadable), **receipt})
    elif receipt:
        show(receipt)
    printing.say(ran.sentence)
    if unreadable:
        lines = ", ".join(map(str, unreadable[:50]))
        printing.say(
            f"No address could be read in {len(unreadable)} lines: {lines}. Mend them and run again."
        )
    return ran.exit_code if ran.outcome != "ok" else EXIT_CODES[outcome]


def show(receipt: Mapping[str, Any]) -> None:
    """The receipt as tables."""
    at_mailtrap = receipt["at_mailtrap"]
    printing.show(
        "erased",
        [
            ("people", f"{receipt['people']:,}"),
            ("deleted at Mailtrap", f"{at_mailtrap['deleted']:,}"),
            ("not there", f"{at_mailtrap['not_there']:,}"),
            *((f"rows of {place}", f"{counts['rows']:,}") for place, counts in receipt["places"].items()),
            ("requests", f"{receipt['requests']:,}"),
        ],
    )
    printing.say(f"Receipt: receipts/erasure-{receipt['run_id']}.json in the lake.")
    printing.say(*(f"Stays with Mailtrap: {each}." for each in receipt["stays_with_mailtrap"]))
    printing.say(*(f"Stays elsewhere: {each}." for each in receipt["stays_elsewhere"]))
