"""docs/exports.md is true: its command, its SQL and its Python run as they stand, on the account that its plots show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from assets.exports import ExportConfig
from docs.images.draw_exports import (
    EDITED,
    HERE,
    LOST,
    PAGE,
    PLOTS,
    RENAMED,
    WEEKS,
    Answer,
    asked,
    draw,
    lived,
    questions,
)
from pipelines.command import main
from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.fixtures import local_mailtrap_server  # noqa: F401 - a fixture
from tests.assets.world import World

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The account of the plots."""
    made = lived(tmp_path_factory.mktemp("account"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def answers(world: World) -> dict[str, Answer]:
    """What each question of the page gives, by its name."""
    return asked(world)


def test_each_question_has_an_answer_and_a_plot(answers: dict[str, Answer]) -> None:
    """Below it, and drawn by the script that a test draws with."""
    assert set(questions()) == set(PLOTS) == {"lists", "growth", "left", "reasons", "proof"}
    assert all(answers.values())
    below = re.findall(r"```sql\n-- (\w+):[^`]*```\n\n!\[[^\]]+\]\(images/exports-(\w+)\.svg\)", TEXT)
    assert [(name, name) for name in questions()] == below


def test_every_plot_is_drawn(answers: dict[str, Answer], tmp_path: Path) -> None:
    """From what the question gives; the committed pictures are of the same size."""
    for name, answer in answers.items():
        size = r'<svg [^>]*viewBox="([^"]+)"'
        drawn, shown = (folder / f"exports-{name}.svg" for folder in (tmp_path, HERE))
        assert draw(name, answer, tmp_path) == drawn
        assert re.findall(size, drawn.read_text()) == re.findall(size, shown.read_text()) != []


def test_lists_and_growth_count_the_same_people(answers: dict[str, Answer]) -> None:
    """The last taking is the latest."""
    lists = {name: subscribed + gone for name, subscribed, gone in answers["lists"]}
    assert set(lists) == {"Newsletter", "Offers", "Product news"}
    taken = [row[0] for row in answers["growth"]]
    assert len(taken) == WEEKS and taken == sorted(taken)
    _, subscribed, unsubscribed = answers["growth"][-1]
    assert subscribed + unsubscribed == lists["Newsletter"] > lists["Offers"] > lists["Product news"]


def test_everybody_who_left_is_found_with_the_import_before(answers: dict[str, Answer]) -> None:
    """Who left after the first taking; each change is seen once."""
    left = sum(row[2] for row in answers["left"])
    assert left == answers["growth"][-1][2] - answers["growth"][0][2]
    assert all(of_sync == "people" and after_import for *_, after_import, of_sync in answers["left"])


def test_refusals_and_proof_add_up(answers: dict[str, Answer]) -> None:
    """Reasons have remedies; everybody told is applied or has left, but for whom somebody deleted or edited."""
    assert all(remedy for *_, remedy in answers["reasons"])
    proof = {state: (people, fields) for _, state, people, fields in answers["proof"]}
    assert set(proof) == {"applied", "unsubscribed", "missing", "differs"}
    assert (proof["missing"][0], proof["differs"][0]) == (LOST, EDITED + RENAMED)
    assert sorted(proof["differs"][1]) == ["first_name", "plan"]


def test_python_on_the_page_runs_as_it_stands(
    world: World, answers: dict[str, Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lake is at its usual place; it counts the same people."""
    (tmp_path / ".contacts").symlink_to(world.folder)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    _, subscribed, unsubscribed = answers["growth"][-1]
    assert dict(names["by_status"]) == {"subscribed": subscribed, "unsubscribed": unsubscribed}


def test_the_command_on_the_page_takes_what_it_says(
    local_mailtrap_server: LocalMailtrap,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it stands, in a terminal."""
    plan = {"name": "Plan", "merge_tag": "plan", "data_type": "text"}
    ada = {
        "email": "ada@example.com",
        "fields": {"first_name": "Ada", "plan": "pro"},
        "lists": ["Newsletter"],
    }
    local_mailtrap_server.seed({"fields": [plan], "lists": ["Newsletter"], "contacts": [ada]})
    settings = {
        "MAILTRAP_API_TOKEN": local_mailtrap_server.token,
        "MAILTRAP_API_URL": local_mailtrap_server.api_origin,
        "MAILTRAP_DOWNLOAD_HOSTS": local_mailtrap_server.storage_origin.partition("//")[2],
        "CONTACTS_HOME": str(tmp_path / "home"),
        "CONTACTS_POLL_SECONDS": "0.05",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"`mailtrap-contacts (export [^`]+)`", TEXT)
    assert main(shlex.split(command)) == 0
    (row,) = pq.read_table("people.parquet").to_pylist()
    assert row == {"email": "ada@example.com", "first_name": "Ada", "plan": "pro"}


def test_the_page_explains_every_line_of_the_launchpad() -> None:
    """With its default."""
    assert [name for name in ExportConfig.model_fields if f"| `{name}` |" not in TEXT] == []
