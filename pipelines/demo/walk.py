"""The steps of the demo: check, plan, sync, change 1 %, sync again, export, drift, look inside.

Belongs here: which steps, in which order, and what came of each. Not here: what is shown of them (`narration.py`).
A step is the command itself, with the arguments that a person would type.
"""

import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from pipelines.demo.neighbours import told
from pipelines.demo.world import World
from pipelines.sample import TABLE, change_one_percent
from resources.errors import EXIT_CODES

SYNC = "newsletter"
Command = Callable[[list[str]], int]
"""The command `mailtrap-contacts`: arguments in, exit code out."""


Redirect = Callable[[TextIO], contextlib.AbstractContextManager[TextIO]]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the demo does: the command with these arguments, or something of the demo's own."""

    name: str
    words: str
    argv: tuple[str, ...] = ()
    act: Callable[[World], tuple[int, str]] | None = None
    """Something of the demo's own: an exit code, and what to say."""

    @property
    def typed(self) -> str:
        """What one would type to do this step by hand."""
        return shlex.join(("mailtrap-contacts", *self.argv)) if self.argv else ""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step: its exit code, its numbers, its messages."""

    step: Step
    code: int
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)
    said: str = ""

    @property
    def rows(self) -> dict[str, int]:
        """How many rows ended where, if this step counted any."""
        found = self.summary.get("rows")
        return found if isinstance(found, dict) else {}


def steps(world: World) -> tuple[Step, ...]:
    """The whole walk, in order."""
    return (
        Step("check", "Is everything in place?", ("check", SYNC)),
        Step("plan", "What would be sent? Nothing goes out yet.", ("plan", SYNC)),
        Step("first sync", "Send it, and wait for proof.", ("sync", SYNC)),
        Step("change 1 %", "Meanwhile, in the warehouse.", act=_change),
        Step("second sync", "Only what changed goes out.", ("sync", SYNC)),
        Step("export", "Mailtrap's contacts, as Parquet.", ("export", "--out", str(world.exported))),
        Step("drift", "Does Mailtrap have what it was told?", ("drift", SYNC)),
        Step(
            "look inside", "Was anybody told of who had said no, unsubscribed, or is suppressed?", act=_prove
        ),
    )


def do(step: Step, world: World, *, command: Command) -> Done:
    """Do one step; what it says is caught, and kept in the demo's log."""
    began = time.monotonic()
    if step.act is not None:
        code, said = step.act(world)
        return Done(step, code, time.monotonic() - began, said=said)
    with _caught(world.folder / "demo.log") as heard:
        code = command([*step.argv, "--json"])
    return Done(step, code, time.monotonic() - began, _numbers(heard.out), heard.err.strip())


def _change(world: World) -> tuple[int, str]:
    changed = change_one_percent(world.warehouse, now=datetime.now(UTC))
    return 0, f"{changed:,} rows of {TABLE} changed, one in ten by taking consent back"


def _prove(world: World) -> tuple[int, str]:
    """Look into the local Mailtrap: nobody may stand there with our data who had said no before the first sync."""
    reached = told(world.mailtrap.admin, world.mailtrap.admin_token)
    left_alone = {*world.said_no, *world.known.unsubscribed, *(email for email, _ in world.known.suppressed)}
    wrong = len(reached & left_alone)
    found = f"{len(reached):,} contacts hold our data; of {len(left_alone):,} people who said no, {wrong or 'nobody'}"
    return EXIT_CODES["data"] if wrong else 0, found


def _numbers(out: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(out)
        return found if isinstance(found, dict) else {}
    return {}


@dataclass(slots=True)
class Heard:
    """What was said on the two streams; filled when the block is left."""

    out: str = ""
    err: str = ""


@contextlib.contextmanager
def _caught(log: Path) -> Iterator[Heard]:
    """Catch both streams, as files of the process, because processes that Dagster starts speak there too."""
    heard, out, err = Heard(), log.with_suffix(".out"), log.with_suffix(".err")
    try:
        with _into(out, 1, contextlib.redirect_stdout), _into(err, 2, contextlib.redirect_stderr):
            yield heard
    finally:
        heard.out, heard.err = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
        with log.open("a", encoding="utf-8") as stream_of_all:
            stream_of_all.write(heard.out + heard.err)
        out.unlink()
        err.unlink()


@contextlib.contextmanager
def _into(path: Path, descriptor: int, redirect: Redirect) -> Iterator[None]:
    former = os.dup(descriptor)
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("w", encoding="utf-8", errors="replace") as stream:
        os.dup2(stream.fileno(), descriptor)
        try:
            with redirect(stream):
                yield
        finally:
            stream.flush()
            os.dup2(former, descriptor)
            os.close(former)
