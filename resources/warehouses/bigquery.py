"""BigQuery: streamed in Arrow batches by Google's own client, through the Storage API where that is installed.

`bigquery://project/dataset?location=EU`; credentials are Google's defaults (GOOGLE_APPLICATION_CREDENTIALS, or those
of the machine). `?maximum_bytes_billed=…` bounds the cost of one statement.

Here: all that is BigQuery's own. A statement of BigQuery sees one moment; two reads see two. What keeps a source from
writing is that a query is proven to be one SELECT, and the rights of the account. Types are learnt by a dry run or
from the table's own description, which cost nothing.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa

from resources.errors import WarehouseError
from resources.warehouses import complaints, plain, statement
from resources.warehouses.contract import (
    ROWS_PER_BATCH,
    STATEMENT_TIMEOUT_SECONDS,
    Batches,
    Files,
    Query,
    Relation,
    Table,
    Window,
)
from resources.warehouses.statement import Column, Grammar

NAME = "BigQuery"
LOOK_SECONDS = 60.0
"""How long a description is asked for again; the client's own ten minutes say nothing meanwhile."""
ADDRESS_HASH = (
    "CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(LOWER(TRIM(COALESCE(CAST({column} AS STRING), ''), ' \\t\\r\\n')))), 1, 8)) "
    "AS INT64)"
)


class FieldOfSchema(Protocol):
    """What the client says of a column."""

    @property
    def name(self) -> str:
        """The exact name."""
        ...

    @property
    def field_type(self) -> str:
        """BigQuery's name of the type."""
        ...

    @property
    def mode(self) -> str:
        """NULLABLE, REQUIRED or REPEATED."""
        ...


class Rows(Protocol):
    """The part of the client's `RowIterator` that is used here."""

    @property
    def total_rows(self) -> int | None:
        """How many rows the result has."""
        ...

    def to_arrow_iterable(
        self, bqstorage_client: Any = None, max_queue_size: Any = None, max_stream_count: int | None = None
    ) -> Iterable[pa.RecordBatch]:
        """The rows as Arrow batches, downloaded as they are asked for."""
        ...


class Client(Protocol):
    """The part of `google.cloud.bigquery.Client` that is used here."""

    def get_table(self, table: str, retry: Any = ...) -> Any:
        """The description of a table."""
        ...

    def list_datasets(self, project: str | None = None, *, retry: Any = ...) -> Iterable[Any]:
        """The datasets that this account sees."""
        ...

    def list_tables(self, dataset: str, *, retry: Any = ...) -> Iterable[Any]:
        """The tables of a dataset."""
        ...

    def query(self, query: str, job_config: Any = None, *, retry: Any = ...) -> Any:
        """Start a job; a dry run when its config says so."""
        ...

    def query_and_wait(self, query: str, *, wait_timeout: Any = None) -> Any:
        """Run a statement and wait for its result."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def open_warehouse(
    url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS
) -> "BigQueryWarehouse":
    """A client for the project, with Google's default credentials."""
    try:
        from google.cloud import bigquery
    except ImportError:
        raise complaints.driver_missing("google-cloud-bigquery", extra="bigquery") from None
    project, dataset, given = places(url)
    config = bigquery.QueryJobConfig(
        job_timeout_ms=round(statement_timeout_seconds * 1000),
        maximum_bytes_billed=int(given["maximum_bytes_billed"]) if "maximum_bytes_billed" in given else None,
        labels={"application": "mailtrap-contacts"},
    )
    with complaints.border(lambda error: _cannot_connect(url, error)):
        client = bigquery.Client(project=project or None, location=given.get("location"))
        if dataset:
            config.default_dataset = f"{client.project}.{dataset}"
        client.default_query_job_config = config
    return BigQueryWarehouse(
        client,
        project=client.project,
        dataset=dataset,
        storage=_storage(),
        dry_run=bigquery.QueryJobConfig(dry_run=True, use_query_cache=False),
        retry=bigquery.DEFAULT_RETRY.with_timeout(LOOK_SECONDS),
        statement_timeout_seconds=statement_timeout_seconds,
    )


def places(url: str) -> tuple[str, str, dict[str, str]]:
    """Project, default dataset and parameters of a URL."""
    parts = urlsplit(url)
    return unquote(parts.netloc), unquote(parts.path.strip("/")), dict(parse_qsl(parts.query))


class BigQueryWarehouse:
    """One project, and in it the dataset that names without a dataset mean."""

    dialect = "bigquery"

    def __init__(
        self,
        client: Client,
        *,
        project: str,
        dataset: str = "",
        storage: object | None = None,
        dry_run: object | None = None,
        retry: object | None = None,
        statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
    ) -> None:
        self._client = client
        self._project, self._dataset = project, dataset
        self._storage, self._dry_run, self._retry = storage, dry_run, retry
        self._timeout_seconds = statement_timeout_seconds

    def columns(self, relation: Relation) -> pa.Schema:
        """Every column with its plain type and BigQuery's own."""
        return statement.schema_of(self._look(relation)[1])

    @contextlib.contextmanager
    def read(
        self,
        relation: Relation,
        *,
        columns: Sequence[str],
        window: Window | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> Iterator[Batches]:
        """Stream the columns; only they are read and billed."""
        source, known = self._look(relation)
        found = statement.select(
            source, known, columns=columns, relation=relation, grammar=GRAMMAR, window=window
        )
        complain = self._complaint_about(relation)
        with complaints.border(complain):
            rows: Rows = self._client.query_and_wait(found.sql, wait_timeout=self._timeout_seconds)
        batches = complaints.guarded(_whole(rows, self._storage), complain)
        yield plain.stream(batches, found.schema, rows_per_batch=rows_per_batch)

    def count(self, relation: Relation, *, window: Window | None = None) -> int | None:
        """What the description of a table says; None where rows may still lie in its streaming buffer."""
        if window is not None or not isinstance(relation, Table):
            return None
        table = self._table(relation)
        exact = table.table_type == "TABLE" and table.streaming_buffer is None
        return int(table.num_rows) if exact else None

    def close(self) -> None:
        """Close the client."""
        with contextlib.suppress(Exception):
            self._client.close()

    def _look(self, relation: Relation) -> tuple[str, list[Column]]:
        if isinstance(relation, Files):
            raise complaints.not_readable("files", NAME, remedy=complaints.FILES_REMEDY)
        if isinstance(relation, Query):
            source = statement.from_clause(relation, (), self.dialect)
            with complaints.border(self._complaint_about(relation)):
                job = self._client.query(
                    f"SELECT * FROM {source}", job_config=self._dry_run, retry=self._retry
                )
            return source, [_column(each) for each in job.schema]
        table = self._table(relation)
        found = (table.project, table.dataset_id, table.table_id)
        return statement.from_clause(relation, found, self.dialect), [_column(each) for each in table.schema]

    def _table(self, relation: Table) -> Any:
        parts = statement.name_parts(relation.name)
        full = (self._project, self._dataset)[: 3 - len(parts)] + parts
        if len(full) != 3 or not all(full):
            raise WarehouseError(
                f"No dataset is chosen for table {relation.name}.",
                remedy="Name it in the URL (bigquery://project/dataset) or as dataset.table.",
            )
        with complaints.border(self._complaint_about(relation)):
            try:
                return self._client.get_table(".".join(full), retry=self._retry)
            except Exception as error:
                if complaints.code_of(error) != "NotFound":
                    raise
                raise complaints.table_not_found(relation.name, self._names(full[0], full[1])) from None

    def _names(self, project: str, dataset: str) -> list[str]:
        """Tables to compare a misspelt name with: of its dataset, or else of all."""
        ask = {"retry": self._retry}
        try:
            there = self._client.list_tables(f"{project}.{dataset}", **ask)
            return [f"{dataset}.{each.table_id}" for each in there]
        except Exception:  # noqa: BLE001 - the dataset may be what is misspelt
            datasets = [each.dataset_id for each in self._client.list_datasets(project, **ask)]
            return [
                f"{name}.{each.table_id}"
                for name in datasets
                for each in self._client.list_tables(f"{project}.{name}", **ask)
            ]

    def _complaint_about(self, relation: Relation) -> complaints.Translate:
        return lambda error: _translate(error, relation=relation, timeout_seconds=self._timeout_seconds)


def _storage() -> object | None:
    """The client of the Storage API, many times faster than REST, where it is installed."""
    try:
        from google.cloud import bigquery_storage
    except ImportError:
        return None
    with complaints.border(lambda error: complaints.unexpected(NAME, complaints.code_of(error))):
        client: object = bigquery_storage.BigQueryReadClient()  # type: ignore[no-untyped-call,unused-ignore]
    return client


def _whole(rows: Rows, storage: object | None) -> Iterator[pa.RecordBatch]:
    """Every batch; at the end as many rows as BigQuery announced, or an error."""
    seen = 0
    for batch in rows.to_arrow_iterable(bqstorage_client=storage, max_queue_size=2, max_stream_count=1):
        seen += batch.num_rows
        yield batch
    if rows.total_rows is not None and seen != rows.total_rows:
        raise complaints.came_short(NAME, rows=seen, expected=rows.total_rows)


def _column(field: FieldOfSchema) -> Column:
    if field.mode == "REPEATED":
        records = field.field_type in _RECORDS
        return Column(field.name, f"ARRAY<{field.field_type}>", plain.TEXT if records else plain.TEXTS)
    return Column(field.name, field.field_type, _PLAIN.get(field.field_type, plain.TEXT))


def _decode(column: Column, quoted: str) -> str:
    if column.plain == plain.TEXTS:
        # A result may hold no NULL inside of an array.
        return f"ARRAY(SELECT CAST(e AS STRING) FROM UNNEST({quoted}) AS e WHERE e IS NOT NULL)"
    if column.plain != plain.TEXT or column.native == "STRING":
        return quoted
    if column.native == "BYTES":
        return f"TO_HEX({quoted})"
    if column.native == "GEOGRAPHY":
        return f"ST_ASTEXT({quoted})"
    return f"CAST({quoted} AS STRING)" if column.native in _AS_STRING else f"TO_JSON_STRING({quoted})"


def _cannot_connect(url: str, error: Exception) -> WarehouseError:
    return complaints.cannot_connect(
        url,
        complaints.code_of(error),
        remedy="Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where Google gives credentials.",
        transient=False,
    )


def _translate(error: Exception, *, relation: Relation, timeout_seconds: float) -> WarehouseError:
    code = complaints.code_of(error)
    if code in ("Forbidden", "PermissionDenied", "Unauthorized", "Unauthenticated"):
        return complaints.no_permission(
            statement.in_words(relation), grant="Give the account BigQuery Data Viewer and BigQuery Job User."
        )
    if code == "NotFound":
        return complaints.query_refused("it names a table or dataset that does not exist")
    if code in ("BadRequest", "InvalidArgument"):
        return _bad_request(error, timeout_seconds)
    if code in ("TimeoutError", "ConcurrentTimeoutError", "DeadlineExceeded", "GatewayTimeout"):
        return complaints.too_slow(timeout_seconds)
    if isinstance(error, OSError) or code in _LOST:
        return complaints.connection_lost(NAME, code)
    return complaints.unexpected(NAME, code)


def _bad_request(error: Exception, timeout_seconds: float) -> WarehouseError:
    reasons = {each.get("reason") for each in getattr(error, "errors", None) or () if isinstance(each, dict)}
    if reasons & {"stopped", "timeout"}:
        return complaints.too_slow(timeout_seconds)
    if reasons & {"bytesBilledLimitExceeded"}:
        return complaints.query_refused("it would cost more than maximum_bytes_billed of the URL allows")
    return complaints.query_refused(
        f"{NAME} does not accept it ({', '.join(sorted(filter(None, reasons))) or '400'})"
    )


_LOST = (
    "ServiceUnavailable",
    "InternalServerError",
    "BadGateway",
    "TooManyRequests",
    "Aborted",
    "Cancelled",
    "RetryError",
    "Unknown",
    "TransportError",
)
_RECORDS = ("RECORD", "STRUCT", "JSON", "RANGE")
_AS_STRING = ("NUMERIC", "BIGNUMERIC", "TIME", "INTERVAL")
_PLAIN: dict[str, pa.DataType] = {
    **dict.fromkeys(("INTEGER", "INT64"), plain.INTEGER),
    **dict.fromkeys(("FLOAT", "FLOAT64"), plain.FLOAT),
    **dict.fromkeys(("BOOLEAN", "BOOL"), plain.BOOLEAN),
    "DATE": plain.DATE,
    "DATETIME": plain.TIMESTAMP,
    "TIMESTAMP": plain.INSTANT,
}
GRAMMAR = Grammar(
    dialect="bigquery", address_hash=ADDRESS_HASH, odd_address=statement.odd_address("STRING"), decode=_decode
)
