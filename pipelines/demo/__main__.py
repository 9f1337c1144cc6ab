"""Start and end of the demo: whatever it started has ended when it ends, also on Ctrl-C and SIGTERM.

python -m pipelines.demo            # make demo
python -m pipelines.demo --dev      # make dev: the Dagster UI on the demo's world, until Ctrl-C
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from pipelines.demo import narration
from pipelines.demo.walk import Command, Done, do, steps
from pipelines.demo.world import DEMO_FOLDER, World, dagster_ui, open_world
from resources.errors import ConnectorError


def main(argv: Sequence[str] | None = None, *, command: Command | None = None) -> int:
    """The demo, or the Dagster UI on its world."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, _end)
    # The console keeps the terminal for itself while the steps' own streams are caught.
    with os.fdopen(os.dup(1), "w") as terminal:
        console = Console(file=terminal, highlight=False, width=None if terminal.isatty() else 110)
        try:
            return (
                _dev(options.folder, console)
                if options.dev
                else _demo(options.folder, console, command=command)
            )
        except ConnectorError as error:
            console.print(f"\n{error}", markup=False, soft_wrap=True)
            return error.exit_code
        except KeyboardInterrupt:
            console.print("\nEnded before its time. Nothing of it is left running.")
            return 130


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.demo", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--dev", action="store_true", help="the Dagster UI on the demo's world, until Ctrl-C")
    parser.add_argument("--folder", type=Path, default=DEMO_FOLDER, help="where the demo keeps its files")
    return parser.parse_args(argv)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _demo(folder: Path, console: Console, *, command: Command | None) -> int:
    began = time.monotonic()
    console.print("[bold]From a warehouse to Mailtrap and back, on this machine[/]\n")
    with contextlib.ExitStack() as stack:
        with console.status("Making a warehouse of 20,000 people, starting a local Mailtrap …"):
            world = stack.enter_context(open_world(folder, today=datetime.now(UTC).date()))
        narration.opening(console, world)
        stack.enter_context(_environment(world))
        done = _walk(world, console, command=command or _the_command())
        narration.ending(console, world, done=done)
    console.print(
        f"\n[dim]{time.monotonic() - began:.0f} s in all; the local Mailtrap has ended.[/]", soft_wrap=True
    )
    return done[-1].code


def _walk(world: World, console: Console, *, command: Command) -> list[Done]:
    done: list[Done] = []
    walked = steps(world)
    for number, step in enumerate(walked, start=1):
        narration.before(console, step, number=number, of=len(walked))
        with console.status(f"{step.name} …"):
            done.append(do(step, world, command=command))
        narration.after(console, done[-1])
        if done[-1].code:
            break
    return done


def _the_command() -> Command:
    from pipelines.command import main as command  # with Dagster and pandera, so once for all steps

    return command


@contextlib.contextmanager
def _environment(world: World) -> Iterator[None]:
    former = dict(os.environ)
    os.environ.clear()
    os.environ.update(world.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


def _dev(folder: Path, console: Console) -> int:
    with contextlib.ExitStack() as stack:
        with console.status("Making a world, and starting Dagster in it …"):
            world = stack.enter_context(open_world(folder, today=datetime.now(UTC).date()))
            url = stack.enter_context(dagster_ui(world))
        narration.opening(console, world)
        console.print(f"\n[bold]The Dagster UI:[/]  {url}\n", soft_wrap=True)
        console.print("Materialize everything there, or run the job sync_newsletter. Ctrl-C ends it all.")
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
