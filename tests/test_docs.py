"""The docs name what exists, and what exists is in the docs: paths, links, make targets, settings, commands."""

import re
from pathlib import Path

import click
import pytest

from pipelines.command import cli
from resources.settings import BY_NAME, markdown_table
from tests.tree import ROOT, shipped_files

PAGES = tuple(
    path
    for path in shipped_files()
    if path.suffix == ".md" and (path.parts[0] == "docs" or path == Path("README.md"))
)
# A place where a word stands for any name, such as lake/<sync>/ or docs/decisions/NNNN-title.md
PLACEHOLDER = re.compile(r"[<>{}*…$]|NNNN|\.\.\.")


def text_of(page: Path) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def code_of(page: Path) -> list[str]:
    """Everything on a page that is set as code: inline pieces, and the lines of blocks."""
    text = text_of(page)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [*inline, *(line for block in blocks for line in block.splitlines())]


def links_of(page: Path) -> list[str]:
    """The targets of a page's links and pictures that lie in this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    headings = re.findall(r"^#+ +(.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def targets_of_make() -> set[str]:
    """What can be typed after make."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """A link or picture of a page exists, and so does the heading that it names."""
    broken = []
    for target in links_of(page):
        path, _hash, anchor = target.partition("#")
        there = (ROOT / page.parent / path).resolve() if path else ROOT / page
        if not there.exists() or (anchor and anchor not in anchors_of(there.relative_to(ROOT))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_on_a_page_exist(page: Path) -> None:
    """A file or folder of ours that a page names is there, unless the page asks the reader to make it."""
    to_be_made = set(re.findall(r"Save this as\s+`([^`]+)`", text_of(page)))
    named = {
        word.rstrip(".,;:)").partition(":")[0]
        for code in code_of(page)
        for word in re.findall(
            r"(?<![\w/.$-])(?:pipelines|assets|resources|tests|docs|deploy|benchmarks|\.ci)/[^\s`'\",|]*",
            code,
        )
    }
    assert (
        sorted(
            name for name in named - to_be_made if not PLACEHOLDER.search(name) and not (ROOT / name).exists()
        )
        == []
    )


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_make_targets_on_a_page_exist(page: Path) -> None:
    """`make something` can be typed as it stands."""
    named = {
        target for code in code_of(page) for target in re.findall(r"(?:^|[;&] *|\b)make ([a-z]+)\b", code)
    }
    assert named - targets_of_make() == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_settings_on_a_page_exist(page: Path) -> None:
    """Whatever looks like a setting of ours is one."""
    named = set(re.findall(r"\b(?:CONTACTS|MAILTRAP)_[A-Z_]+[A-Z]\b", text_of(page)))
    assert named - set(BY_NAME) == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_on_a_page_can_be_typed(page: Path) -> None:
    """`mailtrap-contacts something --option` is a command that has this option."""
    wrong = []
    for code in code_of(page):
        for name, words in re.findall(r"(?:^|[ /])mailtrap-contacts +([a-z][a-z-]*)([^|;&#]*)", code):
            command = cli.commands.get(name)
            if command is None:
                wrong.append(name)
            elif name != "local-mailtrap":  # it hands its words on
                wrong += [
                    f"{name} {option}"
                    for option in re.findall(r"--[a-z-]+", words)
                    if option not in options_of(command)
                ]
    assert wrong == []


def options_of(command: click.Command) -> set[str]:
    """What a command understands, and --help."""
    return {"--help", *(option for parameter in command.params for option in parameter.opts)}


def test_every_command_is_explained() -> None:
    """What can be typed stands on the page about running, with every option that it has."""
    page = text_of(Path("docs/running.md"))
    missing = [f"{name}" for name in cli.commands if f"mailtrap-contacts {name}" not in page]
    missing += [
        f"{name} {option}"
        for name, command in cli.commands.items()
        for option in options_of(command)
        if option.startswith("--") and f"`{option}" not in page and option != "--help"
    ]
    assert missing == []


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that nothing links to is a page that nobody reads."""
    seen: set[Path] = set()
    waiting = [Path("README.md")]
    while waiting:
        page = waiting.pop()
        if page in seen or page not in PAGES:
            continue
        seen.add(page)
        for target in links_of(page):
            there = (ROOT / page.parent / target.partition("#")[0]).resolve()
            if there.is_dir():
                there = there / "README.md"
            if there.is_relative_to(ROOT):
                waiting.append(there.relative_to(ROOT))
    assert set(PAGES) - seen == set()


def test_every_make_target_is_explained() -> None:
    """What can be typed stands in the README or in the page for contributors, and in `make help`."""
    told = text_of(Path("README.md")) + text_of(Path("docs/contributing.md"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets_of_make():
        assert f"make {target}" in told, target
        assert re.search(rf"^{target}:.*  ## ", makefile, re.MULTILINE), f"{target} is missing in make help"


def test_the_page_of_settings_is_made_from_the_table() -> None:
    """docs/settings.md holds every setting with its default and its meaning, as the code has them."""
    assert markdown_table() in text_of(Path("docs/settings.md")), (
        "the table must be what resources.settings.markdown_table() returns"
    )


def test_the_readme_is_one_screenful() -> None:
    """Whoever opens the project sees what it is without scrolling far."""
    assert len(text_of(Path("README.md")).splitlines()) <= 70


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    """Changes are written down where users look for them."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
