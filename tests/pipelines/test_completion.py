"""What a shell offers after Tab, asked in the shells themselves, each on a terminal of its own."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.completion import names_of_syncs

COMMAND = Path(sys.executable).with_name("mailtrap-contacts")
SHELLS = {
    "bash": (("bash", "--norc", "-i"), 'eval "$(_MAILTRAP_CONTACTS_COMPLETE=bash_source mailtrap-contacts)"'),
    "zsh": (
        ("zsh", "-f", "-i"),
        (
            "autoload -Uz compinit && compinit -u -D; "
            'eval "$(_MAILTRAP_CONTACTS_COMPLETE=zsh_source mailtrap-contacts)"'
        ),
    ),
    "fish": (
        ("fish", "--no-config", "-i"),
        "_MAILTRAP_CONTACTS_COMPLETE=fish_source mailtrap-contacts | source",
    ),
}
TYPED = {"plan news": "letter", "rej": "ections", "sync newsletter --part": "ition", "check news": "letter"}
PATIENCE_SECONDS = 20.0
UNPRINTED = re.compile(r"\x1b\[[0-9;?=>]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>(][B0]?|\r")


@contextmanager
def terminal(shell: tuple[str, ...], folder: Path) -> Iterator[int]:
    """A shell on a terminal that nobody configured; ended with the block."""
    process, screen = pty.fork()
    if process == 0:
        environ = {
            "PATH": f"{COMMAND.parent}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "xterm",
            "CONTACTS_SYNCS": str(folder / "syncs"), "PS1": "", "LANG": "C.UTF-8",
        }  # fmt: skip
        os.execvpe(shell[0], shell, environ)
    try:
        yield screen
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(screen)
        os.waitpid(process, 0)


def shown(screen: int, until: str) -> str:
    """What stands there once it holds this text; answers what a shell asks its terminal."""
    found, deadline = "", time.monotonic() + PATIENCE_SECONDS
    while until not in UNPRINTED.sub("", found) and time.monotonic() < deadline:
        if select.select([screen], [], [], 0.1)[0]:
            piece = os.read(screen, 65_536).decode(errors="replace")
            if "\x1b[c" in piece or "\x1b[0c" in piece:
                os.write(screen, b"\x1b[?62;4c")
            if "\x1b[6n" in piece:
                os.write(screen, b"\x1b[1;1R")
            found += piece
    return UNPRINTED.sub("", found)


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_commands_options_and_syncs(name: str, tmp_path: Path) -> None:
    """With the very line of docs/running.md, and nothing else set up."""
    shell, line = SHELLS[name]
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "syncs").mkdir()
    (tmp_path / "syncs" / "a.yaml").write_text("# ours\nsync: newsletter\n")
    with terminal(shell, tmp_path) as screen:
        os.write(screen, f"{line}; echo rea''dy\n".encode())
        assert "ready" in shown(screen, "ready")
        for begun, rest in TYPED.items():
            os.write(screen, f"mailtrap-contacts {begun}\t".encode())
            assert rest in shown(screen, rest), begun
            os.write(screen, b"\x15")


def test_names_come_from_the_files_also_from_broken_ones(tmp_path: Path) -> None:
    """Whoever mends a file types its name; no file is loaded for that, and a folder that is not there has none."""
    (tmp_path / "b.yaml").write_text("source: {table: t}\nsync: 'second' # later\nfields: [broken\n")
    (tmp_path / "a.yml").write_text("sync: first\n")
    (tmp_path / "notes.txt").write_text("sync: nobody\n")
    (tmp_path / "c.yaml").write_text("  sync: nested\n")
    assert names_of_syncs({"CONTACTS_SYNCS": str(tmp_path)}) == ["first", "second"]
    assert names_of_syncs({"CONTACTS_SYNCS": str(tmp_path / "none")}) == []
    assert names_of_syncs({}) == ["newsletter"]
