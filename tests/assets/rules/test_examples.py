"""Examples in a sync file are tests of its mapping: those that hold are silent, the others say what came out."""

from datetime import UTC, date, datetime

import pytest

from assets.rules.examples import example_problems
from assets.rules.sync_file import parse_sync

NOW = datetime(2026, 8, 1, tzinfo=UTC)
SYNC = """\
sync: a
source: {table: t, updated_at: changed}
email: address
consent: {granted: agreed, granted_at: since, max_age_days: 30}
fields: {age: {column: age, type: integer, min: 0}, name: name, vip: {column: vip, type: boolean}}
lists: {from_column: names}
examples:
"""
GOOD = "address: ada@example.com, agreed: true, since: 2026-07-31T00:00:00Z"


def problems(*examples: str, text: str = SYNC) -> list[str]:
    """What is said about these examples, as a person reads it."""
    lines = "".join(f"- {{{example}}}\n" for example in examples)
    sync = parse_sync(text + lines, path="a.yaml", today=date(2026, 8, 1))
    return [str(problem) for problem in example_problems(sync, now=NOW)]


@pytest.mark.parametrize(
    "example",
    [
        f"row: {{{GOOD}, age: 36, name: Ada}}, contact: {{email: ada@example.com, age: 36, name: Ada, vip: null}}",
        f"row: {{{GOOD}, age: '36'}}, contact: {{age: 36}}",
        f"row: {{{GOOD}, names: [B, A]}}, contact: {{_lists: [A, B]}}",
        f"row: {{{GOOD}, age: -1}}, rejected: below_min",
        f"row: {{{GOOD}, age: old}}, rejected: integer_invalid",
        "row: {address: ada@example.com, agreed: false}, rejected: no_consent",
        "row: {}, rejected: no_consent",
        f"row: {{{GOOD}}}, now: 2026-09-15T00:00:00Z, rejected: no_consent",
    ],
)
def test_an_example_that_holds_is_silent(example: str) -> None:
    """Contacts, rejections and missing consent can all be expected."""
    assert problems(example) == []


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (f"row: {{{GOOD}, age: 36}}, contact: {{age: 37}}", "age came out differently."),
        (f"row: {{{GOOD}, vip: true}}, contact: {{vip: 1}}", "vip came out differently."),
        (f"row: {{{GOOD}, names: [A]}}, contact: {{_lists: [A, B]}}", "_lists came out differently."),
        (f"row: {{{GOOD}, age: -1}}, contact: {{age: -1}}", "was refused: column age, reason below_min."),
        (f"row: {{{GOOD}, age: 1}}, rejected: below_min", "was accepted, not refused as below_min."),
        (f"row: {{{GOOD}, age: -1}}, rejected: above_max", "was refused as below_min, not as above_max."),
        ("row: {address: ada@example.com}, contact: {}", "has no valid consent."),
        (
            "row: {address: ada@example.com}, rejected: below_min",
            "was refused as no_consent, not as below_min.",
        ),
    ],
)
def test_an_example_that_does_not_hold_says_what_came_out(example: str, said: str) -> None:
    """With the file, the line and the number of the example, and never a value of its row."""
    (problem,) = problems("row: {}, rejected: no_consent", example)
    assert problem.startswith(f"a.yaml:9: examples[2]: {said} ")
    assert "ada@example.com" not in problem


def test_examples_of_events_are_judged_by_their_parameters() -> None:
    """An event's parameters have types and rules like fields."""
    text = SYNC.replace("fields:", "events: {name: bought, key: order, params:").replace(
        "boolean}}", "boolean}}}"
    )
    text = text.replace("lists: {from_column: names}\n", "")
    held = f"row: {{{GOOD}, order: 1, age: 2}}, contact: {{email: ada@example.com, age: 2}}"
    assert problems(held, f"row: {{{GOOD}, order: 1, age: -2}}, rejected: below_min", text=text) == []
