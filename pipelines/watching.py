"""What a command shows while its run is under way: a bar on a terminal, plain lines in logs and CI.

Belongs here: how progress looks. Not here: how far a run has come (`assets/progress`), and what it came to (`syncing`).
"""

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from assets.progress import Progress, of_delivery
from assets.rules.pace import REQUESTS_PER_PAYLOAD, in_words, waiting_seconds
from assets.rules.sync import Sync
from pipelines import printing
from resources.errors import ConnectorError
from resources.journal import Journal, open_journal
from resources.mailtrap.meter import open_meter
from resources.settings import Settings

LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0
WIDE = 100


@contextmanager
def shown(known: Settings, chosen: Sync, *, quiet: bool) -> Iterator[None]:
    """Show how far the run of the block has come; nothing of it stays on a terminal."""
    if quiet:
        yield
        return
    with _bar(chosen) if sys.stderr.isatty() else _lines(chosen) as show:
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(known, chosen, show, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(timeout=2)


def left_of_limit(known: Settings) -> int:
    """How many requests over contacts Mailtrap would take at once."""
    meter = open_meter(known.journal)
    try:
        used = [count for window, count in meter.in_use().items() if "contacts" in window.split()]
    finally:
        meter.dispose()
    return max(known.contacts_limit.requests - max(used, default=0), 0)


def _watch(
    known: Settings, chosen: Sync, show: Callable[[Progress | None], None], ended: threading.Event
) -> None:
    try:
        known.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal = open_journal(known.journal)
    except (ConnectorError, OSError):
        return  # the run says what is wrong
    since = time.time()
    try:
        while not ended.wait(LOOK_SECONDS):
            with suppress(ConnectorError):
                show(_now(known, journal, chosen, since=since))
    finally:
        journal.close()


def _now(known: Settings, journal: Journal, chosen: Sync, *, since: float) -> Progress | None:
    """How far the newest delivery has come, if it is open; its remaining requests against the account's limit."""
    for each in journal.deliveries(chosen.name, latest=1):
        if each.state == "open" or each.opened_at >= since:
            found = of_delivery(journal, each, rows_per_payload=known.rows_per_payload)
            limit = known.contacts_limit
            waits = waiting_seconds(
                REQUESTS_PER_PAYLOAD * (found.payloads - found.payloads_done),
                left=left_of_limit(known),
                per_window=limit.requests,
                window_seconds=limit.seconds,
            )
            return dataclasses.replace(found, limit_seconds=waits)
    return None


@contextmanager
def _lines(chosen: Sync) -> Iterator[Callable[[Progress | None], None]]:
    """A line for each step, and every few seconds while one takes long."""
    printing.say(f"{chosen.name}: reading and comparing.")
    last: dict[str, Any] = {"done": -1, "at": 0.0}

    def show(found: Progress | None) -> None:
        if found is None or found.payloads_done == last["done"]:
            return
        if found.payloads_done == found.payloads or time.monotonic() - last["at"] >= LINE_SECONDS:
            last.update(done=found.payloads_done, at=time.monotonic())
            printing.say(f"{chosen.name}: {found}.")

    yield show


@contextmanager
def _bar(chosen: Sync) -> Iterator[Callable[[Progress | None], None]]:
    """One line that moves: rows, payloads, and when it will be done."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    width = 40 if console.width >= WIDE else 16
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=width),
        TextColumn("{task.fields[rows]}"),
        TextColumn("{task.fields[left]}", style="cyan"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(f"{chosen.name}: reading and comparing", total=None, rows="", left="")

        def show(found: Progress | None) -> None:
            if found is None:
                return
            bars.update(
                task,
                description=f"{chosen.name}: payload {found.payloads_done}/{found.payloads}",
                total=max(found.rows, 1),
                completed=found.done if found.rows else 1,
                rows=f"{found.done:,}/{found.rows:,}",
                left="" if found.seconds_left is None else f"{in_words(found.seconds_left)} left",
            )

        yield show
