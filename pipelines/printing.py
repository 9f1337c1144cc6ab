"""What the command shows a person: tables and sentences on a terminal, plain lines in logs, JSON where it is asked for.

Belongs here: how numbers look. Not here: which numbers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_json(found: Mapping[str, Any]) -> None:
    """One JSON object on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def say(*lines: str) -> None:
    """Sentences for a person, on stderr."""
    for line in lines:
        if line:
            sys.stderr.write(line + "\n")
    sys.stderr.flush()


def show(title: str, rows: Sequence[tuple[str, str]], *, head: tuple[str, str] = ("", "")) -> None:
    """A table on stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=any(head), box=None, pad_edge=False
    )
    table.add_column(head[0])
    table.add_column(head[1], justify="right")
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def show_rows(title: str, rows: Mapping[str, int], *, reasons: Mapping[str, int] | None = None) -> None:
    """Where every row went; places without rows are left out."""
    from pipelines.places import PLACES

    lines = [("rows read", f"{rows.get('read', 0):,}")]
    for place in PLACES:
        if rows.get(place.key):
            lines.append((f"  {place.words}", f"{rows[place.key]:,}"))
            if place.key == "rejected":
                lines.extend((f"    {name}", f"{count:,}") for name, count in sorted((reasons or {}).items()))
    show(title, lines)
