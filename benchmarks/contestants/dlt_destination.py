"""dlt with a custom destination of 50,000 rows a batch, fed by DuckDB's own filter as Arrow tables."""

import os
import sys

import dlt
import duckdb
import requests
from usable import usable_sql

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
FIELDS = ("first_name", "last_name", "company", "age", "plan", "signed_up")


def main(warehouse: str, api: str, pipelines: str) -> None:
    """Extract, normalize, load: as dlt does it."""

    @dlt.resource(name="contacts")
    def contacts():  # type: ignore[no-untyped-def]
        with duckdb.connect(warehouse, read_only=True) as con:
            yield from con.sql(usable_sql()).to_arrow_reader(50_000)

    session = requests.Session()

    @dlt.destination(
        batch_size=50_000, name="mailtrap", naming_convention="direct", skip_dlt_columns_and_tables=True
    )
    def mailtrap(items, table) -> None:  # type: ignore[no-untyped-def]
        body = {"contacts": [contact(item) for item in items.to_pylist()]}  # Arrow in, Arrow out
        answer = session.post(f"{api}/api/accounts/1/contacts/imports", json=body)
        answer.raise_for_status()
        session.get(f"{api}/api/accounts/1/contacts/imports/{answer.json()['id']}").raise_for_status()

    dlt.pipeline("contacts", destination=mailtrap, pipelines_dir=pipelines).run(contacts())


def contact(item: dict) -> dict:  # type: ignore[type-arg]
    """One contact as the API wants it."""
    fields = {name: item[name] for name in FIELDS if item.get(name) is not None}
    return {"email": item["email"], "fields": fields, "list_ids_included": [1]}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
