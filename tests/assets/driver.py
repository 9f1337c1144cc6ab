"""A run of a sync in a process of its own, forked from one that has imported everything: quick to start, free to kill.

Same steps and settings as the command, without Dagster's start.
"""

import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assets.delivery.loop import Timing
from resources import settings
from resources.errors import ConnectorError
from resources.mailtrap.session import open_client
from resources.store.store import open_store
from tests.assets.world import Row, step_by_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process is to do."""

    environ: Mapping[str, str]
    sync: Any
    rows: dict[str, list[Row]]
    run_id: str
    lease_seconds: float = 60.0
    file_bytes: int = 0
    """The size beyond which no file may grow: a disk that is full."""


def work(errand: Errand) -> None:
    """Run the sync; the exit code is the command's."""
    signal.signal(signal.SIGTERM, _interrupt)
    if errand.file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (errand.file_bytes, errand.file_bytes))
    try:
        sys.exit(run(errand))
    except ConnectorError as error:
        print(f"{errand.run_id}: {error}", file=sys.stderr)  # noqa: T201 - the process's last words
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def run(errand: Errand) -> int:
    """The sync, with what the settings say."""
    known = settings.read(errand.environ)
    timing = Timing(lease_seconds=errand.lease_seconds)
    with (
        open_client(known) as client,
        open_store(known) as store,
    ):
        sent = step_by_step(client, store, errand.sync, rows=errand.rows, run_id=errand.run_id, timing=timing)
    for problem in sent.told.problems:
        print(f"{errand.run_id}: {problem}", file=sys.stderr)  # noqa: T201 - the process's last words
    return 0 if sent.outcome == "ok" else 4


def _interrupt(_number: int, _frame: Any) -> None:
    # As Dagster does for a run that is told to stop.
    raise KeyboardInterrupt
