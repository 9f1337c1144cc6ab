"""`mailtrap-contacts sync`: run the job of a sync here and now, and say where every row went."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assets.partitions import partitions_of
from assets.rules.sync import Sync
from pipelines import printing
from pipelines.definitions import build_definitions, read_syncs
from pipelines.runs import Ran, instance_of, run_job, summary_of
from resources import settings
from resources.errors import EXIT_CODES, SettingsError
from resources.journal import open_journal
from resources.settings import Settings

RANGE = "..."


def sync(
    environ: Mapping[str, str],
    *,
    sync: str,
    partition: str | None = None,
    full: bool = False,
    plan_file: Path | None = None,
    as_json: bool = False,
) -> int:
    """Run a sync; the exit code says how it ended."""
    known, syncs = settings.read(environ), read_syncs(environ)
    chosen = sync_named(syncs, sync)
    tags, key = partition_tags(chosen, partition)
    config: dict[str, Any] = {"full_resync": full}
    if plan_file is not None:
        config["plan_digest"] = planned_digest(plan_file, chosen)
    definitions = build_definitions(syncs, environ=environ)
    with instance_of(known) as instance, progress(known, chosen, shown=not as_json):
        ran = run_job(
            definitions,
            f"sync_{chosen.name}",
            instance=instance,
            partition=key,
            tags=tags,
            config=_ops(chosen, config),
        )
    return report(known, chosen, ran, as_json=as_json)


def _ops(chosen: Sync, config: Mapping[str, Any]) -> dict[str, Any]:
    """Only contacts are compared, so only they can be sent in full or as planned."""
    if chosen.kind == "contacts":
        return {"ops": {f"{chosen.name}__pending_contacts": {"config": dict(config)}}}
    if config["full_resync"] or "plan_digest" in config:
        raise SettingsError(
            f"{chosen.name} is a sync of {chosen.kind}.",
            "What it does is done once, for each event or request; there is nothing to send again or as planned.",
            "Leave --full and --plan out.",
        )
    return {}


def report(known: Settings, chosen: Sync, ran: Ran, *, as_json: bool) -> int:
    """Print what a run achieved, or why it did not."""
    summary = summary_of(known, chosen.name, ran.run_id) or unfinished_summary(chosen, ran)
    if as_json:
        printing.print_json(summary)
    else:
        printing.show_rows(
            f"{chosen.name}: {ran.outcome}", summary["rows"], reasons=summary.get("rejected_by_reason")
        )
        printing.show(
            "",
            [
                ("payloads", f"{summary['payloads']:,}"),
                ("requests", f"{summary['requests']:,}"),
                ("seconds", f"{summary['seconds']:,.1f}"),
            ],
        )
    printing.say(ran.sentence)
    return EXIT_CODES.get(summary["outcome"], 5) if ran.outcome == "ok" else ran.exit_code


def unfinished_summary(chosen: Sync, ran: Ran) -> dict[str, Any]:
    """The summary of a run that ended before anything was sent."""
    from assets.rules.guards import OUTCOMES

    return {
        "schema": 1,
        "sync": chosen.name,
        "partition": None,
        "run_id": ran.run_id,
        "started_at": None,
        "seconds": 0.0,
        "outcome": ran.outcome,
        "rows": dict.fromkeys(("read", *OUTCOMES), 0),
        "rejected_by_reason": {},
        "gone": {},
        "payloads": 0,
        "imports": [],
        "requests": 0,
        "retries": 0,
        "ambiguous": 0,
    }


def sync_named(syncs: tuple[Sync, ...], name: str) -> Sync:
    """The sync of that name."""
    for each in syncs:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in syncs) or "none"
    raise SettingsError(
        f"There is no sync named {name!r}.",
        f"The folder of sync files has: {names}.",
        "Check CONTACTS_SYNCS and the name.",
    )


def partition_tags(chosen: Sync, partition: str | None) -> tuple[dict[str, str], str | None]:
    """How a job is told its partitions: one by its key, several (`first...last`), or all of them."""
    definition = partitions_of(chosen)
    if definition is None:
        if partition is not None:
            raise SettingsError(
                f"{chosen.name} has no partitions.",
                "Its sync file names no source.partition.",
                "Leave --partition out.",
            )
        return {}, None
    keys = definition.get_partition_keys()
    first, _, last = (partition or f"{keys[0]}{RANGE}{keys[-1]}").partition(RANGE)
    wrong = [key for key in (first, last or first) if key not in keys]
    if wrong:
        raise SettingsError(
            f"{chosen.name} has no partition {wrong[0]!r}.",
            f"Its partitions go from {keys[0]} to {keys[-1]}.",
            "Name one of them, or first...last.",
        )
    if not last or last == first:
        return {}, first
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}, None


def planned_digest(path: Path, chosen: Sync) -> str:
    """What a plan file promised to send."""
    try:
        plan = json.loads(path.read_text())
        if plan["sync"] == chosen.name:
            return str(plan["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SettingsError(
        f"{path.name} is not a plan of {chosen.name}.",
        "Only a file that `plan` wrote for this sync can be applied.",
        f"Run: mailtrap-contacts plan {chosen.name} --out {path.name}",
    )


@contextmanager
def progress(known: Settings, chosen: Sync, *, shown: bool) -> Iterator[None]:
    """A line that moves while a run sends, read from the journal; only on a terminal."""
    import sys

    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    ended = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        watcher = threading.Thread(target=_watch, args=(known, chosen, bars, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(timeout=2)


def _watch(known: Settings, chosen: Sync, bars: Any, ended: threading.Event) -> None:
    task = bars.add_task(f"{chosen.name}: reading and comparing", total=None)
    known.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = open_journal(known.journal)
    try:
        while not ended.wait(0.5):
            newest = [each for each in journal.deliveries(chosen.name, latest=1) if each.state == "open"]
            for delivery in newest:
                done = sum(each.rows for each in journal.payloads(delivery, states=("finished", "refused")))
                bars.update(
                    task, description=f"{chosen.name}: rows proven", total=delivery.rows, completed=done
                )
    finally:
        journal.close()
