"""The whole demo, as `make demo` runs it: a process of its own, the real command, every number recounted."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import sample
from tests.pipelines.recount import Recount, recount
from tests.tree import ROOT

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo that ran once, and what it showed; its settings are the caller's worst."""
    folder = tmp_path_factory.mktemp("of the demo") / "a folder"
    environ = {**os.environ, "MAILTRAP_API_TOKEN": "real", "MAILTRAP_API_URL": "https://mailtrap.invalid"}
    command = [sys.executable, "-m", "pipelines.demo", "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return folder, done.stdout


def summaries(folder: Path) -> list[dict[str, Any]]:
    """Everything that the command printed, in order."""
    lines = (folder / "demo.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def recounted(path: Path) -> Recount:
    """The sample counted by other means, with what Mailtrap knows of it from the beginning."""
    known = sample.known_at_mailtrap(path)
    suppressed = [email for email, _ in known.suppressed]
    return recount(path, datetime.now(UTC), unsubscribed=known.unsubscribed, suppressed=suppressed)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Recount:
    """The sample as it was before 1 % of it changed: the same day gives the same rows."""
    path = tmp_path_factory.mktemp("before") / "warehouse.duckdb"
    sample.write_sample(path, today=datetime.now(UTC).date())
    return recounted(path)


@pytest.mark.slow
def test_plan_and_first_sync_count_exactly(demo: tuple[Path, str], before: Recount) -> None:
    """Each place of each row is what a row-by-row count in plain Python says."""
    plan, first = [each for each in summaries(demo[0]) if isinstance(each.get("rows"), dict)][:2]
    for summary in (plan, first):
        assert {place: count for place, count in summary["rows"].items() if count} == before.rows
    assert sum(first["rejected_by_reason"].values()) == before.rows["rejected"]


@pytest.mark.slow
def test_the_second_sync_sends_what_changed_and_nothing_else(demo: tuple[Path, str], before: Recount) -> None:
    """Contacts with other values than before go out, the rest is unchanged."""
    # Who is known to Mailtrap was drawn before the change; the changed rows keep their addresses.
    after = recounted(demo[0] / "warehouse.duckdb")
    changed = sum(after.contacts[email] != before.contacts.get(email) for email in after.contacts)
    second = [each for each in summaries(demo[0]) if isinstance(each.get("rows"), dict)][2]
    assert second["rows"]["accepted"] == changed > 100
    assert second["rows"]["unchanged"] == after.rows["accepted"] - changed
    assert second["rows"]["no_consent"] == after.rows["no_consent"]


@pytest.mark.slow
def test_the_export_holds_every_contact(demo: tuple[Path, str], before: Recount) -> None:
    """What was sent comes back typed, beside those whom Mailtrap knew already."""
    exported = pq.read_table(demo[0] / "exports" / "contacts.parquet")
    assert before.contacts.keys() <= set(exported["email"].to_pylist())


@pytest.mark.slow
def test_everything_is_shown_and_nothing_is_left_running(demo: tuple[Path, str]) -> None:
    """The tables, the picture, what to type next; and no process and no personal data in the log."""
    folder, shown = demo
    for words in (
        "told to Mailtrap",
        "The whole walk",
        "where-every-row-went.png",
        "What to type next",
        "nobody",
    ):
        assert words in shown
    assert (folder / "where-every-row-went.png").read_bytes().startswith(PNG)
    assert not (folder / "local-mailtrap.pid").exists()
    assert not re.findall(r"[\w.+-]+@[\w-]+\.example\.\w+", shown + (folder / "demo.log").read_text())
