"""Rules that every command obeys, asked of each one that there is: help with examples, JSON, exit codes, pipes, terminals.

A new command is asked too: the list comes from the command itself.
"""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from pipelines.command import cli, main
from tests.pipelines.syncing_world import UNLIMITED, SyncingWorld, syncing_world

EXECUTABLE = Path(sys.executable).with_name("mailtrap-contacts")
COMMANDS = sorted(cli.commands)
OURS = sorted(
    {*COMMANDS} - {"local-mailtrap"}
)  # whose words are those of `python -m resources.local_mailtrap`
NAMED = "person1@people.example.org"
TYPED = {
    "check": ["whole"],
    "plan": ["whole"],
    "sync": ["whole"],
    "export": [],
    "rejections": ["whole"],
    "drift": ["whole"],
    "explain": [NAMED],
    "access": [NAMED],
    "erase": ["--again"],
    "metrics": [],
}
"""How each is typed when all is well, in an order in which each has something to say."""
NARROW = 40


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncingWorld]:
    """A sync with a few people, and the settings with which a command finds it."""
    with syncing_world(tmp_path, people_a_day=1) as made:
        (tmp_path / "dagster").mkdir()
        for name, value in environ_of(made, tmp_path).items():
            monkeypatch.setenv(name, value)
        yield made


def environ_of(world: SyncingWorld, folder: Path) -> dict[str, str]:
    """The settings of a world."""
    return {
        "MAILTRAP_API_TOKEN": world.mailtrap.token,
        "MAILTRAP_API_URL": world.mailtrap.api_origin,
        "MAILTRAP_DOWNLOAD_HOSTS": world.mailtrap.storage_origin.partition("//")[2],
        "MAILTRAP_CONTACTS_LIMIT": UNLIMITED,
        "MAILTRAP_TOKEN_LIMIT": UNLIMITED,
        "MAILTRAP_SUPPRESSIONS_LIMIT": UNLIMITED,
        "CONTACTS_WAREHOUSE": f"duckdb:///{folder / 'warehouse.duckdb'}",
        "CONTACTS_SYNCS": str(folder / "syncs"),
        "CONTACTS_HOME": str(folder / "contacts"),
        "CONTACTS_POLL_SECONDS": "0.02",
        "DAGSTER_HOME": str(folder / "dagster"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_sentence_and_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What it does, and something to copy; each example is a command line that would be understood."""
    with pytest.raises(SystemExit) if name == "local-mailtrap" else _nothing():
        assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    examples = re.findall(r"^ +mailtrap-contacts (\S.*)$", told, re.MULTILINE)
    assert cli.commands[name].short_help and examples, told
    for line in examples:
        words = re.split(r"[<>]", line)[0].split()
        assert words[0] == name
        cli.commands[name].make_context(name, words[1:])


class _nothing:  # noqa: N801 - it reads like contextlib.nullcontext, with a type that pytest.raises shares
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> bool:
        return False


@pytest.mark.parametrize("name", OURS)
def test_every_command_takes_json_and_debug(name: str) -> None:
    """Scripts need not know which."""
    known = {flag for each in cli.commands[name].params for flag in each.opts}
    assert {"--json", "--debug"} <= known
    assert all(each.help for each in cli.commands[name].params if isinstance(each, click.Option))


@pytest.mark.parametrize("name", OURS)
def test_a_wrong_option_is_exit_code_2_with_the_nearest_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, in a line; a script that asked for JSON gets an object all the same."""
    assert main([name, "--jsno"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "--json" in told.err
    assert main([name, "--json", "--nothing-like-it"]) == 2
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "outcome": "config"}


def test_a_wrong_command_and_a_wrong_sync_are_told_with_the_nearest_one(
    world: SyncingWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the finger costs one look."""
    assert main(["sycn", "whole"]) == 2
    assert "Did you mean 'sync'?" in capsys.readouterr().err
    for name in ("plan", "sync", "rejections", "drift"):
        assert main([name, "whoel", "--json"]) == 2
        told = capsys.readouterr()
        assert json.loads(told.out) == {"schema": 1, "outcome": "config"}
        assert "There is no sync named 'whoel'" in told.err and "Did you mean whole?" in told.err
    assert main(["check", "whoel", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["outcome"] == "config"


@pytest.mark.proof
def test_every_command_prints_one_json_object_and_nothing_else(
    world: SyncingWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On success, in the order of a first day; and when the token is refused, of those that ask Mailtrap."""
    for name, words in TYPED.items():
        assert main([name, *words, "--json"]) == 0, capsys.readouterr().err
        assert isinstance(json.loads(capsys.readouterr().out), dict), name
    assert set(TYPED) == set(OURS)
    monkeypatch.setenv("MAILTRAP_API_TOKEN", "0" * 32)
    for name in ("check", "plan", "sync", "export", "drift", "explain", "access"):
        assert main([name, *TYPED[name], "--json"]) == 2, name
        told = capsys.readouterr()
        assert json.loads(told.out).get("outcome") == "config", (name, told.out)
        assert "oken" in told.err and "Traceback" not in told.err, told.err


def without_a_reader(words: list[str], *, stderr: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with nobody at the other end of its stdout; nor of its stderr, unless that is given."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        return subprocess.run([EXECUTABLE, *words], stdout=nobody, stderr=stderr or nobody, text=True)


def test_a_reader_that_goes_away_is_no_mistake_of_ours() -> None:
    """`| head`: quiet, with the exit code that shells know."""
    done = without_a_reader(["--help"], stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.proof
def test_a_run_is_done_also_when_nobody_hears_of_it(world: SyncingWorld) -> None:
    """Neither the lines of its progress nor its tables are worth a run."""
    assert without_a_reader(["sync", "whole"]).returncode == 141
    assert len(world.imports()) == 1
    done = without_a_reader(["plan", "whole"], stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


def test_nothing_of_people_is_left_in_temporary_files(world: SyncingWorld, tmp_path: Path) -> None:
    """A command leaves its modules to the system at its end, but not what it spilled to a disk."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ = {**environ_of(world, tmp_path), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [EXECUTABLE, "plan", "whole", "--json"], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout) and done.stderr == ""
    assert list(temporary.iterdir()) == []


@pytest.mark.proof
def test_every_command_fits_a_narrow_terminal(world: SyncingWorld, tmp_path: Path) -> None:
    """Forty columns: no table is wider, numbers stay whole; NO_COLOR means no colour, and a pipe has none anyway."""
    environ = {**os.environ, **environ_of(world, tmp_path), "TERM": "xterm"}
    for name, words in TYPED.items():
        code, told = on_a_terminal([name, *words], environ={**environ, "NO_COLOR": "1"})
        assert code == 0, told
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", told), told
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told).replace("\r", "\n")
        tables = [line for line in plain.splitlines() if re.search(r"\S {2,}[\d,]+$", line)]
        assert all(len(line) <= NARROW for line in tables), (name, tables)
    for name in ("check", "plan", "sync"):
        piped = subprocess.run([EXECUTABLE, name, "whole"], env=environ, capture_output=True, text=True)
        assert piped.returncode == 0 and "\x1b" not in piped.stdout + piped.stderr, name


def on_a_terminal(words: list[str], *, environ: Mapping[str, str]) -> tuple[int, str]:
    """The command on a terminal of forty columns: its exit code, and what stood there."""
    process, screen = pty.fork()
    if process == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, NARROW, 0, 0))
        os.execve(EXECUTABLE, [str(EXECUTABLE), *words], dict(environ))
    told = b""
    try:
        while piece := os.read(screen, 65_536):
            told += piece
    except OSError:  # how Linux says that the other side has gone
        pass
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told.decode()
