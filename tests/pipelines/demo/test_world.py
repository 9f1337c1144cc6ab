"""The demo's world begins whole and ends whole, with real processes on loopback."""

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from pipelines.demo import neighbours
from pipelines.demo.world import ROOT, open_world
from resources.errors import ConnectorError, SettingsError

TODAY = date(2026, 6, 1)


def is_alive(process_id: int) -> bool:
    """Whether a process with this id runs."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def noted(folder: Path) -> int:
    """The process that the world has noted."""
    return int((folder / "local-mailtrap.pid").read_text())


def begin_and_break(folder: Path, began: list[int]) -> None:
    """A world that is left by Ctrl-C."""
    with open_world(folder, today=TODAY, people=100):
        began.append(noted(folder))
        raise KeyboardInterrupt


def test_a_world_is_ready_and_leaves_nothing_running(tmp_path: Path) -> None:
    """In a folder with a space: a warehouse, a Mailtrap that knows some people, and afterwards no process."""
    folder = tmp_path / "with a space"
    (folder / "contacts").mkdir(parents=True)
    (folder / "contacts" / "of the last time").touch()
    with open_world(folder, today=TODAY, people=2_000) as world:
        process_id = noted(folder)
        assert world.rows == 2_040
        assert is_alive(process_id)
        assert neighbours.told(world.mailtrap.admin, world.mailtrap.admin_token) == frozenset()
        assert not (folder / "contacts").exists()
        with (
            pytest.raises(SettingsError, match="already running"),
            open_world(folder, today=TODAY, people=10),
        ):
            pass
    assert not is_alive(process_id)
    assert not (folder / "local-mailtrap.pid").exists()


def test_a_world_that_breaks_leaves_nothing_running(tmp_path: Path) -> None:
    """An exception, Ctrl-C among them, ends the processes too."""
    began = []
    with pytest.raises(KeyboardInterrupt):
        begin_and_break(tmp_path, began)
    assert not is_alive(began[0])


def test_what_a_killed_demo_left_running_is_ended_by_the_next(tmp_path: Path) -> None:
    """SIGKILL gives no time to tidy up: the next start does it."""
    code = f"""
from datetime import date
from pathlib import Path
from pipelines.demo.world import open_world
with open_world(Path({str(tmp_path)!r}), today=date(2026, 6, 1), people=100):
    print("ready", flush=True)
    input()
"""
    demo = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert demo.stdout is not None
    assert demo.stdout.readline() == b"ready\n"
    forgotten = noted(tmp_path)
    demo.send_signal(signal.SIGKILL)
    demo.communicate()
    with open_world(tmp_path, today=TODAY, people=100):
        deadline = time.monotonic() + 10
        while is_alive(forgotten) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(forgotten)


def test_a_local_mailtrap_that_does_not_start_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a traceback, but where to look."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConnectorError, match="did not start"), open_world(tmp_path, today=TODAY, people=100):
        pass
