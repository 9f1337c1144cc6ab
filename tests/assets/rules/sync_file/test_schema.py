"""Editors and readers see the same keys as the parser."""

import json
from pathlib import Path

from assets.rules.sync_file.keys import reference
from assets.rules.sync_file.schema import reference_rows, schema_text, sync_schema

DOCS = Path(__file__).parents[4] / "docs"


def test_the_committed_schema_is_the_generated_one() -> None:
    """Made anew by: python -m assets.rules.sync_file.schema > docs/sync.schema.json."""
    assert (DOCS / "sync.schema.json").read_text() == schema_text()


def test_the_schema_knows_every_key_and_no_other() -> None:
    """An editor completes all keys, and underlines those that do not exist."""

    def properties(schema: object) -> int:
        if isinstance(schema, dict):
            own = len(schema.get("properties", {}))
            assert "properties" not in schema or schema["additionalProperties"] is False
            return own + sum(map(properties, schema.values()))
        return sum(map(properties, schema)) if isinstance(schema, list) else 0

    assert properties(json.loads(schema_text())) == len(list(reference()))
    assert sync_schema()["required"] == ["sync", "source", "email"]


def test_the_reference_lists_every_key_and_no_other() -> None:
    """The tables of docs/syncs.md hold each key's type, default and meaning as the parser has them."""
    rows = [line for line in (DOCS / "syncs.md").read_text().splitlines() if line.startswith("| `")]
    wanted = list(reference_rows())
    assert [row for row in wanted if row not in rows] == []
    assert [row for row in rows if row not in wanted] == []
