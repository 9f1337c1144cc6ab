"""Runs and the request budget as Prometheus text."""

import json
from pathlib import Path

import pytest

from pipelines.command import main
from pipelines.metrics import Metric, as_text, of_budget
from resources import settings

SUMMARY = {
    "schema": 1,
    "sync": "newsletter",
    "partition": None,
    "started_at": "2026-05-01T10:00:00+00:00",
    "seconds": 12.5,
    "rows": {"read": 10, "accepted": 9, "rejected": 1},
    "rejected_by_reason": {"address_several": 1},
    "payloads": 1,
    "requests": 3,
    "retries": 0,
    "ambiguous": 0,
}


def test_the_command_prints_the_last_run_of_each_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest summary gives the numbers; the last success may be an older one."""
    folder = tmp_path / "lake" / "summaries" / "newsletter"
    folder.mkdir(parents=True)
    runs = (("old", "ok", "2026-05-01T09:00:00+00:00"), ("new", "data", "2026-05-01T10:00:00+00:00"))
    for run, outcome, started_at in runs:
        text = json.dumps({**SUMMARY, "run_id": run, "outcome": outcome, "started_at": started_at})
        (folder / f"{run}.json").write_text(text)
    monkeypatch.setenv("CONTACTS_HOME", str(tmp_path))
    assert main(["metrics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'mailtrap_contacts_last_run_rows{sync="newsletter",outcome="accepted"} 9' in lines
    assert 'mailtrap_contacts_last_run_seconds{sync="newsletter"} 12.5' in lines
    assert 'mailtrap_contacts_last_success_timestamp_seconds{sync="newsletter"} 1777626000' in lines
    assert any(line.startswith('mailtrap_contacts_last_run_ok{sync="newsletter"') for line in lines)


def test_a_format_that_prometheus_reads() -> None:
    """Help and type once for each name, values of one name together, quotes escaped."""
    text = as_text(
        [
            Metric("last_run_seconds", 1.5, (("sync", 'a"b'),)),
            Metric("last_run_requests", 2, (("sync", "c"),)),
            Metric("last_run_seconds", 2, (("sync", "c"),)),
        ]
    )
    assert text.splitlines() == [
        "# HELP mailtrap_contacts_last_run_seconds How long the last run sent and waited.",
        "# TYPE mailtrap_contacts_last_run_seconds gauge",
        'mailtrap_contacts_last_run_seconds{sync="a\\"b"} 1.5',
        'mailtrap_contacts_last_run_seconds{sync="c"} 2',
        "# HELP mailtrap_contacts_last_run_requests Requests of the last run.",
        "# TYPE mailtrap_contacts_last_run_requests gauge",
        'mailtrap_contacts_last_run_requests{sync="c"} 2',
    ]


def test_each_window_of_requests_stands_beside_its_limit() -> None:
    """A window that is nearly full explains a slow run."""
    known = settings.read({"MAILTRAP_CONTACTS_LIMIT": "200/60", "MAILTRAP_TOKEN_LIMIT": "150/10"})
    windows = {"https://mailtrap.io account 7 contacts": 180, "https://mailtrap.io token 0123": 4}
    found = {(each.name, dict(each.labels)["limit"]): each.value for each in of_budget(windows, known)}
    assert found == {
        ("requests_in_window", "contacts"): 180,
        ("requests_limit", "contacts"): 200,
        ("requests_in_window", "token"): 4,
        ("requests_limit", "token"): 150,
    }
