"""Mailtrap's official Python SDK, fed by DuckDB's own filter, so that only the SDK's work is compared."""

import sys

import duckdb
import mailtrap
from mailtrap.http import HttpClient
from mailtrap.models.contacts import ImportContactParams
from usable import usable_sql


def imports_at(api: str):  # type: ignore[no-untyped-def]
    """The SDK's calls for imports, at another address: it knows https://mailtrap.io only."""
    HttpClient._url = lambda self, path: f"{api}/{path.lstrip('/')}"
    return mailtrap.MailtrapClient(token="benchmark", account_id="1").contacts_api.contact_imports


def main(warehouse: str, api: str) -> None:
    """50,000 to a call, as its documentation says."""
    imports = imports_at(api)
    with duckdb.connect(warehouse, read_only=True) as con:
        found = con.execute(usable_sql())
        names = [column[0] for column in found.description][1:]
        while rows := found.fetchmany(50_000):
            job = imports.import_contacts([params(names, row) for row in rows])
            imports.get_by_id(job.id)


def params(names: list[str], row: tuple) -> ImportContactParams:  # type: ignore[type-arg]
    """One contact in the SDK's words."""
    fields = {name: value for name, value in zip(names, row[1:], strict=True) if value is not None}
    return ImportContactParams(email=row[0], fields=fields, list_ids_included=[1])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
