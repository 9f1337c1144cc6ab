"""mailtrap/analyst_database: a DuckDB file with views over the lake, so that an analyst starts with SQL.

    duckdb -readonly .contacts/lake/mailtrap/analyst.duckdb "select status, count(*) from contacts group by all"

Belongs here: the views. They read the lake's files where they lie, so they are always as fresh as these, and the
database itself holds nobody: only `imports` is a copy, of numbers in the journal. Not here: the tables themselves.
A lake in an object store has no such file: its Parquet is read there by whatever reads it anyway.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa

from assets import metadata
from assets.failures import told_to_dagster
from assets.freshness import freshness_of_takings
from assets.rules.comparison import connect, quoted
from assets.status_changes import EVIDENCE, NOBODY_TOLD, changes_sql, history_sql, told_sql
from resources.journal import Journal
from resources.lake import Lake
from resources.store.store import Store

DATABASE = "mailtrap/analyst.duckdb"
_DELIVERIES_AT_MOST = 100_000
_MOMENT = pa.timestamp("us", tz="UTC")
IMPORTS_SCHEMA = pa.schema(
    [
        ("import_id", pa.int64()),
        ("sync", pa.string()),
        ("run_id", pa.string()),
        ("state", pa.string()),
        ("contacts", pa.int64()),
        ("created", pa.int64()),
        ("updated", pa.int64()),
        ("over_limit", pa.int64()),
        ("attempts", pa.int64()),
        ("sent_at", _MOMENT),
        ("settled_at", _MOMENT),
        ("note", pa.string()),
    ]
)
_RUNS = (
    "schema: 'INTEGER', sync: 'VARCHAR', partition: 'VARCHAR', run_id: 'VARCHAR', started_at: 'TIMESTAMPTZ', "
    "seconds: 'DOUBLE', outcome: 'VARCHAR', rows: 'MAP(VARCHAR, BIGINT)', rejected_by_reason: 'MAP(VARCHAR, BIGINT)', "
    "gone: 'MAP(VARCHAR, BIGINT)', payloads: 'BIGINT', imports: 'BIGINT[]', requests: 'BIGINT', retries: 'BIGINT', "
    "ambiguous: 'BIGINT'"
)


def analyst_database(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset that writes the file anew after each export."""

    @dg.asset(
        name="analyst_database",
        key_prefix="mailtrap",
        group_name="mailtrap",
        freshness_policy=freshness_of_takings(),
        owners=list(owners) or None,
        kinds={"duckdb"},
        tags=metadata.tags_of(None, personal_data="none"),
        deps=[dg.AssetKey(["mailtrap", "exported_contacts"])],
        description="A DuckDB file with views over the lake: contacts, contacts_history, status_changes, rejections, "
        "imports, runs. Local lakes only.",
    )
    @told_to_dagster
    def _analyst_database(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[None]:
        names = write_database(store.lake, store.journal)
        shown = (
            "\n".join(f"* `{name}`" for name in names)
            or "The lake is not a local folder: read its Parquet there."
        )
        return dg.MaterializeResult(
            metadata={"views": dg.MetadataValue.md(shown), "path": DATABASE if names else "none"}
        )

    return _analyst_database


def write_database(lake: Lake, journal: Journal) -> tuple[str, ...]:
    """Replace the file, whole or not at all; says which views it has. Views of tables that do not exist yet are left out."""
    if not lake.is_local:
        return ()
    with lake.scratch() as scratch:
        path = scratch / "analyst.duckdb"
        with contextlib.closing(connect(scratch)) as connection:
            connection.execute(f"attach {quoted(str(path))} as analyst")
            connection.execute("use analyst")
            names = tuple(_make_views(connection, lake, journal))
            connection.execute("use memory")
            connection.execute("detach analyst")
        lake.write_bytes(DATABASE, path.read_bytes())
    return names


def _make_views(connection: duckdb.DuckDBPyConnection, lake: Lake, journal: Journal) -> Iterator[str]:
    for name, query in _views(lake):
        connection.execute(f"create view {name} as {query}")
        yield name
    connection.register("found", _imports(lake, journal))
    connection.execute("create table imports as select * from found order by sent_at, import_id")
    connection.unregister("found")
    yield "imports"


def _views(lake: Lake) -> Iterator[tuple[str, str]]:
    """A name and a query for each view whose files exist: a view over nothing cannot be made."""
    root, files = Path(lake.root).expanduser().resolve(), lake.list("")
    exported = "mailtrap/exported_contacts"
    if f"{exported}/latest.parquet" in files:
        yield "contacts", f"select * from read_parquet({quoted(f'{root}/{exported}/latest.parquet')})"
    if any(each.startswith(f"{exported}/versions/") for each in files):
        history = history_sql(quoted(f"{root}/{exported}/versions/*.parquet"))
        yield "contacts_history", history
        evidence = told_sql(quoted(f"{root}/*/{EVIDENCE}/*.parquet"), sync="parse_path(filename)[-3]")
        told = any(each.split("/")[1:2] == [EVIDENCE] for each in files)
        yield "status_changes", changes_sql(history, evidence if told else NOBODY_TOLD)
    if any("/rejections/" in each for each in files):
        yield (
            "rejections",
            _with_sync(root, "rejections/**/*.parquet"),
        )  # Mailtrap's own lie in a folder below
    if any("/drift/" in each for each in files):
        yield "drift", _with_sync(root, "drift/latest.parquet")
    if any(each.startswith("summaries/") for each in files):
        yield (
            "runs",
            f"select * from read_json({quoted(f'{root}/summaries/*/*.json')}, columns = {{{_RUNS}}})",
        )


def _with_sync(root: Path, tables: str) -> str:
    """The tables of all syncs as one, with the name of the sync: the folder right below the lake."""
    return f"""
        select string_split(filename[{len(f"{root}/") + 1}:], '/')[1] as sync, * exclude (filename)
        from read_parquet({quoted(f"{root}/*/{tables}")}, union_by_name = true, filename = true)
    """


def _imports(lake: Lake, journal: Journal) -> pa.Table:
    """The journal's payloads that Mailtrap gave an id, of all syncs that have a summary."""
    syncs = sorted({path.split("/")[1] for path in lake.list("summaries")})
    rows = [
        {
            "import_id": payload.import_id,
            "sync": delivery.sync,
            "run_id": delivery.run_id,
            "state": payload.state,
            "contacts": payload.sent_rows,
            "created": payload.created_count,
            "updated": payload.updated_count,
            "over_limit": payload.over_limit_count,
            "attempts": payload.attempts,
            "sent_at": _moment(payload.sent_at),
            "settled_at": _moment(payload.settled_at),
            "note": payload.note,
        }
        for sync in syncs
        for delivery in journal.deliveries(sync, latest=_DELIVERIES_AT_MOST)
        for payload in journal.payloads(delivery)
        if payload.import_id is not None
    ]
    return pa.Table.from_pylist(rows, schema=IMPORTS_SCHEMA)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
