"""Runs that Dagster believes to be under way although their process is no more: found, and called what they are.

Dagster itself notices a run worker that dies beneath a living code server. Not noticed are a whole machine that went
down, and a command that was killed: such a run would stay STARTED, keep its place in the queue, and never be retried.
Nor does every launcher know: to Celery, a task whose worker is gone is at work for ever.
Belongs here: which runs are dead, and saying so. Not here: taking up what they left (`sensors`).
"""

import re
from collections.abc import Callable, Iterator

import dagster as dg

from resources.process import is_dead, started_at

PROCESS_TAG = "contacts/process"
"""Which process a command's run lives in."""
CLOCK_MAY_BE_OFF_SECONDS = 300.0
_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


def end_abandoned(
    instance: dg.DagsterInstance,
    *,
    dead: Callable[[str], bool] = is_dead,
    silent: Callable[[str], bool] = lambda _run_id: False,
) -> list[str]:
    """Call the runs failed whose process is dead, so that they are retried; says which.

    `silent` says of a run on another machine that it gives no sign of life any more.
    """
    ended = [run for run in _under_way(instance) if _is_abandoned(instance, run, dead, silent)]
    for run in ended:
        instance.report_run_failed(
            run, "The process of this run is no more. What it left unfinished is taken up by the next run."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in ended]


def _under_way(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=statuses), limit=500))


def _is_abandoned(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    dead: Callable[[str], bool],
    silent: Callable[[str], bool],
) -> bool:
    if PROCESS_TAG in run.tags:
        return dead(run.tags[PROCESS_TAG])
    if not _runs_are_processes_here(instance):
        return silent(run.run_id)
    workers = list(_workers(instance, run.run_id))
    return bool(workers) and not any(_runs_since(*worker) for worker in workers)


def _runs_are_processes_here(instance: dg.DagsterInstance) -> bool:
    """Whether process ids are of this machine: with Dagster's own launcher alone.

    Its name is asked, not itself: to make another one may take what a code server has not, as a broker's address.
    """
    if instance.is_ephemeral:
        return type(instance.run_launcher).__name__ == "DefaultRunLauncher"
    launcher = instance.get_ref().run_launcher_data
    return launcher is not None and launcher.class_name == "DefaultRunLauncher"


def _workers(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[int, float]]:
    """The run workers that the run has had: process id, and when it said so."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        found = _STARTED.match(entry.dagster_event.message or "") if entry.dagster_event else None
        if found:
            yield int(found[1]), entry.timestamp


def _runs_since(process_id: int, moment: float) -> bool:
    """Whether a process has been running since then: one that was started later only has the same number."""
    began = started_at(process_id)
    return began is not None and began <= moment + CLOCK_MAY_BE_OFF_SECONDS
