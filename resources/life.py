"""Signs of life: which runs are at work, told to machines that cannot see each other's processes.

A run that is at work says so every few seconds in the journal's database, and takes its sign away when it ends. A sign
that was left standing and is old is of a run whose machine is gone. Not here: what is done about such runs
(`pipelines/abandoned.py`).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from resources.database import metadata, now_of
from resources.process import this_process

EVERY_SECONDS = 15.0
SILENT_SECONDS = 90.0
"""So long without a sign means that the run's process is no more, or can reach the journal no more."""
KEPT_SECONDS = 7 * 86_400.0

_signs = sa.Table(
    "signs_of_life",
    metadata,
    sa.Column("run_id", sa.String(80), primary_key=True),
    sa.Column("process", sa.String(160), primary_key=True),
    sa.Column("seen_at", sa.Double, nullable=False),
)


@contextlib.contextmanager
def at_work(engine: sa.Engine, run_id: str, *, every_seconds: float = EVERY_SECONDS) -> Iterator[None]:
    """Give signs of life until the block ends. That the database cannot be reached meanwhile ends nothing."""
    mine, ended = {"run_id": run_id, "process": this_process()}, threading.Event()
    _say(engine, mine)
    arguments = (engine, mine, ended, every_seconds)
    thread = threading.Thread(target=_go_on, args=arguments, daemon=True, name="signs-of-life")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
        with contextlib.suppress(sa.exc.SQLAlchemyError), engine.begin() as connection:
            connection.execute(_signs.delete().where(_is(mine)))


def is_silent(
    engine: sa.Engine,
    run_id: str,
    *,
    silent_seconds: float = SILENT_SECONDS,
    clock: Callable[[], float] = time.time,
) -> bool:
    """Whether a run once gave signs of life, did not end, and gives none any more; nothing is known of others."""
    newest = sa.select(sa.func.max(_signs.c.seen_at)).where(_signs.c.run_id == run_id)
    with contextlib.suppress(sa.exc.SQLAlchemyError), engine.connect() as connection:
        seen_at = connection.scalar(newest)
        return seen_at is not None and now_of(connection, clock=clock) - float(seen_at) > silent_seconds
    return False


def _go_on(engine: sa.Engine, mine: dict[str, str], ended: threading.Event, every_seconds: float) -> None:
    while not ended.wait(every_seconds):
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            _say(engine, mine)


def _say(engine: sa.Engine, mine: dict[str, str]) -> None:
    with contextlib.suppress(sa.exc.SQLAlchemyError), engine.begin() as connection:
        seen = {"seen_at": now_of(connection)}
        connection.execute(_signs.delete().where(_signs.c.seen_at < seen["seen_at"] - KEPT_SECONDS))
        if not connection.execute(_signs.update().where(_is(mine)).values(**seen)).rowcount:
            connection.execute(_signs.insert().values(**mine, **seen))


def _is(mine: dict[str, str]) -> sa.ColumnElement[bool]:
    return sa.and_(_signs.c.run_id == mine["run_id"], _signs.c.process == mine["process"])
