"""A run that Dagster has ended: nothing more is sent, and what it had begun is left to the next run."""

from pathlib import Path

import dagster as dg

from assets.ended import until_ended
from tests.assets.world import World, conserved, people, problems


def test_a_run_that_was_ended_in_dagster_is_told_so(tmp_path: Path) -> None:
    """Its code server is gone, so no signal comes: it looks for itself."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        run = instance.create_run_for_job(_nothing, status=dg.DagsterRunStatus.STARTED)
        with until_ended(instance, run.run_id, every_seconds=0.01) as ended:
            assert not ended.wait(0.1)
            instance.report_run_failed(run)
            assert ended.wait(5)


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
