"""Running a job from the terminal: the same jobs, on the same Dagster instance, in this process.

Belongs here: which instance, starting a job, and finding its outcome and summary. Not here: what the command prints.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources as package_files
from pathlib import Path
from typing import Any

import dagster as dg

from assets.summary import summary_path
from pipelines.abandoned import PROCESS_TAG, end_abandoned
from resources import errors
from resources.errors import EXIT_CODES
from resources.lake import Lake
from resources.process import this_process
from resources.settings import Logs, Settings

LEVELS = {"text": "CRITICAL", "json": "DEBUG"}
"""On a terminal a run is silent but for its progress; logs that machines read have all of it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a job: its outcome, the sentence that a person needs, and what its assets said."""

    run_id: str
    outcome: str
    sentence: str
    materialized: Mapping[str, Mapping[str, Any]]

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        return EXIT_CODES.get(self.outcome, EXIT_CODES["unknown"])


def dagster_home(known: Settings) -> Path:
    """DAGSTER_HOME, or a folder of ours with the instance's settings that we ship."""
    given = os.environ.get("DAGSTER_HOME", "").strip()
    folder = Path(given) if given else known.home.resolve() / "dagster"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not given and not (folder / "dagster.yaml").exists():
        shipped = package_files.files("pipelines").joinpath("dagster.yaml").read_text()
        (folder / "dagster.yaml").write_text(shipped)
    return folder


@contextmanager
def instance_of(known: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance whose UI shows the run."""
    folder = dagster_home(known)
    os.environ["DAGSTER_HOME"] = str(folder.resolve())
    with dg.DagsterInstance.get() as instance:
        yield instance


def run_job(
    definitions: dg.Definitions,
    name: str,
    *,
    instance: dg.DagsterInstance,
    partition: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    logs: Logs = "text",
    only: Sequence[dg.AssetKey] | None = None,
) -> Ran:
    """Run a job, or some of its tables, here and now; its failure is an outcome, not an exception."""
    end_abandoned(instance)
    job = definitions.resolve_job_def(name)
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        run_config={"loggers": {"console": {"config": {"log_level": LEVELS[logs]}}}, **(config or {})},
        tags={PROCESS_TAG: this_process(), **(tags or {})},
        raise_on_error=False,
        asset_selection=only,
    )
    outcome, sentence = _outcome(result)
    return Ran(result.run_id, outcome, sentence, _materialized(result))


def summary_of(known: Settings, sync: str, run_id: str) -> dict[str, Any] | None:
    """The summary that a run kept, if it came that far."""
    lake, path = Lake(known.lake), summary_path(sync, run_id)
    if not lake.exists(path):
        return None
    found: dict[str, Any] = json.loads(lake.read_bytes(path))
    return found


def _outcome(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    if result.success:
        return "ok", ""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data.user_failure_data
        if data is not None and "outcome" in data.metadata:
            return str(data.metadata["outcome"].value), str(data.description)
        if "AssetCheckFailed" in str(event.step_failure_data.error):
            return "data", _failed_checks(result)
        error = event.step_failure_data.error
        return (
            "unknown",
            f"{error.cls_name if error else 'An error'} in {event.step_key}. Run with --debug to see where.",
        )
    return _before_the_first_step(result) or (
        "unknown",
        "The run failed. Its events in the Dagster UI say where.",
    )


def _before_the_first_step(result: dg.ExecuteInProcessResult) -> tuple[str, str] | None:
    """What kept a resource from opening (a warehouse that is not there), from the words of our own errors in the event."""
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        while error is not None:
            if error.cls_name and isinstance(kind := getattr(errors, error.cls_name, None), type):
                words, _, note = (
                    str(error.message).partition(": ")[2].strip().partition(f"\n{errors.OUTCOME_NOTE}")
                )
                return note.strip() or getattr(kind, "outcome", "unknown"), words
            error = error.cause
    return None


def _failed_checks(result: dg.ExecuteInProcessResult) -> str:
    failed = [each for each in result.get_asset_check_evaluations() if not each.passed]
    return " ".join(each.description or f"The check {each.check_name} failed." for each in failed)


def _materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            found["/".join(made.asset_key.path)] = {
                name: value.value for name, value in made.metadata.items()
            }
    return found
