"""The command's own words where no run has any: what was typed was stopped."""

import sys
from pathlib import Path

import pytest

from pipelines.command import main


class Interrupted:
    """A terminal whose person presses Ctrl-C instead of typing."""

    def readline(self) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 130, nothing on stdout, and what became of what was sent."""
    monkeypatch.setattr(sys, "stdin", Interrupted())
    monkeypatch.setenv("CONTACTS_HOME", str(tmp_path))
    assert main(["explain", "-"]) == 130
    told = capsys.readouterr()
    assert told.out == ""
    assert "Stopped before the end." in told.err and "Run the same command again" in told.err
