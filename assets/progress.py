"""How far a run has come, read from the journal: the same numbers for a terminal's bar and for the lines of a log.

Belongs here: counting what is proven, under way and left, and saying it while a run sends. Not here: how a terminal
shows it (`pipelines/watching`), and sending itself (`delivery`).
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assets.rules.pace import in_words, seconds_left
from resources.errors import ConnectorError
from resources.journal import IN_FLIGHT, Delivery, Journal

LINE_EVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a delivery has come."""

    rows: int
    proven: int
    refused: int
    payloads: int
    payloads_done: int
    under_way: int
    elapsed_seconds: float
    limit_seconds: float = 0.0
    """How long the account's limit alone makes the rest wait."""

    @property
    def done(self) -> int:
        """Rows of which nothing more is expected."""
        return self.proven + self.refused

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take."""
        return seconds_left(
            done=self.done,
            rows=self.rows,
            elapsed_seconds=self.elapsed_seconds,
            waiting_seconds=self.limit_seconds,
        )

    @property
    def facts(self) -> dict[str, int | float | None]:
        """The same as numbers, for logs that machines read."""
        left = self.seconds_left
        return {
            "rows": self.rows,
            "rows_proven": self.proven,
            "rows_refused": self.refused,
            "payloads": self.payloads,
            "payloads_done": self.payloads_done,
            "imports_under_way": self.under_way,
            "seconds_left": None if left is None else round(left, 1),
        }

    def __str__(self) -> str:
        refused = f", {self.refused:,} refused" if self.refused else ""
        left = "" if self.seconds_left is None else f"; {in_words(self.seconds_left)} left"
        return (
            f"{self.proven:,} of {self.rows:,} contacts proven{refused}; payload {self.payloads_done} of "
            f"{self.payloads}, {self.under_way} imports under way{left}"
        )


def of_delivery(
    journal: Journal, delivery: Delivery, *, rows_per_payload: int, now: float | None = None
) -> Progress:
    """How far this delivery has come; how many payloads there will be is told from their size."""
    found = journal.payloads(delivery)
    whole = [each for each in found if each.state != "split"]
    settled = [each for each in whole if each.state in ("finished", "refused", "failed")]
    cut = sum(each.rows for each in whole)
    return Progress(
        rows=delivery.rows,
        proven=sum(each.sent_rows for each in whole if each.state == "finished"),
        refused=sum(
            len(each.left_out) if each.state == "finished" else each.rows
            for each in settled
            if each.state != "failed"
        ),
        payloads=len(whole) + math.ceil((delivery.rows - cut) / rows_per_payload),
        payloads_done=len(settled),
        under_way=sum(each.state in IN_FLIGHT for each in whole),
        elapsed_seconds=(time.time() if now is None else now) - delivery.opened_at,
    )


@contextlib.contextmanager
def told_meanwhile(
    say: Callable[[str], object],
    journal: Journal,
    sync: str,
    *,
    rows_per_payload: int,
    every_seconds: float = LINE_EVERY_SECONDS,
) -> Iterator[None]:
    """A line every half minute while the block sends what is open of a sync; quick runs say nothing."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_seconds):
            with contextlib.suppress(ConnectorError):
                for each in journal.deliveries(sync, latest=1):
                    if each.state == "open":
                        say(f"{sync}: {of_delivery(journal, each, rows_per_payload=rows_per_payload)}.")

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(timeout=5)


def in_one_line(sync: str, run: Mapping[str, Any]) -> str:
    """What a run achieved, for its log."""
    rows = run["rows"]
    others = ", ".join(
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in rows.items()
        if count and name not in ("read", "accepted")
    )
    return (
        f"{sync}: {rows['accepted']:,} of {rows['read']:,} rows told to Mailtrap and proven"
        f"{'; ' if others else ''}{others}. {run['payloads']:,} payloads, {run['requests']:,} requests, "
        f"{run['seconds']:,.1f} s."
    )
