"""The examples of a sync, judged: does each row become what its author says it becomes?

Belongs here: running the rules on the rows of `examples:`, and saying what came out differently. Not here:
the rules (`screening`), and how examples are written (`sync_file`).

    for problem in example_problems(sync, now=now): print(problem)

A problem names the example by its number and the column, never a value: examples look like people's data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from assets.rules.screening import screen
from assets.rules.sync import Example, Problem, Sync

# Examples are invented people: what hides their addresses need not be a secret.
_KEY: Final = b"the key of invented people"


def example_problems(sync: Sync, *, now: datetime) -> tuple[Problem, ...]:
    """What the rules make of the examples that their author did not expect; empty when all hold."""
    return tuple(
        Problem(sync.file, example.line, f"examples[{number}]", happened, remedy)
        for number, example in enumerate(sync.examples, 1)
        for happened, remedy in _surprises(as_contacts(sync), example, now=example.now or now)
    )


def as_contacts(sync: Sync) -> Sync:
    """The sync whose fields are an event's parameters: its rows are judged like any other's."""
    return sync if sync.events is None else replace(sync, fields=sync.events.params, events=None)


def _surprises(sync: Sync, example: Example, *, now: datetime) -> Iterator[tuple[str, str]]:
    screened = screen(_frame(example.row, sync.columns), sync, now=now, key=_KEY)
    accepted, rejections = _records(screened.accepted), _records(screened.rejections)
    if example.rejected is not None:
        yield from _unlike_rejection(example.rejected, accepted, rejections)
    elif accepted:
        yield from _unlike_contact(example.contact or {}, accepted[0])
    else:
        yield _refusal(rejections)


def _unlike_rejection(
    wanted: str, accepted: list[dict[str, Any]], rejections: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    if accepted:
        yield f"was accepted, not refused as {wanted}.", "Tighten the rules, or expect a `contact`."
        return
    reasons = {str(row["reason"]) for row in rejections} or {"no_consent"}
    also = {str(other).rpartition(":")[2] for row in rejections for other in row["also"] or ()}
    if wanted not in reasons | also:
        yield (
            f"was refused as {' and '.join(sorted(reasons))}, not as {wanted}.",
            "Expect that reason, or mend the row.",
        )


def _refusal(rejections: list[dict[str, Any]]) -> tuple[str, str]:
    if not rejections:
        return "has no valid consent.", "Give the row consent, or expect `rejected: no_consent`."
    row = rejections[0]
    return f"was refused: column {row['column']}, reason {row['reason']}.", str(row["remedy"])


def _unlike_contact(wanted: Mapping[str, object], contact: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in wanted.items():
        if _plain(value) != _plain(contact.get(name)):
            yield f"{name} came out differently.", "Mend the mapping, or what the example expects of it."


def _plain(value: object) -> object:
    """A value to compare: lists in any order, and true is not 1."""
    if isinstance(value, list):
        return sorted(map(str, value))
    return (isinstance(value, bool), value)


def _frame(row: Mapping[str, object], columns: tuple[str, ...]) -> pd.DataFrame:
    arrays = [_array(row.get(column)) for column in columns]
    return pa.table(arrays, names=list(columns)).to_pandas(types_mapper=pd.ArrowDtype)


def _array(value: object) -> pa.Array:
    if value is None:
        return pa.array([None], pa.string())
    if isinstance(value, list):
        return pa.array([[None if item is None else str(item) for item in value]], pa.list_(pa.string()))
    return pa.array([value])


def _records(rows: Any) -> list[dict[str, Any]]:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    return table.to_pylist()  # type: ignore[no-any-return]
