"""The asset graph as committed text: whoever changes it sees the change as a diff, and so does the reviewer.

After a change that was meant: `python -m tests.test_graph` writes tests/graph.txt anew.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from assets.rules.sync import Sync
from assets.rules.sync_file import parse_sync
from pipelines.definitions import build_definitions

TEXT = Path(__file__).with_name("graph.txt")
SYNC = """
sync: {name}
source:
  table: marts.{name}
  key: customer_id
  updated_at: updated_at
{more}
email: email
consent: {{granted: consent}}
fields:
  first_name: given_name
lists: {{include: [Newsletter]}}
schedule: "0 * * * *"
owners: [team:marketing]
"""
MORE = {
    "newsletter": "",
    "daily": "  partition: {by: day, start: 2026-01-01}\n  asset: dbt/people",
    "buckets": "  partition: {by: bucket, count: 4}",
}


def syncs() -> list[Sync]:
    """A sync of each kind of partition; one of them has an upstream asset."""
    texts = {name: SYNC.format(name=name, more=more) for name, more in MORE.items()}
    return [parse_sync(text, path=f"{name}.yaml") for name, text in texts.items()]


def drawn(definitions: dg.Definitions) -> str:
    """The definitions as text."""
    return "\n".join((*_assets(definitions), *_jobs(definitions), *_triggers(definitions))) + "\n"


def _assets(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys(), key=lambda each: each.path):
        node = graph.get(key)
        yield f"asset {key.to_user_string()}"
        if not node.is_materializable:
            yield "  made elsewhere"
        for name, values in (
            ("group", [node.group_name]),
            ("kinds", sorted(node.kinds)),
            ("owners", sorted(node.owners)),
            ("after", sorted(each.to_user_string() for each in node.parent_keys)),
            ("checks", sorted(each.name for each in node.check_keys)),
        ):
            if values:
                yield f"  {name}: {', '.join(map(str, values))}"
        if node.partitions_def is not None:
            policy = node.backfill_policy
            runs = "one run" if policy and policy.max_partitions_per_run is None else "a run each"
            yield f"  partitions: {type(node.partitions_def).__name__}, a backfill is {runs}"


def _jobs(definitions: dg.Definitions) -> Iterator[str]:
    names = {each.name for each in definitions.jobs or ()}
    for name in sorted(names):
        job = definitions.resolve_job_def(name)
        yield f"job {name}"
        yield f"  executor: {job.executor_def.name}"
        yield f"  steps: {', '.join(sorted(node.name for node in job.nodes))}"
        for tag, value in sorted(job.tags.items()):
            yield f"  tag {tag}: {value}"


def _triggers(definitions: dg.Definitions) -> Iterator[str]:
    for schedule in sorted(definitions.get_repository_def().schedule_defs, key=lambda each: each.name):
        yield f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone} → {schedule.job_name}"
        yield f"  by default: {schedule.default_status.value.lower()}"
    for sensor in sorted(definitions.get_repository_def().sensor_defs, key=lambda each: each.name):
        targets = [each.job_name for each in sensor.targets]
        yield f"sensor {sensor.name}{' → ' + ', '.join(targets) if targets else ''}"
        yield f"  by default: {sensor.default_status.value.lower()}"


def test_the_graph_is_the_one_that_was_reviewed() -> None:
    """Assets, what they come after, groups, kinds, owners, checks, partitions, jobs, schedules and sensors."""
    now = drawn(build_definitions(syncs(), environ={}))
    then = TEXT.read_text(encoding="utf-8")
    changes = difflib.unified_diff(then.splitlines(), now.splitlines(), "tests/graph.txt", "now", lineterm="")
    assert now == then, "\n".join(("the graph has changed: python -m tests.test_graph, and commit", *changes))


if __name__ == "__main__":
    TEXT.write_text(drawn(build_definitions(syncs(), environ={})), encoding="utf-8")
