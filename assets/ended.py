"""A run that Dagster has ended stops by itself, also when nobody could tell its process.

When a code server is killed, or too busy to answer, its run workers live on; Dagster calls their runs failed, or somebody
ends them in the UI, and no signal arrives. Belongs here: noticing that, and ending as an interrupted run does: Dagster
then neither changes the verdict nor tries the run again. Not here: what stopping means (`delivery`), and the opposite,
runs whose process is no more (`pipelines/abandoned`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

EVERY_SECONDS = 2.0


@contextmanager
def until_ended(
    instance: dg.DagsterInstance, run_id: str, *, every_seconds: float = EVERY_SECONDS
) -> Iterator[threading.Event]:
    """What is set once the run is to end in Dagster's eyes; looked after for as long as the block takes.

    A block that was told so ends as if a signal had come.
    """
    ended, is_over = threading.Event(), threading.Event()

    def look() -> None:
        while not is_over.wait(every_seconds):
            with suppress(Exception):  # a storage that is away for a moment is no reason to stop
                run = instance.get_run_by_id(run_id)
                if run is not None and (run.is_finished or run.status is dg.DagsterRunStatus.CANCELING):
                    ended.set()
                    return

    if not instance.is_ephemeral:
        threading.Thread(target=look, daemon=True, name="ended").start()
    try:
        yield ended
    finally:
        is_over.set()
        if ended.is_set():
            raise dg.DagsterExecutionInterruptedError from None
