"""What the command shows a person: tables and sentences on a terminal, plain lines in logs, JSON where it is asked for.

Belongs here: how numbers look. Not here: which numbers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_json(found: Mapping[str, Any]) -> None:
    """One JSON object on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


class _Console(Console):
    """A console that leaves it to the command what to do when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise


def say(*lines: str) -> None:
    """Sentences for a person, on stderr; a run goes on when nobody hears them."""
    with suppress(BrokenPipeError):
        for line in lines:
            if line:
                sys.stderr.write(line + "\n")
        sys.stderr.flush()


def warn(*lines: str) -> None:
    """Sentences that ask for something to be done, on stderr; yellow on a terminal."""
    console = _Console(stderr=True, highlight=False, soft_wrap=True)
    with suppress(BrokenPipeError):
        for line in lines:
            if line:
                console.print(line, style="yellow" if console.is_terminal else None, markup=False)


def title(text: str, *, fine: bool) -> None:
    """One line on stdout: how it ended."""
    _console().print(text, style="bold green" if fine else "bold red", markup=False)


def show(title: str, rows: Sequence[tuple[str, str]], *, head: tuple[str, str] = ("", "")) -> None:
    """A table on stdout."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_header=any(head),
        box=None,
        pad_edge=False,
    )
    table.add_column(head[0])
    table.add_column(head[1], justify="right")
    for name, value in rows:
        table.add_row(Text(name), _marked(value))
    _console().print(table)


def _marked(value: str) -> Text:
    """The words of a verdict in its colour; everything else as it is."""
    return Text(value, style={"fine": "green", "wrong": "bold red"}.get(value, ""))


def _console() -> Console:
    """A terminal as wide as it is; elsewhere lines that are never wrapped. NO_COLOR is heeded."""
    return _Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def show_rows(
    title: str, rows: Mapping[str, int], *, reasons: Mapping[str, int] | None = None, planned: bool = False
) -> None:
    """Where every row went, or would go; places without rows are left out."""
    from pipelines.places import places

    lines = [("rows read", f"{rows.get('read', 0):,}")]
    for place in places(planned=planned):
        if rows.get(place.key):
            lines.append((f"  {place.words}", f"{rows[place.key]:,}"))
            if place.key == "rejected":
                lines.extend((f"    {name}", f"{count:,}") for name, count in sorted((reasons or {}).items()))
    show(title, lines)
