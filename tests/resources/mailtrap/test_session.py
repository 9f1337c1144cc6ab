"""From settings to a client, with Dagster and without."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import httpx
import pytest

from resources import settings
from resources.errors import SettingsError
from resources.mailtrap.budget import Limit
from resources.mailtrap.session import client_settings, open_client
from resources.mailtrap.settings import MailtrapResource

TOKEN = "canary-token-0123456789abcdef"

# Each setting that the client has a use for, a value other than the default, and where it ends.
VARIED: dict[str, tuple[str, str, object]] = {
    "MAILTRAP_API_TOKEN": ("other-token", "token", "other-token"),
    "MAILTRAP_ACCOUNT_ID": ("5", "account_id", 5),
    "MAILTRAP_API_URL": ("http://127.0.0.1:8025", "url", "http://127.0.0.1:8025"),
    "MAILTRAP_PATH_STYLE": ("plain", "path_style", "plain"),
    "MAILTRAP_AUTH": ("api-token", "auth", "api-token"),
    "MAILTRAP_DOWNLOAD_HOSTS": ("127.0.0.1:9000", "download_hosts", ("127.0.0.1:9000",)),
    "MAILTRAP_CONTACTS_LIMIT": ("20/1", "limits.contacts", Limit(20, 1)),
    "MAILTRAP_TOKEN_LIMIT": ("21/1", "limits.token", Limit(21, 1)),
    "MAILTRAP_SUPPRESSIONS_LIMIT": ("22/1", "limits.suppressions", Limit(22, 1)),
    "CONTACTS_TIMEOUT_SECONDS": ("2", "timeout_seconds", 2.0),
    "CONTACTS_POLL_SECONDS": ("0.5", "poll_seconds", 0.5),
    "CONTACTS_JOB_DEADLINE_SECONDS": ("30", "job_deadline_seconds", 30.0),
}
FIELDS = {
    "MAILTRAP_API_TOKEN": "api_token", "MAILTRAP_ACCOUNT_ID": "account_id", "MAILTRAP_API_URL": "api_url",
    "MAILTRAP_PATH_STYLE": "path_style", "MAILTRAP_AUTH": "auth", "MAILTRAP_DOWNLOAD_HOSTS": "download_hosts",
    "MAILTRAP_CONTACTS_LIMIT": "contacts_limit", "MAILTRAP_TOKEN_LIMIT": "token_limit",
    "MAILTRAP_SUPPRESSIONS_LIMIT": "suppressions_limit", "CONTACTS_TIMEOUT_SECONDS": "timeout_seconds",
    "CONTACTS_POLL_SECONDS": "poll_seconds", "CONTACTS_JOB_DEADLINE_SECONDS": "job_deadline_seconds",
    "CONTACTS_HOME": "home", "CONTACTS_JOURNAL": "journal",
}  # fmt: skip


def at(facts: object, path: str) -> object:
    """An attribute of an attribute."""
    for name in path.split("."):
        facts = getattr(facts, name)
    return facts


@pytest.mark.parametrize("name", VARIED)
def test_every_setting_reaches_the_client(name: str) -> None:
    """A setting that nothing reads would be a promise without effect."""
    text, path, value = VARIED[name]
    before = client_settings(settings.read({"MAILTRAP_API_TOKEN": TOKEN}))
    after = client_settings(settings.read({"MAILTRAP_API_TOKEN": TOKEN, name: text}))
    assert at(before, path) != value
    assert at(after, path) == value


def test_without_a_token_there_is_no_client() -> None:
    """The error names the variable."""
    with pytest.raises(SettingsError, match="MAILTRAP_API_TOKEN"):
        client_settings(settings.read({}))


def test_a_client_keeps_its_budget_in_the_journal_and_no_token_anywhere(tmp_path: Path) -> None:
    """What is on disk after a few requests: places, and nothing that tells who sent them or about whom."""
    known = settings.read(
        {"MAILTRAP_API_TOKEN": TOKEN, "MAILTRAP_ACCOUNT_ID": "1", "CONTACTS_HOME": str(tmp_path / "home")}
    )
    transport = httpx.MockTransport(lambda _: httpx.Response(404, json={"error": "Not Found"}))
    with open_client(known, transport=transport) as client:
        assert client.get_contact("canary.person@example.com") is None
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in kept)
    for path in kept:
        assert b"canary" not in path.read_bytes(), path
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


def test_the_command_needs_no_dagster() -> None:
    """Dagster takes seconds to import, and a client does not need it."""
    code = "import sys, resources.mailtrap.session; sys.exit('dagster' in sys.modules or 'pandas' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode
        == 0
    )


def test_every_field_is_described_and_reaches_the_settings() -> None:
    """The description in the UI is the one of the documentation; secrets stay out of the repr."""
    fields = MailtrapResource.model_fields
    assert set(FIELDS.values()) == set(fields)
    for name, field in FIELDS.items():
        assert fields[field].description == settings.describe(name)
        assert MailtrapResource(**{field: "x"}).given() == {name: "x"}
        assert fields[field].repr is not settings.BY_NAME[name].secret
    assert TOKEN not in repr(MailtrapResource(api_token=TOKEN, journal=f"postgresql://u:{TOKEN}@h/d"))


def test_an_asset_receives_the_plain_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes by EnvVar, the client knows nothing of Dagster, and is closed at the end."""
    monkeypatch.setenv("A_TOKEN", TOKEN)
    received: list[str] = []

    @dg.asset
    def anything(mailtrap: dg.ResourceParam[object]) -> None:
        received.append(type(mailtrap).__name__ + repr(mailtrap))

    resource = MailtrapResource(api_token=dg.EnvVar("A_TOKEN"), account_id="7", home=str(tmp_path))
    assert dg.materialize([anything], resources={"mailtrap": resource}).success
    assert received == ["MailtrapClientMailtrapClient(https://mailtrap.io, account 7)"]
