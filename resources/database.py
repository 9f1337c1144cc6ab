"""One way to open the database that processes share: SQLite by default, PostgreSQL by URL.

Only the engine, its clock, and the list of tables that it should have. The tables are declared where they are used
(`journal.py`, `mailtrap/meter.py`).
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resources.errors import JournalError, SettingsError

metadata = sa.MetaData()
_BUSY_MILLISECONDS = 60_000
"""Nobody waits longer for somebody else's transaction, and at a server nobody may leave one open for longer."""
_MAKING_TABLES = 5_031_947_265  # a PostgreSQL advisory lock of our own


def open_engine(url: str) -> sa.Engine:
    """An engine for CONTACTS_JOURNAL; a SQLite file is made 0600 and survives a power cut."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _wrong_url() from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg2")
        engine = sa.create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
        sa.event.listen(engine, "connect", _bound)
        return engine
    raise _wrong_url()


def now_of(connection: sa.Connection, *, clock: Callable[[], float] = time.time) -> float:
    """Seconds since 1970: by the server's clock, which all machines read alike, or, within one machine, by its own."""
    if connection.dialect.name != "postgresql":
        return clock()
    return float(connection.scalar(sa.text("select extract(epoch from clock_timestamp())")) or 0.0)


def create_tables(engine: sa.Engine) -> None:
    """Make the tables that are missing; several processes may do so at once. Nobody waits where none is missing."""
    if _has_all_tables(engine):
        return
    try:
        _create_missing(engine)
    except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
        try:
            _create_missing(engine)
        except sa.exc.SQLAlchemyError as error:
            raise JournalError(
                f"The journal's tables could not be made ({type(error).__name__}).",
                "Without the journal nothing may be sent.",
                "Check that CONTACTS_JOURNAL can be reached and written to.",
            ) from None


def _create_missing(engine: sa.Engine) -> None:
    if engine.dialect.name != "postgresql":
        metadata.create_all(engine, checkfirst=True)
        return
    with (
        engine.begin() as connection
    ):  # one after the other: CREATE TABLE IF NOT EXISTS fails when two do it at once
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING_TABLES)))
        metadata.create_all(connection, checkfirst=True)


def _has_all_tables(engine: sa.Engine) -> bool:
    try:
        with engine.execution_options(reading=True).begin() as connection:
            return set(metadata.tables) <= set(sa.inspect(connection).get_table_names())
    except sa.exc.SQLAlchemyError:
        return False


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        path = Path(url.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Never open a database that is there: closing it again would drop the locks of this process's connections,
        # so that another process takes itself for the last one and removes the log that we are writing to.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            with contextlib.suppress(FileNotFoundError):
                name.chmod(0o600)
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_MILLISECONDS / 1000})
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _bound(connection: Any, _record: Any) -> None:
    # Not in the URL's options, which a pooler in between may refuse.
    with connection.cursor() as cursor:
        cursor.execute(f"set lock_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute(f"set idle_in_transaction_session_timeout = {_BUSY_MILLISECONDS}")
    connection.commit()


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A read that turns into a write in a deferred transaction fails when somebody wrote in between: take the lock first.
    # Who only reads need not wait for those who write.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _wrong_url() -> SettingsError:
    return SettingsError(
        "CONTACTS_JOURNAL is not a database URL that we can use.",
        "The journal lives in SQLite, or in PostgreSQL when several machines share it.",
        "Use sqlite:///path/to/journal.db or postgresql://user:password@host/database.",
    )
