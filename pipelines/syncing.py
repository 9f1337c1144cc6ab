"""`mailtrap-contacts sync`: run the job of a sync here and now, and say where every row went."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.partitions import partitions_of
from assets.rules.sync import Sync
from assets.rules.sync_file.problems import nearest
from pipelines import printing, watching
from pipelines.definitions import build_definitions, read_syncs
from pipelines.runs import Ran, instance_of, run_job, summary_of
from resources import settings
from resources.errors import EXIT_CODES, SettingsError
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
    asked = Asked(partition, full)
    if plan_file is not None:
        asked = planned(plan_file, chosen, asked=asked)
    tags, key = partition_tags(chosen, asked.partition)
    definitions = build_definitions(syncs, environ=environ)
    with instance_of(known) as instance, watching.shown(known, chosen, quiet=as_json):
        ran = run_job(
            definitions,
            f"sync_{chosen.name}",
            instance=instance,
            partition=key,
            tags=tags,
            config=_ops(chosen, asked),
            logs=known.logs,
        )
    return report(known, chosen, ran, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked to do: which partitions, in full or not, and the plan that it must keep to."""

    partition: str | None
    full: bool
    plan_digest: str = ""


def _ops(chosen: Sync, asked: Asked) -> dict[str, Any]:
    """Only contacts are compared, so only they can be sent in full or as planned."""
    if chosen.kind == "contacts":
        full = {"full_resync": asked.full}
        plan = {"plan_digest": asked.plan_digest, **full}
        return {
            "ops": {
                f"{chosen.name}__departures": {"config": plan},
                f"{chosen.name}__pending_contacts": {"config": full},
            }
        }
    if asked.full or asked.plan_digest:
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
        show(chosen, summary, outcome=ran.outcome)
    printing.warn(ran.sentence)
    return EXIT_CODES.get(summary["outcome"], 5) if ran.outcome == "ok" else ran.exit_code


def show(chosen: Sync, summary: Mapping[str, Any], *, outcome: str) -> None:
    """The summary as tables; of a run that ended before anything was counted, only its outcome."""
    reasons = summary.get("rejected_by_reason")
    printing.title(f"{chosen.name}: {outcome}", fine=outcome == "ok")
    if not summary["rows"]["read"] and outcome != "ok":
        return
    printing.show_rows("", summary["rows"], reasons=reasons)
    taken_away = [(f"{name}, one by one", f"{count:,}") for name, count in summary["gone"].items() if count]
    printing.show(
        "What it took",
        [
            *taken_away,
            ("payloads", f"{summary['payloads']:,}"),
            ("requests", f"{summary['requests']:,}"),
            ("seconds of sending", f"{summary['seconds']:,.1f}"),
        ],
    )


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
    names = [each.name for each in syncs]
    meant = nearest(name, names)
    raise SettingsError(
        f"There is no sync named {name!r}.",
        f"The folder of sync files has: {', '.join(names) or 'none'}.",
        f"Did you mean {meant}?" if meant else "Check CONTACTS_SYNCS and the name.",
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
    whole = f"{keys[0]}{RANGE}{keys[-1]}"
    first, several, last = (whole if partition is None else partition).partition(RANGE)
    last = last if several else first
    wrong = [key for key in (first, last) if key not in keys]
    if not wrong and keys.index(first) > keys.index(last):
        wrong = [f"{first}{RANGE}{last}"]
    if wrong:
        raise SettingsError(
            f"{chosen.name} has no partition {wrong[0]!r}.",
            f"Its partitions go from {keys[0]} to {keys[-1]}.",
            "Name one of them, or first...last.",
        )
    if last == first:
        return {}, first
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}, None


def planned(path: Path, chosen: Sync, *, asked: Asked) -> Asked:
    """What a plan file promised: its partitions, whether everything was to be sent, and its digest."""
    try:
        plan = json.loads(path.read_text())
        promised = Asked(plan["partition"], bool(plan["full"]), str(plan["digest"]))
        if plan["sync"] == chosen.name and asked in (promised_as(promised), Asked(None, False)):
            return promised
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SettingsError(
        f"{path.name} is not a plan of what was asked for.",
        f"Only a file that `plan` wrote for {chosen.name}, with the same --partition and --full, can be applied.",
        f"Run: mailtrap-contacts plan {chosen.name} --out {path.name}",
    )


def promised_as(promised: Asked) -> Asked:
    """How one would ask for the same without a plan."""
    first, _, last = (promised.partition or "").partition(RANGE)
    return Asked(first if first and first == last else promised.partition, promised.full)
