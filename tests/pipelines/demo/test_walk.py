"""The steps of the demo, with a command that only remembers what it was asked."""

import io
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.demo import narration
from pipelines.demo.walk import Command, Done, Step, do, steps
from pipelines.demo.world import Mailtrap, World, environ_of
from pipelines.sample import KnownAtMailtrap, write_sample

SUMMARY = {
    "schema": 1,
    "sync": "newsletter",
    "rows": {"read": 10, "accepted": 6, "no_consent": 3, "rejected": 1},
    "rejected_by_reason": {"address_syntax": 1},
    "payloads": 1,
    "requests": 5,
    "retries": 0,
    "seconds": 0.5,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world without processes: enough for steps that talk to nobody."""
    mailtrap = Mailtrap(
        "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1/a", "admin-token", "api-token"
    )
    return World(
        tmp_path,
        10,
        mailtrap,
        KnownAtMailtrap((), (), ()),
        frozenset(),
        environ_of(tmp_path, mailtrap, outside={}),
    )


def says(numbers: object, *, code: int = 0, words: str = "") -> Command:
    """A command that prints these numbers and words, as a process would, and ends with this code."""

    def command(argv: list[str]) -> int:
        os.write(1, json.dumps(numbers).encode())
        sys.stderr.write(words)
        return code

    return command


def test_each_step_of_the_walk_is_a_command_that_one_can_type(world: World) -> None:
    """The walk is check, plan, sync, sync, export, drift, and one change in between."""
    assert [step.argv[0] for step in steps(world) if step.argv] == [
        "check",
        "plan",
        "sync",
        "sync",
        "export",
        "drift",
    ]


def test_a_step_gives_the_numbers_of_its_summary(world: World) -> None:
    """What the command prints on standard output is read as its summary, and what it says is kept."""
    done = do(Step("plan", "", ("plan", "newsletter")), world, command=says(SUMMARY, words="12 minutes"))
    assert (done.code, done.rows["read"], done.said) == (0, 10, "12 minutes")
    assert "12 minutes" in (world.folder / "demo.log").read_text()


def test_processes_that_a_step_starts_do_not_disturb_the_table(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """Dagster's own processes write to the same terminal: that is caught too."""

    def command(argv: list[str]) -> int:
        return subprocess.run(
            [sys.executable, "-c", "import sys; print('noise', file=sys.stderr)"]
        ).returncode

    done = do(Step("sync", "", ("sync", "newsletter")), world, command=command)
    assert done.said == "noise"
    assert capfd.readouterr().err == ""


def test_output_that_is_no_summary_is_no_number(world: World) -> None:
    """A step without numbers is shown without numbers, not as a crash."""
    assert do(Step("check", "", ("check",)), world, command=says([1, 2])).summary == {}


def test_the_change_in_between_is_told_in_words(world: World) -> None:
    """The step that changes the warehouse needs no command."""
    write_sample(world.warehouse, today=date(2026, 6, 1), people=1_000)
    change = next(step for step in steps(world) if step.act)
    assert do(change, world, command=says({})).said.startswith(
        "10 rows of marts.newsletter_subscribers changed"
    )


def told(done: list[Done], world: World) -> str:
    """What a terminal would show of these steps."""
    terminal = io.StringIO()
    console = Console(file=terminal, width=120)
    for entry in done:
        narration.after(console, entry)
    narration.ending(console, world, done=done)
    return terminal.getvalue()


def test_the_tables_hold_every_count(world: World) -> None:
    """Each place with its rows, the sum, the picture, and the way on."""
    shown = told([Done(Step("first sync", "", ("sync",)), 0, 1.0, SUMMARY)], world)
    for words in (
        "told to Mailtrap",
        "60.0%",
        "no consent",
        "= rows read",
        "where-every-row-went.png",
        "make dev",
    ):
        assert words in shown
    assert (world.folder / "where-every-row-went.png").stat().st_size > 10_000


def test_people_who_are_taken_away_one_by_one_are_told_of(world: World) -> None:
    """They are no rows of the table, and cost more requests than all that is sent."""
    shown = told(
        [Done(Step("second sync", "", ("sync",)), 0, 1.0, {**SUMMARY, "gone": {"unsubscribed": 17}})], world
    )
    assert "17 people unsubscribed" in shown and "two requests each" in shown


def test_a_sum_that_is_wrong_is_said_aloud(world: World) -> None:
    """A demo that hides a lost row would be worse than none."""
    lost = {**SUMMARY, "rows": {"read": 10, "accepted": 6}}
    assert "but 6 are told of" in told([Done(Step("first sync", "", ("sync",)), 0, 1.0, lost)], world)


def test_a_failed_step_shows_what_the_command_said(world: World) -> None:
    """The words of the error reach the person, brackets and all."""
    done = Done(Step("check", "", ("check",)), 2, 0.1, {}, "The list [Newsletter] is missing.")
    assert "The list [Newsletter] is missing." in told([done], world)


def test_the_world_uses_none_of_the_callers_settings(tmp_path: Path, world: World) -> None:
    """Someone who has a real token in the environment does not send the sample to a real account."""
    outside = {
        "MAILTRAP_API_TOKEN": "real",
        "MAILTRAP_ACCOUNT_ID": "1",
        "CONTACTS_LAKE": "s3://real",
        "PATH": "/bin",
    }
    inside = environ_of(tmp_path, world.mailtrap, outside=outside)
    assert inside["PATH"] == "/bin"
    assert "MAILTRAP_ACCOUNT_ID" not in inside
    assert "CONTACTS_LAKE" not in inside
    assert inside["MAILTRAP_API_TOKEN"] == "api-token"
    assert inside["MAILTRAP_DOWNLOAD_HOSTS"] == "127.0.0.1:2"


def test_secrets_do_not_show_in_a_repr(world: World) -> None:
    """Tokens stay out of messages, also those of a throw-away Mailtrap."""
    assert "api-token" not in repr(world)
    assert "admin-token" not in repr(world)
