"""The settings of the operator: what is read, what stands by default, and what is refused in which words."""

from pathlib import Path

import pytest

from resources.errors import SettingsError
from resources.settings import BY_NAME, SETTINGS, Rate, Settings, describe, misspelt, parse_rate, read

SECRET = "s3cr3t-0123456789-abcdef"
KEPT = {"extracts": 1.0, "rejections": 90.0, "exports": 90.0, "summaries": 365.0}

# One value other than the default for each setting, the attribute it ends in, and what it becomes there.
VARIED: dict[str, tuple[str, str, object]] = {
    "MAILTRAP_API_TOKEN": (SECRET, "api_token", SECRET),
    "MAILTRAP_ACCOUNT_ID": ("3229", "account_id", 3229),
    "MAILTRAP_API_URL": ("http://127.0.0.1:8025/", "api_url", "http://127.0.0.1:8025"),
    "MAILTRAP_PATH_STYLE": ("plain", "path_style", "plain"),
    "MAILTRAP_AUTH": ("api-token", "auth", "api-token"),
    "MAILTRAP_DOWNLOAD_HOSTS": (
        "Files.example.com:8443, *.s3.amazonaws.com",
        "download_hosts",
        ("files.example.com:8443", "*.s3.amazonaws.com"),
    ),
    "CONTACTS_HOME": ("/srv/contacts", "home", Path("/srv/contacts")),
    "CONTACTS_LAKE": ("s3://bucket/contacts", "lake", "s3://bucket/contacts"),
    "CONTACTS_JOURNAL": (f"postgresql://u:{SECRET}@db/j", "journal", f"postgresql://u:{SECRET}@db/j"),
    "CONTACTS_KEY": (SECRET, "key", SECRET),
    "CONTACTS_TOMBSTONES": ("/mnt/safe", "tombstones", "/mnt/safe"),
    "CONTACTS_SYNCS": ("conf/syncs", "syncs", Path("conf/syncs")),
    "CONTACTS_WAREHOUSE": (f"postgresql://u:{SECRET}@db/w", "warehouse", f"postgresql://u:{SECRET}@db/w"),
    "CONTACTS_WRITE_BACK": (f"postgresql://w:{SECRET}@db/w", "write_back", f"postgresql://w:{SECRET}@db/w"),
    "CONTACTS_WRITE_BACK_TABLE": ("marts.opt_outs", "write_back_table", "marts.opt_outs"),
    "CONTACTS_ROWS_PER_PAYLOAD": ("1000", "rows_per_payload", 1000),
    "CONTACTS_BYTES_PER_PAYLOAD": ("1.5 MiB", "bytes_per_payload", 1_572_864),
    "MAILTRAP_CONTACTS_LIMIT": ("1000/60", "contacts_limit", Rate(1000, 60)),
    "MAILTRAP_TOKEN_LIMIT": ("5/0.5", "token_limit", Rate(5, 0.5)),
    "MAILTRAP_SUPPRESSIONS_LIMIT": ("20/60", "suppressions_limit", Rate(20, 60)),
    "MAILTRAP_PLAN_CONTACTS": ("50000", "plan_contacts", 50_000),
    "CONTACTS_LOGS": ("json", "logs", "json"),
    "CONTACTS_POLL_SECONDS": ("0.05", "poll_seconds", 0.05),
    "CONTACTS_JOB_DEADLINE_SECONDS": ("10", "job_deadline_seconds", 10),
    "CONTACTS_TIMEOUT_SECONDS": ("2.5", "timeout_seconds", 2.5),
    "CONTACTS_ALERT_WEBHOOK": (
        "https://hooks.example.org/T0/B0/" + SECRET,
        "alert_webhook",
        "https://hooks.example.org/T0/B0/" + SECRET,
    ),
    "CONTACTS_KEEP_EXTRACTS_DAYS": ("0", "keep_days", {**KEPT, "extracts": 0.0}),
    "CONTACTS_KEEP_REJECTIONS_DAYS": ("7", "keep_days", {**KEPT, "rejections": 7.0}),
    "CONTACTS_KEEP_EXPORTS_DAYS": ("7.5", "keep_days", {**KEPT, "exports": 7.5}),
    "CONTACTS_KEEP_SUMMARIES_DAYS": ("30", "keep_days", {**KEPT, "summaries": 30.0}),
}


def test_every_setting_is_read() -> None:
    """A declared setting that nothing reads would be a promise without effect: each one changes its value."""
    assert set(VARIED) == set(BY_NAME)
    defaults = read({})
    for name, (text, attribute, value) in VARIED.items():
        assert getattr(defaults, attribute) != value, name
        assert getattr(read({name: text}), attribute) == value, name


def test_every_value_has_a_setting() -> None:
    """Nothing can be set that the table does not describe."""
    assert {attribute for _text, attribute, _value in VARIED.values()} == set(Settings.__slots__)


def test_names_are_unique_and_meanings_are_sentences() -> None:
    """The table is complete enough to be the documentation."""
    assert len(BY_NAME) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.meaning[0].isupper() and setting.meaning.endswith("."), setting.name
        assert setting.name.startswith(("MAILTRAP_", "CONTACTS_")), setting.name
        if setting.name.endswith("_SECONDS"):
            assert "Seconds" in setting.meaning, setting.name


def test_defaults_are_those_of_the_table() -> None:
    """What the table calls the default is what stands when nothing is set, and blanks count as nothing."""
    written = {setting.name: setting.default for setting in SETTINGS if setting.name in DEFAULTS_AS_TEXT}
    assert read(written) == read({}) == read({setting.name: "  " for setting in SETTINGS})


DEFAULTS_AS_TEXT = set(BY_NAME) - {
    "MAILTRAP_API_TOKEN",
    "MAILTRAP_ACCOUNT_ID",
    "CONTACTS_KEY",
    "MAILTRAP_PLAN_CONTACTS",
}


def test_lake_and_journal_follow_the_home() -> None:
    """One setting moves everything that is kept."""
    settings = read({"CONTACTS_HOME": "/srv/contacts"})
    assert settings.lake == "/srv/contacts/lake"
    assert settings.journal == "sqlite:////srv/contacts/journal.db"


def test_secrets_stay_out_of_the_repr() -> None:
    """A Settings object may end in a log; what the table calls secret does not."""
    settings = read(
        {name: text for name, (text, _attribute, _value) in VARIED.items() if BY_NAME[name].secret}
    )
    assert SECRET not in repr(settings)


WRONG = {
    "MAILTRAP_API_TOKEN": ["two words", "line\nbreak", "tökén"],
    "MAILTRAP_ACCOUNT_ID": ["0", "-1", "12.5", "mine", "1" * 30],
    "MAILTRAP_API_URL": [
        "mailtrap.io",
        "ftp://mailtrap.io",
        "http://mailtrap.io",
        "http://127.0.0.1.example.com",
        "https://user:secret@mailtrap.io",
        "https://mailtrap.io?x=1",
        "http://[::1",
    ],
    "MAILTRAP_PATH_STYLE": ["accounts", "Plain"],
    "MAILTRAP_DOWNLOAD_HOSTS": ["*", "*.*", "*:*", "https://files.example.com", "a b", "user@host"],
    "CONTACTS_HOME": ["s3://bucket/home"],
    "CONTACTS_JOURNAL": ["journal.db"],
    "CONTACTS_KEY": ["tiny-key"],
    "CONTACTS_SYNCS": ["https://example.com/syncs"],
    "CONTACTS_WAREHOUSE": ["warehouse.duckdb"],
    "CONTACTS_ROWS_PER_PAYLOAD": ["0", "50001", "many", "-5"],
    "CONTACTS_BYTES_PER_PAYLOAD": ["0", "20 mm", "9 kB", "-1"],
    "MAILTRAP_CONTACTS_LIMIT": ["200", "200/", "/60", "0/60", "200/0", "200/inf", "1.5/10"],
    "MAILTRAP_TOKEN_LIMIT": ["150 per 10"],
    "MAILTRAP_SUPPRESSIONS_LIMIT": ["10/nan"],
    "MAILTRAP_PLAN_CONTACTS": ["0", "50k"],
    "CONTACTS_LOGS": ["yes", "JSON lines"],
    "CONTACTS_POLL_SECONDS": ["often", "0"],
    "CONTACTS_JOB_DEADLINE_SECONDS": ["0", "inf", "1h"],
    "CONTACTS_TIMEOUT_SECONDS": ["nan", "-1"],
    "CONTACTS_ALERT_WEBHOOK": [
        "hooks.example.org/x",
        "http://hooks.example.org/x",
        "https://me:word@hooks.example.org/x",
        "https://hooks.example.org/two words",
        "ftp://127.0.0.1/x",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_refused_by_name_and_not_repeated(name: str, text: str) -> None:
    """The message names the setting and what it should be, never the value: it could be a secret."""
    with pytest.raises(SettingsError) as caught:
        read({name: text})
    assert name in caught.value.happened
    assert caught.value.meaning and caught.value.remedy
    if BY_NAME[name].secret:
        assert text not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nobody mends one setting to be told about the next."""
    with pytest.raises(SettingsError) as caught:
        read({"MAILTRAP_PATH_STYLE": "x", "CONTACTS_TIMEOUT_SECONDS": "x", "CONTACTS_KEY": "x"})
    assert all(
        name in caught.value.happened
        for name in ("MAILTRAP_PATH_STYLE", "CONTACTS_TIMEOUT_SECONDS", "CONTACTS_KEY")
    )


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:8025", "http://[::1]:80", "http://127.8.9.1"]
)
def test_plain_http_is_for_loopback(url: str) -> None:
    """The local Mailtrap needs no certificate; everything else does."""
    assert read({"MAILTRAP_API_URL": url}).api_url == url


def test_a_misspelt_setting_is_found() -> None:
    """A typo would otherwise leave the default in force without a word; other people's variables are left alone."""
    environ = {"CONTACTS_WAREHOSE": "x", "MAILTRAP_INBOX_ID": "1", "PATH": "/bin", "CONTACTS_HOME": "x"}
    assert misspelt(environ) == {"CONTACTS_WAREHOSE": "CONTACTS_WAREHOUSE"}


def test_a_description_holds_meaning_and_default() -> None:
    """What the Dagster UI shows beside a field is what the docs say."""
    assert describe("CONTACTS_TIMEOUT_SECONDS").endswith("Default: 60.")
    assert "Default" not in describe("MAILTRAP_API_TOKEN")


def test_rates_are_requests_per_seconds() -> None:
    """The limit is written the way Mailtrap states it."""
    assert parse_rate("200/60") == Rate(requests=200, seconds=60)
