"""How a URL finds its warehouse, and what is never shown of it."""

import dagster as dg
import pytest

from resources.errors import WarehouseError
from resources.warehouses import Query, connect, masked
from resources.warehouses.settings import WarehouseResource

SECRETS = {
    "postgresql://ada:s3cret@db/app": "postgresql://ada:***@db/app",
    "postgresql://ada:s3:c@r/et@db/app": "postgresql://ada:***@db/app",
    "postgresql://db/app?password=s3cret&sslmode=require": "postgresql://db/app?password=***&sslmode=require",
    "md:app?motherduck_token=s3cret": "md:app?motherduck_token=***",
    "snowflake://ada:s3cret@acme/db?private_key_file_pwd=s3cret": "snowflake://ada:***@acme/db?private_key_file_pwd=***",
    "s3://key:s3cret@bucket/folder?secret_key=s3cret": "s3://key:***@bucket/folder?secret_key=***",
    "duckdb:///folder/file.duckdb": "duckdb:///folder/file.duckdb",
}


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_is_shown_without_its_secrets(url: str) -> None:
    """Passwords with @ and / in them included."""
    assert masked(url) == SECRETS[url]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("dukdb:///x", "Nearest: duckdb"),
        ("warehouse.duckdb", "no scheme"),
        ("contract:///x", "No warehouse is known"),
    ],
)
def test_a_scheme_that_nobody_knows_is_answered_with_the_nearest(url: str, words: str) -> None:
    """A module that happens to lie beside the warehouses is not one."""
    with pytest.raises(WarehouseError, match=words):
        connect(url)


def test_the_resource_hands_out_a_plain_warehouse_and_shows_no_url() -> None:
    """Assets know the contract and no setting; a repr in a log holds no password."""
    assert "s3cret" not in repr(WarehouseResource(url="postgresql://ada:s3cret@db/app"))
    resource = WarehouseResource(url="duckdb:///:memory:", statement_timeout_seconds=5)
    with resource.yield_for_execution(dg.build_init_resource_context()) as warehouse:
        assert warehouse.dialect == "duckdb" and warehouse.count(Query("SELECT 1")) is None
    with pytest.raises(WarehouseError):
        warehouse.columns(Query("SELECT 1 AS id"))
