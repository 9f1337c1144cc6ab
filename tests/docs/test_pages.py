"""The pages about operating it name what exists, all of it, and their examples work."""

import inspect
import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from assets.rules.guards import OUTCOMES
from assets.rules.sync_file import parse_sync
from pipelines.component import sync_of
from pipelines.definitions import build_definitions
from resources import errors

DOCS = Path(__file__).parents[2] / "docs"
SYNC = """
sync: newsletter
source: {table: people}
email: email
consent: {granted: agreed}
lists: {include: [Newsletter]}
"""


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text()


def test_every_error_stands_on_its_page_with_its_exit_code() -> None:
    """Whoever reads a class in a log finds its row; a class that is gone has none."""
    told = dict(re.findall(r"^\| `(\w+Error)` \| ([\d or]+) \|", page("when-it-fails.md"), re.MULTILINE))
    too_general = {errors.ConnectorError, errors.MailtrapError}
    known = {
        name: each
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.ConnectorError) and each not in too_general
    }
    assert set(told) == set(known)
    for name, error in known.items():
        assert str(errors.EXIT_CODES[error.outcome]) in told[name], name


def test_every_check_stands_on_its_page() -> None:
    """And no check that is gone."""
    definitions = build_definitions([parse_sync(SYNC, path="newsletter.yaml")], environ={})
    graph = definitions.resolve_asset_graph()
    known = {(key.name, key.asset_key.path[-1]) for key in graph.asset_check_keys}
    told = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", page("when-it-fails.md"), re.MULTILINE)
    assert set(told) == known


def test_every_outcome_of_a_row_is_explained() -> None:
    """The summary's words."""
    for outcome in OUTCOMES:
        assert f"`{outcome}`" in page("running.md"), outcome


def test_the_documented_components_load() -> None:
    """The attributes of the page make a sync, and each type exists."""
    blocks = re.findall(r"```yaml\n(.*?)```", page("deploying.md"), re.S)
    found = [each for each in map(yaml.safe_load, blocks) if "type" in each]
    assert [each["type"] for each in found] == [
        "pipelines.component.MailtrapAccount",
        "pipelines.component.MailtrapContactSync",
    ]
    assert sync_of(found[1]["attributes"], place="deploying.md").name == "newsletter"


@pytest.mark.parametrize("name", ["tutorial.md"])
def test_a_documented_sync_file_parses(name: str) -> None:
    """What a reader copies works."""
    for block in re.findall(r"```yaml\n(.*?)```", page(name), re.S):
        assert parse_sync(block, path=name, today=date(2026, 8, 1)).name


def test_the_index_has_every_page() -> None:
    """A page that is not in the index is not found."""
    missing = [
        each.name
        for each in DOCS.glob("*.md")
        if each.name != "README.md" and f"({each.name})" not in page("README.md")
    ]
    assert missing == []
