"""drt-core in a script that does the whole job: the checks of the obvious one, then drt as in its example of a batch."""

import sys
from pathlib import Path

import duckdb
from checked import checked
from drt_sync import nested_sql, sync

MODEL = """SELECT email, given_name AS first_name, family_name AS last_name, company, age,
    coalesce(plan_code, 'free') AS plan, strftime(created_on, '%Y-%m-%d') AS signed_up FROM frame"""


def main(warehouse: str, api: str, folder: Path) -> None:
    """drt reads from a warehouse: who may be told is written to one of its own."""
    folder.mkdir()
    clean = str(folder / "clean.duckdb")
    frame = checked(warehouse)
    with duckdb.connect(clean) as con:
        con.register("frame", frame)
        con.execute(f"CREATE TABLE usable AS {MODEL}")
    sync(clean, api, model=nested_sql("SELECT * FROM usable"), documented=True, folder=folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[-1]))
