"""Mailtrap's official Python SDK in a script that does the whole job: the checks of the obvious one, then the SDK."""

import sys

from checked import checked, fields
from mailtrap.models.contacts import ImportContactParams
from sdk import imports_at


def main(warehouse: str, api: str) -> None:
    """50,000 to a call, each import asked about once."""
    imports, frame = imports_at(api), checked(warehouse)
    for start in range(0, len(frame), 50_000):
        rows = frame.iloc[start : start + 50_000].to_dict("records")
        job = imports.import_contacts(
            [
                ImportContactParams(email=row["email"], fields=fields(row), list_ids_included=[1])
                for row in rows
            ]
        )
        imports.get_by_id(job.id)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
