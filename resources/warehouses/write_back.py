"""Writing back: people who opted out at Mailtrap, as one table in a warehouse, for the source of truth to learn of.

The only thing of ours that ever writes to a warehouse: over a connection of its own, with rights of its own, never the
one that syncs read by. DuckDB and PostgreSQL. Everything of one call is one transaction, and the same call twice leaves
the same table. Belongs here: the table's shape and its two verbs. Not here: who opted out (`assets/opt_outs.py`).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from resources.errors import WarehouseError
from resources.warehouses import complaints, statement

MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("email", pa.string()),
        ("reasons", pa.string()),
        ("since", MOMENT),
        ("first_seen", MOMENT),
        ("last_seen", MOMENT),
        ("active", pa.bool_()),
    ]
)
"""One row a person: canonical address, why, since when, and whether it still holds."""
_TYPES = {"string": "TEXT", "bool": "BOOLEAN"}
_COLUMNS = ", ".join(
    f"{each.name} {_TYPES.get(str(each.type), 'TIMESTAMP WITH TIME ZONE')}{' PRIMARY KEY' if each.name == 'email' else ''}"
    for each in SCHEMA
)
_NAMES = ", ".join(SCHEMA.names)
_OTHERS = SCHEMA.names[1:]
_NEWS = "contacts_opt_outs_now"


@dataclass(frozen=True, slots=True)
class WriteBack:
    """Where opt-outs are written to; without a URL, nowhere."""

    url: str | None = field(repr=False)
    table: str

    def tell(self, people: pa.Table) -> int | None:
        """Bring the table up to date with these people, one row each; says how many rows changed. None: nowhere."""
        if self.url is None:
            return None
        target, news = self._target(), people.select(SCHEMA.names).cast(SCHEMA)
        updates = ", ".join(f"{name} = excluded.{name}" for name in _OTHERS)
        differ = " OR ".join(f"held.{name} IS DISTINCT FROM excluded.{name}" for name in _OTHERS)
        with self._transaction() as session:
            session.run(f"CREATE TABLE IF NOT EXISTS {target} ({_COLUMNS})")
            session.load(news)
            return session.run(
                f"INSERT INTO {target} AS held ({_NAMES}) SELECT {_NAMES} FROM {_NEWS} WHERE true "
                f"ON CONFLICT (email) DO UPDATE SET {updates} WHERE {differ}"
            )

    def forget(self, addresses: Sequence[str]) -> int | None:
        """Remove erased people; says how many rows went. None: nowhere, or there is no table yet."""
        if self.url is None:
            return None
        news = pa.table(
            {name: pa.array([None] * len(addresses), SCHEMA.field(name).type) for name in SCHEMA.names}
        )
        news = news.set_column(0, SCHEMA.field("email"), pa.array(addresses, pa.string()))
        with self._transaction() as session:
            session.run(f"CREATE TABLE IF NOT EXISTS {self._target()} ({_COLUMNS})")
            session.load(news)
            return session.run(f"DELETE FROM {self._target()} WHERE email IN (SELECT email FROM {_NEWS})")

    def _target(self) -> str:
        parts = statement.name_parts(self.table)
        return ".".join(statement.quoted(part, "postgres") for part in parts)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator["_Session"]:
        assert self.url is not None, "asked before"
        kind = _KINDS.get(urlsplit(self.url).scheme.partition("+")[0])
        if kind is None:
            raise WarehouseError(
                "Opt-outs can be written back to DuckDB and PostgreSQL only.",
                "Nothing was written.",
                "Correct CONTACTS_WRITE_BACK, or unset it and load mailtrap/opt_outs/latest.parquet of the lake.",
            )
        with kind(self.url) as session:
            yield session


@dataclass(frozen=True, slots=True)
class _Session:
    """One transaction."""

    run: Callable[[str], int]
    load: Callable[[pa.Table], None]


@contextlib.contextmanager
def _in_duckdb(url: str) -> Iterator[_Session]:
    from resources.warehouses import duckdb

    with complaints.border(_refused), contextlib.closing(duckdb.open_for_writing(url)) as connection:

        def run(sql: str) -> int:
            rows = connection.execute(sql).fetchall()
            return int(rows[0][0]) if rows else 0

        def load(rows: pa.Table) -> None:
            connection.register(_NEWS, rows)

        connection.begin()
        yield _Session(run, load)
        connection.commit()


@contextlib.contextmanager
def _in_postgres(url: str) -> Iterator[_Session]:
    from resources.warehouses import postgres

    with (
        complaints.border(_refused),
        contextlib.closing(postgres.open_for_writing(url)) as connection,
        connection.cursor() as cursor,
    ):

        def run(sql: str) -> int:
            cursor.execute(sql)
            return max(0, int(cursor.rowcount))

        def load(rows: pa.Table) -> None:
            cursor.adbc_ingest(_NEWS, rows, mode="create", temporary=True)

        yield _Session(run, load)
        connection.commit()


_KINDS: dict[str, Any] = {"duckdb": _in_duckdb, "postgresql": _in_postgres, "postgres": _in_postgres}


def _refused(error: Exception) -> WarehouseError:
    code = getattr(error, "sqlstate", None) or complaints.code_of(error)
    return WarehouseError(
        f"The table of opt-outs could not be written back ({code}).",
        "Nothing of it was written; the table in the lake is up to date.",
        "Check that CONTACTS_WRITE_BACK can be reached, that its user may create and write "
        "CONTACTS_WRITE_BACK_TABLE, and that an existing table has the columns of docs/privacy.md.",
        outcome="transient" if str(code).startswith(("08", "40", "53", "57", "IO")) else "config",
    )
