"""Commands and runs read each sync from where it says: its own warehouse, its files, or an upstream asset."""

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.command import main
from pipelines.definitions import build_definitions
from resources.local_mailtrap import LocalMailtrap
from resources.local_mailtrap.fixtures import local_mailtrap_server  # noqa: F401 - a fixture

SYNC = """
sync: {name}
source: {source}
email: email
consent: {{granted: agreed}}
guards: {{min_rows: 0}}
"""
PEOPLE = pa.table({"email": ["ada@example.org", "grace@example.org"], "agreed": [True, True]})
Put = Callable[[str, str], None]


def database(path: Path, *, people: int) -> str:
    """A DuckDB file with so many of the people; its URL."""
    with duckdb.connect(str(path)) as connection:
        connection.register("given", PEOPLE.slice(0, people))
        connection.execute("CREATE TABLE people AS SELECT * FROM given")
    return f"duckdb:///{path}"


@pytest.fixture
def put(
    local_mailtrap_server: LocalMailtrap,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Put:
    """A usual warehouse without anybody in it, and a way to put a sync file beside it."""
    (tmp_path / "syncs").mkdir()
    settings = {
        "MAILTRAP_API_TOKEN": local_mailtrap_server.token,
        "MAILTRAP_API_URL": local_mailtrap_server.api_origin,
        "MAILTRAP_DOWNLOAD_HOSTS": local_mailtrap_server.storage_origin.partition("//")[2],
        "CONTACTS_WAREHOUSE": database(tmp_path / "usual.duckdb", people=0),
        "CONTACTS_SYNCS": str(tmp_path / "syncs"),
        "CONTACTS_HOME": str(tmp_path / "home"),
        "CONTACTS_POLL_SECONDS": "0.05",
        "MAILTRAP_CONTACTS_LIMIT": "20000/60",
        "MAILTRAP_TOKEN_LIMIT": "20000/10",
        "MAILTRAP_SUPPRESSIONS_LIMIT": "2000/60",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    (tmp_path / "dagster").mkdir()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    def write(name: str, source: str) -> None:
        (tmp_path / "syncs" / f"{name}.yaml").write_text(SYNC.format(name=name, source=source))

    return write


def read_by(capsys: pytest.CaptureFixture[str], command: str, sync: str) -> int:
    """How many rows a plan or a run read."""
    capsys.readouterr()
    code, said = main([command, sync, "--json"]), capsys.readouterr()
    assert code == 0, said.err
    return int(json.loads(said.out)["rows"]["read"])


def test_a_sync_reads_the_warehouse_that_it_names(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`warehouse: CRM` is read by check, plan and run; when it is not set, that is said and nothing else is read."""
    put("people", "{table: people, warehouse: CRM_URL}")
    assert main(["check", "people"]) == 2
    assert "CRM_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("CRM_URL", database(tmp_path / "crm.duckdb", people=2))
    assert main(["check", "people"]) == 0
    assert read_by(capsys, "sync", "people") == 2


@pytest.mark.slow
def test_a_sync_of_an_asset_s_file_works_from_the_terminal(
    put: Put, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The asset is another code location's; its materialization on the same instance says where its file is."""
    put("people", "{asset: marts/people}")
    assert main(["check", "people"]) == 2
    assert "Asset marts/people has never been materialized here." in capsys.readouterr().err
    pq.write_table(PEOPLE.rename_columns(["e_mail", "agreed"]), tmp_path / "people.parquet")
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(["marts", "people"], metadata={"path": str(tmp_path / "people.parquet")})
        )
    assert main(["check", "people"]) == 2
    assert "column `email` is not in the source. Did you mean `e_mail`?" in capsys.readouterr().err
    pq.write_table(PEOPLE, tmp_path / "people.parquet")
    assert main(["check", "people"]) == 0
    assert [read_by(capsys, command, "people") for command in ("plan", "sync")] == [2, 2]


def test_a_sync_of_files_needs_no_warehouse_of_files(
    put: Put, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and files stand side by side, whatever CONTACTS_WAREHOUSE is."""
    pq.write_table(PEOPLE, tmp_path / "people.parquet")
    put("people", f"{{file: {tmp_path}/people.parquet}}")
    assert read_by(capsys, "sync", "people") == 2


def test_the_url_of_a_named_warehouse_is_not_shown(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold a password, and comes from the environment as the usual one does."""
    put("people", "{table: people, warehouse: CRM_URL}")
    put("more", "{table: people, warehouse: CRM_URL}")
    monkeypatch.setenv("CRM_URL", "postgresql://crm:secret-word@localhost/crm")
    definitions = build_definitions()
    assert definitions.resources is not None
    assert "secret-word" not in repr(definitions.resources["warehouse_crm_url"])
    assert definitions.get_repository_def().get_all_jobs()


def test_a_warehouse_that_cannot_be_opened_is_said_by_a_run(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words and with the exit code of `check`: Dagster's own error about a resource names neither."""
    put("people", "{table: people}")
    monkeypatch.setenv("CONTACTS_WAREHOUSE", f"duckdb:///{tmp_path}/nowhere.duckdb")
    assert main(["sync", "people"]) == 2
    assert "there is no such file" in capsys.readouterr().err
