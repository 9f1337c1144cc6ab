"""docs/tutorial.md is true: its table, its sync file and its numbers, on a real PostgreSQL and a local Mailtrap."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.command import main
from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.fixtures import local_mailtrap_server  # noqa: F401 - a fixture
from tests import postgres

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


def block(language: str) -> str:
    """The page's first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL with the page's table."""
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip(postgres.MISSING)
    with (
        tempfile.TemporaryDirectory(prefix="contacts-pg-", ignore_cleanup_errors=True) as folder,
        postgres.running(Path(folder), binaries) as server,
    ):
        server.run(block("sql"))
        yield server.url()


@pytest.fixture
def terminal(
    warehouse: str,
    local_mailtrap_server: LocalMailtrap,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings of step 4, and the file of step 3."""
    (tmp_path / "syncs").mkdir()
    (tmp_path / "syncs" / "subscribers.yaml").write_text(block("yaml"))
    settings = {
        "MAILTRAP_API_TOKEN": local_mailtrap_server.token,
        "MAILTRAP_API_URL": local_mailtrap_server.api_origin,
        "MAILTRAP_DOWNLOAD_HOSTS": local_mailtrap_server.storage_origin.partition("//")[2],
        "CONTACTS_WAREHOUSE": warehouse,
        "CONTACTS_SYNCS": str(tmp_path / "syncs"),
        "CONTACTS_HOME": str(tmp_path / "home"),
        "CONTACTS_POLL_SECONDS": "0.05",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("terminal")
def test_the_tutorial_leads_where_it_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Check, plan, sync, sync again, export: the numbers of the page."""

    def rows(*words: str) -> dict[str, int]:
        capsys.readouterr()
        assert main([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["rows"]
        return {name: count for name, count in found.items() if count}

    told = {"read": 5, "accepted": 2, "no_consent": 1, "rejected": 1, "duplicate": 1}
    assert main(["check"]) == 0
    assert rows("plan", "subscribers") == told
    assert rows("sync", "subscribers") == told
    again = {name: count for name, count in told.items() if name != "accepted"}
    assert rows("sync", "subscribers") == {**again, "unchanged": 2}
    assert main(["export", "--out", str(tmp_path / "contacts.parquet")]) == 0
    found = pq.read_table(tmp_path / "contacts.parquet").select(["email", "first_name"]).to_pylist()
    assert sorted(found, key=lambda each: str(each["email"])) == [
        {"email": "ada@example.org", "first_name": "Ada"},
        {"email": "grace@example.org", "first_name": "Grace H."},
    ]
