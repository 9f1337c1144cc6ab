"""drt-core with its REST destination in batches, fed by DuckDB's own filter: set up by us, or as in its example of a batch."""

import os
import sys
from pathlib import Path

import yaml
from usable import usable_sql

TEMPLATE = """{"contacts":[{% for row in rows %}{"email":{{ row.email | tojson_safe }},"fields":{
{%- for tag in ["first_name", "last_name", "company", "age", "plan", "signed_up"] if row[tag] is not none -%}
{{ tag | tojson_safe }}:{{ row[tag] | tojson_safe }}{{ "," if not loop.last }}
{%- endfor -%}},"list_ids_included":[1]}{{ "," if not loop.last }}{% endfor %}]}"""
DOCUMENTED_TEMPLATE = '{"contacts": {{ rows | tojson_safe }}}'
DOCUMENTED_ROWS, DOCUMENTED_ROWS_PER_REQUEST = 1_000, 500


def sync(warehouse: str, api: str, *, model: str, documented: bool, folder: Path) -> None:
    """Write a project, and become its one sync."""
    (folder / ".drt").mkdir(parents=True)
    (folder / "syncs").mkdir()
    rows = DOCUMENTED_ROWS if documented else 50_000
    profile = {"type": "duckdb", "database": warehouse, **({} if documented else {"fetch_size": rows})}
    write(folder / ".drt" / "profiles.yml", {"warehouse": profile})
    write(folder / "drt_project.yml", {"name": "benchmark", "version": "0.1", "profile": "warehouse"})
    destination = {
        "type": "rest_api",
        "url": f"{api}/api/accounts/1/contacts/imports",
        "headers": {"Content-Type": "application/json"},
        "body_mode": "batch",
        "batch_template": DOCUMENTED_TEMPLATE if documented else TEMPLATE,
        "max_records_per_request": DOCUMENTED_ROWS_PER_REQUEST if documented else rows,
    }
    limits = {"mode": "full", "batch_size": rows, "rate_limit": {"requests_per_second": 1_000}}
    people = {"name": "people", "model": model, "destination": destination, "sync": limits}
    write(folder / "syncs" / "people.yml", people)
    os.chdir(folder)
    os.environ.update(HOME=str(folder), DO_NOT_TRACK="1")
    drt = str(Path(sys.executable).with_name("drt"))
    os.execv(drt, [drt, "run"])


def nested_sql(rows: str) -> str:
    """Rows that are contacts already, so that a template need only print them."""
    return f"""SELECT email, {{first_name: first_name, last_name: last_name, company: company, age: age, plan: plan,
        signed_up: signed_up}} AS fields, [1] AS list_ids_included FROM ({rows})"""


def write(path: Path, value: object) -> None:
    """One YAML file."""
    path.write_text(yaml.safe_dump(value), encoding="utf-8")


def main(warehouse: str, api: str, *, documented: bool, folder: Path) -> None:
    """DuckDB says who may be told."""
    model = nested_sql(usable_sql()) if documented else usable_sql()
    sync(warehouse, api, model=model, documented=documented, folder=folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], documented="--documented" in sys.argv[3:-1], folder=Path(sys.argv[-1]))
