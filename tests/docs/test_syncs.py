"""docs/syncs.md is true: every whole example in it parses, and its own `examples:` hold."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from assets.rules.examples import example_problems
from assets.rules.rejection import Reason
from assets.rules.sync_file import parse_sync

PAGE = (Path(__file__).parents[2] / "docs" / "syncs.md").read_text()
FILES = {
    re.findall(r"^sync: (\w+)", block, re.M)[0] + f"-{number}": block
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
    if re.search(r"^sync: ", block, re.M)
}


@pytest.mark.parametrize("name", FILES)
def test_a_documented_sync_file_parses_and_its_examples_hold(name: str) -> None:
    """What a reader copies works."""
    sync = parse_sync(FILES[name], path="docs/syncs.md", today=date(2026, 8, 1))
    assert example_problems(sync, now=datetime(2026, 8, 1, tzinfo=UTC)) == ()


def test_the_page_has_an_example_of_every_kind() -> None:
    """Contacts by day and by bucket, files, events, and requests to be left alone."""
    assert {name.partition("-")[0] for name in FILES} == {
        "newsletter",
        "customers",
        "webinar",
        "orders",
        "opt_outs",
    }


def test_the_page_names_every_reason_that_an_example_can_expect() -> None:
    """And no reason that is gone."""
    listed = PAGE.partition("one of these reasons:\n")[2].partition(".\n")[0]
    assert re.findall(r"`(\w+)`", listed) == [reason.name for reason in Reason]


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that users copy runs their examples."""
    folder = tmp_path / "pipelines" / "syncs"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(FILES["customers-3"])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], names)
    run = names["test_examples_hold"]
    assert callable(run)
    run()
