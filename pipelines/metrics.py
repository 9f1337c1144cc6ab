"""`mailtrap-contacts metrics`: the last runs and the request budget as Prometheus text.

Belongs here: from summaries and the meter to lines of text. Not here: what a summary holds (`assets/summary`), how
requests are counted (`resources/mailtrap/meter`). Names, ids and numbers only.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines import printing
from pipelines.definitions import read_syncs
from resources import settings
from resources.lake import Lake
from resources.mailtrap.meter import open_meter
from resources.settings import Settings

PREFIX = "mailtrap_contacts"
LOOK_BACK_RUNS = 50
"""So many of the newest summaries are looked at for the last one that succeeded."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number with its labels."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


HELP = {
    "last_run_rows": "Rows of the last run by outcome; read is their sum.",
    "last_run_rejected_rows": "Rejected rows of the last run by reason.",
    "last_run_timestamp_seconds": "When the last run began.",
    "last_run_seconds": "How long the last run sent and waited.",
    "last_run_requests": "Requests of the last run.",
    "last_run_retries": "Requests of the last run that were repeated.",
    "last_run_payloads": "Payloads of the last run.",
    "last_run_ambiguous": "Payloads of the last run whose answer was lost.",
    "last_run_ok": "1 where the last run succeeded, with the word for its outcome.",
    "last_success_timestamp_seconds": "When the last run that succeeded began.",
    "requests_in_window": "Requests that a limit of Mailtrap still counts.",
    "requests_limit": "Requests that fit into that limit.",
}


def metrics(environ: Mapping[str, str], *, as_json: bool = False) -> int:
    """Print them."""
    known, syncs = settings.read(environ), read_syncs(environ)
    lake = Lake(known.lake)
    found = [each for sync in syncs for each in of_sync(sync.name, summaries(lake, sync.name))]
    meter = open_meter(known.journal)
    try:
        found += of_budget(meter.in_use(), known)
    finally:
        meter.dispose()
    if as_json:
        told = [{"name": each.name, "value": each.value, **dict(each.labels)} for each in found]
        printing.print_json({"schema": 1, "outcome": "ok", "metrics": told})
    else:
        sys.stdout.write(as_text(found))
    return 0


def summaries(lake: Lake, sync: str) -> list[dict[str, Any]]:
    """The newest summaries of a sync, the newest first."""
    ages = lake.ages(f"summaries/{sync}", now=time.time())
    newest = sorted(ages, key=lambda path: ages[path])[:LOOK_BACK_RUNS]
    return [json.loads(lake.read_bytes(path)) for path in newest]


def of_sync(sync: str, newest: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """What the last runs of a sync say."""
    if not newest:
        return
    last, who = newest[0], (("sync", sync),)
    for outcome, count in last["rows"].items():
        yield Metric("last_run_rows", count, (*who, ("outcome", outcome)))
    for reason, count in last["rejected_by_reason"].items():
        yield Metric("last_run_rejected_rows", count, (*who, ("reason", reason)))
    yield Metric("last_run_timestamp_seconds", _timestamp(last), who)
    for name in ("seconds", "requests", "retries", "payloads", "ambiguous"):
        yield Metric(f"last_run_{name}", last[name], who)
    yield Metric("last_run_ok", float(last["outcome"] == "ok"), (*who, ("outcome", last["outcome"])))
    for each in newest:
        if each["outcome"] == "ok":
            yield Metric("last_success_timestamp_seconds", _timestamp(each), who)
            break


def of_budget(in_use: Mapping[str, int], known: Settings) -> Iterator[Metric]:
    """How full each window of requests is; a window of a token shows a keyless digest, never the token."""
    limits = {
        "token": known.token_limit,
        "contacts": known.contacts_limit,
        "suppressions": known.suppressions_limit,
    }
    for window, count in sorted(in_use.items()):
        kind = next((each for each in limits if each in window.split()), "contacts")
        labels = (("limit", kind), ("window", window))
        yield Metric("requests_in_window", count, labels)
        yield Metric("requests_limit", limits[kind].requests, labels)


def as_text(found: Iterable[Metric]) -> str:
    """Prometheus' text format: each metric explained once, its values together."""
    by_name: dict[str, list[Metric]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    return "".join(
        f"# HELP {PREFIX}_{name} {HELP[name]}\n# TYPE {PREFIX}_{name} gauge\n"
        + "".join(f"{PREFIX}_{name}{_labels(each)} {each.value:.17g}\n" for each in metrics_of_name)
        for name, metrics_of_name in by_name.items()
    )


def _labels(metric: Metric) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in metric.labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _timestamp(summary: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(summary["started_at"]).timestamp()
