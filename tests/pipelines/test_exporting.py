"""What the command makes of drift: an exit code, and what to do."""

from pathlib import Path

import pytest

from pipelines.command import main
from pipelines.exporting import judged
from pipelines.runs import Ran

FOUND = {"people_missing": 2, "people_differs": 1, "would_offer_again": 3}


@pytest.mark.parametrize(
    ("offered", "code"),
    [(0, 3), (2, 3), (3, 0)],
    ids=["nobody offered", "the missing offered", "all offered"],
)
def test_drift_that_nothing_mends_is_no_success(offered: int, code: int) -> None:
    """Exit code 3, and the words say what it means and what to do; what is offered again is mended by the next sync."""
    ran = judged(Ran("r", "ok", "", {}), {**FOUND, "offered_again": offered}, sync="newsletter")
    assert ran.exit_code == code
    assert bool(ran.sentence) == bool(code)
    if code:
        assert (
            "2 people are missing and 1 differs from" in ran.sentence
            and "drift newsletter --heal" in ran.sentence
        )


def test_no_drift_and_failed_runs_stay_what_they_are() -> None:
    """Success is success; what failed says why itself."""
    fine = {"people_missing": 0, "people_differs": 0, "would_offer_again": 0, "offered_again": 0}
    assert judged(Ran("r", "ok", "", {}), fine, sync="s").exit_code == 0
    failed = Ran("r", "transient", "Mailtrap was busy.", {})
    assert judged(failed, {}, sync="s") is failed


def test_a_folder_is_no_place_for_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told before Mailtrap is asked for anything."""
    assert main(["export", "--out", str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err
