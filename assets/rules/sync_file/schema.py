"""The keys of a sync file for editors (JSON schema) and for readers (rows of the tables in docs/syncs.md).

    python -m assets.rules.sync_file.schema > docs/sync.schema.json

Belongs here: how `keys` is written down elsewhere; tests hold both files against it. The schema helps
while typing; it is not the judge: the parser also knows what cannot go together.
"""

import json
import sys
from collections.abc import Iterator

from assets.rules.sync_file.keys import SYNC, reference
from assets.rules.sync_file.shapes import Schema

FIRST_LINE = "# yaml-language-server: $schema=../../docs/sync.schema.json"


def sync_schema() -> Schema:
    """The JSON schema of a sync file."""
    schema = SYNC.schema()
    head: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A sync: rows of a table become contacts in Mailtrap",
    }
    # Draft 7 says "unless" by if/then: only a table of requests does without consent.
    unless: Schema = {"if": {"not": {"required": ["unsubscribes"]}}, "then": {"required": ["consent"]}}
    return head | schema | unless


def schema_text() -> str:
    """The text of docs/sync.schema.json."""
    return json.dumps(sync_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_rows() -> Iterator[str]:
    """A Markdown table row for every key; an event's parameters are written like fields, and said there."""
    for path, key in reference():
        if not path.startswith("events.params."):
            default = "**required**" if key.required else key.default or "–"
            yield f"| `{path}` | {key.shape.words} | {default} | {key.meaning} |"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
