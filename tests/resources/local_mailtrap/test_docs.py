"""docs/local-mailtrap.md and the code name the same knobs, faults, actions, seeds and admin calls."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from resources.local_mailtrap.admin import CALLS, PREFIX
from resources.local_mailtrap.faults import DEEDS, FAULTS
from resources.local_mailtrap.knobs import KNOBS, Knob
from resources.local_mailtrap.seeding import SEEDS

PAGE = Path(__file__).parents[3] / "docs" / "local-mailtrap.md"


def code(value: object) -> str:
    """A value as the page writes it."""
    return f"`{json.dumps(value)}`"


def choices(knob: Knob) -> str:
    """What else a knob can be."""
    if isinstance(knob.allowed, str):
        return knob.allowed
    return ", ".join(code(each) for each in knob.allowed if each is not knob.default)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as the page writes it."""
    lines = [[*head], ["---"] * len([*head]), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES = {
    "knobs": table(
        ("knob", "default", "or", "what it decides"),
        ((f"`{each.name}`", code(each.default), choices(each), each.decides) for each in KNOBS),
    ),
    "faults": table(
        ("fault", "what goes wrong", "variants (the first is the default)", "a client that bears it"),
        (
            (each.code, each.name, ", ".join(f"`{name}`" for name in each.variants), each.proves)
            for each in FAULTS
        ),
    ),
    "actions": table(("`do`", "what happens"), ((f"`{name}`", says) for name, says in DEEDS.items())),
    "seeds": table(("key", "what it is"), ((f"`{name}`", says) for name, says in SEEDS.items())),
    "admin calls": table(
        ("call", "what it does"),
        ((f"`{method} {PREFIX}{path}`".replace(r"(\d+)", "{id}"), says) for method, path, _, says in CALLS),
    ),
}


@pytest.mark.parametrize("name", [*TABLES])
def test_the_page_and_the_code_say_the_same(name: str) -> None:
    """The table of the page is the one that the code gives, to the letter."""
    assert TABLES[name] in PAGE.read_text(encoding="utf-8"), f"the table of {name} should be:\n{TABLES[name]}"


def test_what_the_page_imports_exists() -> None:
    """Every name in an `import` of an example can be imported."""
    found = re.findall(r"^from (resources\S+) import (\w+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    for module, name in found:
        assert hasattr(__import__(module, fromlist=[name]), name)
