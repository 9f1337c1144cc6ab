"""Where the rows come from: one contract, one file for each kind of warehouse.

`connect(url)` takes the scheme of the URL as the name of the file: `duckdb:///…` opens `duckdb.py`. A new
warehouse is a new file here with one function, `open_warehouse(url, *, statement_timeout_seconds)`, or a module
elsewhere that an entry point of the group `mailtrap_contacts.warehouses` names. Drivers are imported only there.
"""

import importlib
import importlib.util
import re
from importlib.metadata import entry_points
from types import ModuleType
from typing import cast

from resources.errors import WarehouseError
from resources.warehouses.complaints import masked, nearest
from resources.warehouses.contract import (
    STATEMENT_TIMEOUT_SECONDS,
    Batches,
    Bucket,
    CsvDialect,
    Days,
    Files,
    Query,
    Relation,
    Table,
    Warehouse,
    Window,
)

ENTRY_POINTS = "mailtrap_contacts.warehouses"
FILE_OF_SCHEME = {
    "md": "duckdb",
    "motherduck": "duckdb",
    "postgresql": "postgres",
    "redshift": "postgres",
    "file": "files",
    "s3": "files",
    "gs": "files",
    "gcs": "files",
    "abfs": "files",
    "abfss": "files",
    "hdfs": "files",
}
OURS = ("duckdb", "postgres", "snowflake", "bigquery", "files")

__all__ = [
    "Batches",
    "Bucket",
    "CsvDialect",
    "Days",
    "Files",
    "Query",
    "Relation",
    "Table",
    "Warehouse",
    "Window",
    "connect",
    "masked",
]


def connect(url: str, *, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS) -> Warehouse:
    """The warehouse at this URL, opened for reading only; its scheme names the file that knows how."""
    module = _module(_scheme(url))
    return cast(Warehouse, module.open_warehouse(url, statement_timeout_seconds=statement_timeout_seconds))


def _scheme(url: str) -> str:
    found = re.match(r"([A-Za-z][A-Za-z0-9_]*)(?:\+[A-Za-z0-9_]+)?:", url)
    if not found:
        raise WarehouseError(
            "The warehouse URL has no scheme.",
            remedy="CONTACTS_WAREHOUSE looks like duckdb:///path/to/file.duckdb or postgresql://user@host/database.",
        )
    return found[1].lower()


def _module(scheme: str) -> ModuleType:
    name = f"{__name__}.{FILE_OF_SCHEME.get(scheme, scheme)}"
    if importlib.util.find_spec(name):
        module = importlib.import_module(name)
        if hasattr(module, "open_warehouse"):
            return module
    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        return cast(ModuleType, entry.load())
    raise WarehouseError(
        f"No warehouse is known by the scheme {scheme}:.",
        nearest(scheme, (*OURS, *FILE_OF_SCHEME))
        or f"Known are {', '.join(sorted((*OURS, *FILE_OF_SCHEME)))}.",
        f"Correct CONTACTS_WAREHOUSE, or add resources/warehouses/{scheme}.py (docs/warehouses.md shows how).",
    )
