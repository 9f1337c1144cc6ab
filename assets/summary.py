"""The summary of a run: where every row went, in numbers and ids; also for runs that were killed.

Belongs here: adding up, and the JSON file that scripts read. Not here: counting what Mailtrap took (`delivery`) and what
was pending (`pending`).
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assets.delivery import refusals
from assets.delivery.loop import Told
from assets.delivery.overdue import Overdue
from assets.partitions import WHOLE, label
from assets.rules import guards
from resources.errors import ConnectorError
from resources.journal import Delivery
from resources.lake import Lake


@dataclass(slots=True, kw_only=True)
class Sent:
    """What one run achieved: rows by outcome per partition, and the numbers of the summary."""

    by_partition: Mapping[str, Mapping[str, int]]
    told: Told
    gone: Mapping[str, int]
    rejected_by_reason: Mapping[str, int]
    requests: int = 0
    retries: int = 0
    overdue: Sequence[Overdue] = ()
    """Imports of earlier runs that should have ended long ago."""
    resend: bool = False
    """Whether everybody was to be told once more."""
    started_at: float = field(default_factory=time.time)
    seconds: float = 0.0

    @property
    def rows(self) -> dict[str, int]:
        """All partitions together."""
        total: Counter[str] = Counter()
        for each in self.by_partition.values():
            total.update(each)
        return {name: total.get(name, 0) for name in ("read", *guards.OUTCOMES)}

    @property
    def outcome(self) -> str:
        """How the run ended, in the word that its exit code stands for."""
        return worst(self.told.problems).outcome if self.told.problems else "ok"


def sent(
    facts: Mapping[str, Any],
    told: Told,
    *,
    started_at: float,
    ended_at: float,
    requests: int = 0,
    retries: int = 0,
    overdue: Sequence[Overdue] = (),
) -> Sent:
    """What came of pending contacts; `facts` are the numbers that were noted in their file."""
    reasons = Counter(facts.get("rejected_by_reason", {}))
    reasons.update(refusals.counted(sum(told.rejected.values())))
    return Sent(
        by_partition=account_for(facts["by_partition"], told),
        told=told,
        gone=facts["gone"],
        rejected_by_reason=dict(reasons),
        requests=requests,
        retries=retries,
        overdue=overdue,
        resend=bool(facts.get("resend")),
        started_at=started_at,
        seconds=ended_at - started_at,
    )


def account_for(compared: Mapping[str, Mapping[str, int]], told: Told) -> dict[str, dict[str, int]]:
    """Rows by outcome after sending: what was pending is accepted, rejected, over the limit, or still pending."""
    rows = {name: dict(counts) for name, counts in compared.items()}
    over_limit = told.over_limit
    for name, counts in rows.items():
        counts["accepted"] = told.accepted.get(name, 0)
        counts["rejected"] += told.rejected.get(name, 0)
        left = counts["pending"] - counts["accepted"] - told.rejected.get(name, 0)
        counts["over_limit"] = min(left, over_limit)
        over_limit -= counts["over_limit"]
        counts["pending"] = left - counts["over_limit"]
    return rows


def keep(lake: Lake, delivery: Delivery, sent: Sent) -> None:
    """Write the summary of the run that made a delivery."""
    departed = departed_in(lake, delivery.sync, delivery.run_id)
    write(
        lake,
        delivery.sync,
        run_id=delivery.run_id,
        partitions=delivery.facts["partitions"],
        started_at=sent.started_at,
        seconds=sent.seconds,
        outcome=sent.outcome,
        rows=sent.rows,
        rejected_by_reason=sent.rejected_by_reason,
        gone={**sent.gone, **departed["gone"]},
        payloads=sent.told.payloads,
        imports=sent.told.imports,
        requests=sent.requests + departed["requests"],
        retries=sent.retries,
        ambiguous=sent.told.ambiguous,
    )


def write(
    lake: Lake,
    sync: str,
    *,
    run_id: str,
    partitions: Sequence[str],
    started_at: float,
    seconds: float,
    outcome: str,
    rows: Mapping[str, int],
    rejected_by_reason: Mapping[str, int],
    requests: int,
    retries: int,
    gone: Mapping[str, int] | None = None,
    payloads: int = 0,
    imports: Sequence[int] = (),
    ambiguous: int = 0,
) -> dict[str, Any]:
    """The one shape of a summary, whatever kind of sync; kept, and given back."""
    found = {
        "schema": 1,
        "sync": sync,
        "partition": None if list(partitions) == [WHOLE] else label(tuple(partitions)),
        "run_id": run_id,
        "started_at": datetime.fromtimestamp(started_at, UTC).isoformat(),
        "seconds": round(seconds, 3),
        "outcome": outcome,
        "rows": {name: rows.get(name, 0) for name in ("read", *guards.OUTCOMES)},
        "rejected_by_reason": dict(rejected_by_reason),
        "gone": dict(gone or {}),
        "payloads": payloads,
        "imports": list(imports),
        "requests": requests,
        "retries": retries,
        "ambiguous": ambiguous,
    }
    lake.write_bytes(summary_path(sync, run_id), json.dumps(found, indent=1).encode())
    return found


def keep_of_killed(lake: Lake, delivery: Delivery, told: Told) -> None:
    """The summary that a killed run could not write any more: every row of it is accounted for all the same."""
    if lake.exists(summary_path(delivery.sync, delivery.run_id)):
        return
    found = sent(
        delivery.facts, told, started_at=delivery.opened_at, ended_at=time.time(), requests=told.attempts
    )
    keep(lake, delivery, found)


WITHOUT_ADDRESS = "without_address"
"""People who left, and whom nobody can name to Mailtrap any more: their evidence has expired, their row is gone."""


def note_departed(lake: Lake, sync: str, *, run_id: str, gone: Mapping[str, int], requests: int) -> None:
    """How many people a run took away before its imports, for its summary."""
    facts = {"gone": dict(gone), "requests": requests}
    lake.write_bytes(f"{sync}/departures/{run_id}.json", json.dumps(facts).encode())


def departed_in(lake: Lake, sync: str, run_id: str) -> dict[str, Any]:
    """The same again: people by what was done, and the requests that it took."""
    path = f"{sync}/departures/{run_id}.json"
    found: dict[str, Any] = {"gone": {}, "requests": 0}
    return found if not lake.exists(path) else json.loads(lake.read_bytes(path))


def summary_path(sync: str, run_id: str) -> str:
    """Where the summary of a run lies."""
    return f"summaries/{sync}/{run_id}.json"


def worst(problems: Sequence[ConnectorError]) -> ConnectorError:
    """The problem that a person should see first."""
    order = ("config", "data", "unknown", "transient")
    return min(problems, key=lambda each: order.index(each.outcome))
