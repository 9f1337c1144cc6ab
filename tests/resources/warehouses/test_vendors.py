"""Snowflake and BigQuery beyond the contract: what is announced must arrive, and how a connection is asked for."""

from collections.abc import Callable

import pytest

from resources.errors import WarehouseError
from resources.warehouses import Query, Warehouse, connect
from resources.warehouses.bigquery import BigQueryWarehouse, places
from resources.warehouses.snowflake import SnowflakeWarehouse, cannot_connect, connect_arguments
from tests.resources.warehouses.vendors import BigQueryClient, Engine, SnowflakeConnection

SELECT = Query("SELECT id FROM people")


def snowflake(engine: Engine) -> Warehouse:
    """Snowflake on this engine."""
    return SnowflakeWarehouse(SnowflakeConnection(engine))


def bigquery(engine: Engine) -> Warehouse:
    """BigQuery on this engine."""
    return BigQueryWarehouse(BigQueryClient(engine, "prod"), project="prod", dry_run="dry run")


VENDORS = pytest.mark.parametrize(("dialect", "make"), [("snowflake", snowflake), ("bigquery", bigquery)])


def people(dialect: str) -> Engine:
    """Ten people."""
    engine = Engine("prod", dialect)
    engine.run("CREATE TABLE people AS SELECT range AS id FROM range(10)")
    return engine


@VENDORS
def test_a_connection_lost_in_mid_stream_is_an_error(
    dialect: str, make: Callable[[Engine], Warehouse]
) -> None:
    """Half a result is never a whole one, and the driver's words stay behind."""
    engine = people(dialect)
    engine.batches_until_lost = 2
    with (
        pytest.raises(WarehouseError, match="lost in mid-stream") as caught,
        make(engine).read(SELECT, columns=["id"]) as batches,
    ):
        list(batches)
    assert caught.value.outcome == "transient" and "ada" not in str(caught.value)


@VENDORS
def test_fewer_rows_than_announced_are_an_error(dialect: str, make: Callable[[Engine], Warehouse]) -> None:
    """A piece of the result that goes missing without an error is noticed at the end."""
    engine = people(dialect)
    engine.rows_to_drop = 1
    with (
        pytest.raises(WarehouseError, match="9 of the 10 rows") as caught,
        make(engine).read(SELECT, columns=["id"]) as batches,
    ):
        list(batches)
    assert caught.value.outcome == "transient"


@VENDORS
def test_only_what_is_asked_for_is_selected(dialect: str, make: Callable[[Engine], Warehouse]) -> None:
    """Columns that no sync reads are neither moved nor billed."""
    engine = people(dialect)
    with make(engine).read(Query("SELECT id, 1 AS other FROM people"), columns=["id"]) as batches:
        list(batches)
    assert "other" not in engine.statements[-1].split("FROM")[0]


def test_a_snowflake_url_becomes_the_drivers_arguments() -> None:
    """Everything that the driver knows can be said in the URL; the session speaks UTC and has a timeout."""
    url = "snowflake://ada:p%40ss@acme-eu/PROD/MARTS?warehouse=WH&role=READER"
    assert connect_arguments(url, statement_timeout_seconds=60) == {
        "account": "acme-eu",
        "user": "ada",
        "password": "p@ss",
        "database": "PROD",
        "schema": "MARTS",
        "warehouse": "WH",
        "role": "READER",
        "session_parameters": {
            "STATEMENT_TIMEOUT_IN_SECONDS": 60,
            "TIMEZONE": "UTC",
            "QUERY_TAG": "mailtrap-contacts",
        },
    }
    with pytest.raises(WarehouseError, match="names no account"):
        connect_arguments("snowflake:///PROD", statement_timeout_seconds=60)


def test_a_bigquery_url_names_project_dataset_and_parameters() -> None:
    """The project pays, the dataset is what bare names mean."""
    assert places("bigquery://prod/marts?location=EU") == ("prod", "marts", {"location": "EU"})


@pytest.mark.parametrize(
    ("scheme", "package"), [("snowflake", "snowflake"), ("bigquery", "google.cloud.bigquery")]
)
def test_a_driver_that_is_not_installed_is_named_with_its_extra(scheme: str, package: str) -> None:
    """The message says what to install."""
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(WarehouseError, match=rf"pip install 'mailtrap-contacts\[{scheme}\]'"):
            connect(f"{scheme}://somewhere/db")
    else:
        pytest.skip(f"{package} is installed")


class ProgrammingError(Exception):
    """As the driver's own."""

    errno = 251007


class OperationalError(Exception):
    """As the driver's own."""

    errno = 250001


@pytest.mark.parametrize(
    ("error", "outcome"), [(ProgrammingError("ada"), "config"), (OperationalError("ada"), "transient")]
)
def test_a_snowflake_url_to_mend_is_not_a_network_to_wait_for(error: Exception, outcome: str) -> None:
    """The real driver calls a missing password or key file a ProgrammingError, and an unreachable host an OperationalError."""
    said = cannot_connect("snowflake://ada:secret@acme/PROD", error)
    assert said.outcome == outcome
    assert "secret" not in str(said)
