"""A run that Dagster has ended: nothing more is sent, and what it had begun is left to the next run."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from assets.delivery.loop import told_to_stop
from assets.ended import until_ended
from tests.assets.world import World, conserved, people, problems

SILENT_SECONDS = 60.0


def test_a_run_that_was_ended_in_dagster_is_told_so(tmp_path: Path) -> None:
    """Its code server is gone, so no signal comes: it looks for itself."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        run = instance.create_run_for_job(_nothing, status=dg.DagsterRunStatus.STARTED)
        with interrupted(), until_ended(instance, run.run_id, every_seconds=0.01) as ended:
            assert not ended.wait(0.1)
            instance.report_run_failed(run)
            assert ended.wait(5)


def test_a_run_that_somebody_ends_does_not_depend_on_a_signal(tmp_path: Path) -> None:
    """Dagster notes the wish first, and tells the process through a code server that may be too busy: it looks too."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        run = instance.create_run_for_job(_nothing, status=dg.DagsterRunStatus.STARTED)
        with interrupted(), until_ended(instance, run.run_id, every_seconds=0.01) as ended:
            instance.report_run_canceling(run)
            assert ended.wait(5)
            raise told_to_stop()


def test_a_run_that_was_called_canceled_stays_so_and_is_not_tried_again(tmp_path: Path) -> None:
    """It ends as a run does that got a signal: a failure of its own would make Dagster retry what somebody ended."""

    @dg.op
    def ends_late(context: dg.OpExecutionContext) -> None:
        with until_ended(context.instance, context.run.run_id, every_seconds=0.01) as ended:
            context.instance.report_run_canceling(context.run)
            context.instance.report_run_canceled(context.run)
            assert ended.wait(5)
            raise told_to_stop()

    @dg.job(executor_def=dg.in_process_executor)
    def ended_by_hand() -> None:
        ends_late()

    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = ended_by_hand.execute_in_process(instance=instance, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None and run.status is dg.DagsterRunStatus.CANCELED
        assert "dagster/will_retry" not in run.tags


def test_a_run_that_is_told_to_stop_does_not_wait_for_a_silent_mailtrap(tmp_path: Path) -> None:
    """A request may take a minute and more: last answers are given two seconds, and a lost one is looked into next time."""
    world = World(tmp_path)
    world.mailtrap.seed({"lists": ["Newsletter"]})
    with silent_about_imports(world):
        began = time.monotonic()
        sent = world.run(people(10))
        seconds = time.monotonic() - began
    assert conserved(sent, pending=10) and problems(sent) == ["The run was told to stop."]
    assert world.states() == {"sending": 1}
    assert seconds < SILENT_SECONDS / 2
    world.close()


@contextmanager
def silent_about_imports(world: World) -> Iterator[None]:
    """While an import is on its way and Mailtrap says nothing, somebody ends the run."""
    answers, over = world.mailtrap.transport(), threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/contacts/imports"):
            world.stop.set()
            over.wait(SILENT_SECONDS)
            raise httpx.ReadTimeout("silent")
        return answers.handle_request(request)

    world.client.close()
    world.client = world.new_client(transport=httpx.MockTransport(answer))
    try:
        yield
    finally:
        over.set()


def interrupted() -> Any:
    """What Dagster takes for the end of a run that was told to stop."""
    return pytest.raises(dg.DagsterExecutionInterruptedError)


def test_a_run_that_is_told_to_stop_sends_nothing_more(tmp_path: Path) -> None:
    """Every row is accounted for, the run does not call itself a success, and the next one sends what was left."""
    world = World(tmp_path)
    world.mailtrap.seed({"lists": ["Newsletter"]})
    world.stop.set()
    sent = world.run(people(10))
    assert conserved(sent, pending=10) and problems(sent) == ["The run was told to stop."]
    assert not world.imports()
    world.stop.clear()
    assert conserved(world.run(people(10)), accepted=10)
    world.close()


@dg.job
def _nothing() -> None:
    return None
