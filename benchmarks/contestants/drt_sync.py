"""drt-core with its REST destination in batches, fed by DuckDB's own filter."""

import os
import sys
from pathlib import Path

import yaml
from usable import usable_sql

TEMPLATE = """{"contacts":[{% for row in rows %}{"email":{{ row.email | tojson_safe }},"fields":{
{%- for tag in ["first_name", "last_name", "company", "age", "plan", "signed_up"] if row[tag] is not none -%}
{{ tag | tojson_safe }}:{{ row[tag] | tojson_safe }}{{ "," if not loop.last }}
{%- endfor -%}},"list_ids_included":[1]}{{ "," if not loop.last }}{% endfor %}]}"""


def main(warehouse: str, api: str, folder: Path) -> None:
    """Write a project, and run its one sync."""
    (folder / ".drt").mkdir(parents=True)
    (folder / "syncs").mkdir()
    write(
        folder / ".drt" / "profiles.yml",
        {"warehouse": {"type": "duckdb", "database": warehouse, "fetch_size": 50_000}},
    )
    write(folder / "drt_project.yml", {"name": "benchmark", "version": "0.1", "profile": "warehouse"})
    destination = {
        "type": "rest_api",
        "url": f"{api}/api/accounts/1/contacts/imports",
        "headers": {"Content-Type": "application/json"},
        "body_mode": "batch",
        "batch_template": TEMPLATE,
        "max_records_per_request": 50_000,
    }
    limits = {"mode": "full", "batch_size": 50_000, "rate_limit": {"requests_per_second": 1_000}}
    sync = {"name": "people", "model": usable_sql(), "destination": destination, "sync": limits}
    write(folder / "syncs" / "people.yml", sync)
    os.chdir(folder)
    os.environ.update(HOME=str(folder), DO_NOT_TRACK="1")
    drt = str(Path(sys.executable).with_name("drt"))
    os.execv(drt, [drt, "run"])


def write(path: Path, value: object) -> None:
    """One YAML file."""
    path.write_text(yaml.safe_dump(value), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
