"""The command `mailtrap-contacts`: words in, exit code out.

Belongs here: what can be typed, and how errors become sentences and exit codes (0 success, 2 config, 3 data,
4 transient, 5 unknown). Not here: what a command does (`checking`, `planning`, `runs`, `people`). Everything heavy is
imported where it is used, so that `--help` answers at once.
"""

import atexit
import gc
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from resources.errors import EXIT_CODES, ConnectorError

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object of numbers and ids, nothing else."
)
DEBUG = click.option("--debug", is_flag=True, help="Show where an error came from.")
NOBODY_READS = 141
"""What a shell calls a program whose reader went away, as `| head` does."""


STOPPED = ConnectorError(
    "Stopped before the end.",
    "What was sent is recorded; nothing more is.",
    "Run the same command again: it goes on from there.",
)


def _names_after_tab(_context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    from pipelines.completion import names_of_syncs

    return [name for name in names_of_syncs(os.environ) if name.startswith(begun)]


def _examples(*lines: str) -> str:
    """What stands at the end of a command's --help."""
    return "\b\nExamples:\n" + "\n".join(f"  mailtrap-contacts {line}" for line in lines)


class _Commands(click.Group):
    """Commands in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="mailtrap-contacts")
def cli() -> None:
    """Rows of a warehouse become contacts at Mailtrap: consent first, every row accounted for.

    \b
    Examples:
      mailtrap-contacts check
      mailtrap-contacts plan newsletter
      mailtrap-contacts sync newsletter --partition 2026-01-31
      mailtrap-contacts export --list Newsletter --status subscribed --out subscribers.parquet
    """


@cli.command(
    short_help="Is everything in place? What is wrong, and how to mend it.",
    epilog=_examples("check", "check newsletter --json"),
)
@click.argument("sync", required=False, shell_complete=_names_after_tab)
@JSON
@DEBUG
def check(sync: str | None, as_json: bool, **_: Any) -> int:
    """Settings, token, account, lists, fields, warehouse, sync files: what is wrong and how to mend it."""
    from pipelines.checking import check as run

    return run(os.environ, sync=sync, as_json=as_json)


@cli.command(
    short_help="What a sync would do, and what that would cost. Sends nothing.",
    epilog=_examples(
        "plan newsletter",
        "plan newsletter --out plan.json --picture plan.png",
        "plan newsletter --partition 2026-01-31",
    ),
)
@click.argument("sync", shell_complete=_names_after_tab)
@click.option("--partition", help="One partition of a partitioned sync: a day, or a bucket; or first...last.")
@click.option("--full", is_flag=True, help="As if everything had to be sent again.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the plan in a file, for `sync --plan`.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the plan as a PNG.")
@JSON
@DEBUG
def plan(**options: Any) -> int:
    """What would be sent, refused, withheld, removed; requests and minutes it will cost. Sends nothing."""
    from pipelines.planning import plan as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="Bring Mailtrap up to date.",
    epilog=_examples(
        "sync newsletter",
        "sync newsletter --plan plan.json",
        "sync newsletter --partition 2026-01-01...2026-01-31",
        "sync newsletter --full --json",
    ),
)
@click.argument("sync", shell_complete=_names_after_tab)
@click.option("--partition", help="One partition of a partitioned sync: a day, or a bucket; or first...last.")
@click.option("--full", is_flag=True, help="Send everything again, also what Mailtrap was told already.")
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), help="Send exactly this plan, or nothing."
)
@JSON
@DEBUG
def sync(**options: Any) -> int:
    """Bring Mailtrap up to date. Goes on where a run that was killed stopped."""
    from pipelines.syncing import sync as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="Mailtrap's contacts, back as Parquet.",
    epilog=_examples(
        "export --out everyone.parquet",
        "export --list Newsletter --list Customers --status subscribed --columns email,plan --out people.parquet",
    ),
)
@click.option(
    "--list", "lists", multiple=True, help="Only members of this list: its name or id. May be repeated."
)
@click.option(
    "--status", type=click.Choice(["subscribed", "unsubscribed"]), help="Only contacts of this status."
)
@click.option("--columns", help="Only these columns, separated by commas.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the rows to this Parquet file."
)
@JSON
@DEBUG
def export(**options: Any) -> int:
    """Mailtrap's contacts, back as Parquet."""
    from pipelines.exporting import export as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="Which rows were refused, and what would mend them.",
    epilog=_examples("rejections newsletter", "rejections newsletter --since 2026-01-31 --out refused.csv"),
)
@click.argument("sync", shell_complete=_names_after_tab)
@click.option("--since", help="Only rows that were first refused on this day (yyyy-mm-dd, UTC) or later.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write them to this CSV, safe for spreadsheets.",
)
@JSON
@DEBUG
def rejections(**options: Any) -> int:
    """Which rows were refused, by column and reason, and what would mend them."""
    from pipelines.rejected import rejections as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="What Mailtrap has against what it was told.",
    epilog=_examples("drift newsletter", "drift newsletter --json"),
)
@click.argument("sync", shell_complete=_names_after_tab)
@click.option(
    "--heal", is_flag=True, help="Offer everybody who is missing or differs again to the next sync."
)
@JSON
@DEBUG
def drift(**options: Any) -> int:
    """What Mailtrap has against what it was told."""
    from pipelines.exporting import drift as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="One person's way, from the source row to the export.",
    epilog=_examples("explain - < address.txt"),
)
@click.argument("email")
@JSON
@DEBUG
def explain(**options: Any) -> int:
    """One person's way: source row, rule, payload, import, export. `-` reads the address from stdin."""
    from pipelines.people import explain as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="All that is held about one person, as JSON.",
    epilog=_examples("access - < address.txt > everything.json"),
)
@click.argument("email")
@JSON
@DEBUG
def access(email: str, **_: Any) -> int:
    """All that is held about one person, here and at Mailtrap, as JSON. `-` reads the address from stdin."""
    from pipelines.people import access as run

    return run(os.environ, email=email)


@cli.command(
    short_help="The right to erasure: everywhere, for good.",
    epilog=_examples("erase --file addresses.txt", "erase --again"),
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="A text file with one address a line.",
)
@click.option(
    "--again",
    is_flag=True,
    help="After a backup was restored: everybody who was ever erased, out of every table once more.",
)
@JSON
@DEBUG
def erase(**options: Any) -> int:
    """The right to erasure: at Mailtrap, in every table here, and for good."""
    from pipelines.people import erase as run

    return run(os.environ, **_without_debug(options))


@cli.command(
    short_help="The last runs and the budget, as Prometheus text.",
    epilog=_examples("metrics", "metrics --json"),
)
@JSON
@DEBUG
def metrics(as_json: bool, **_: Any) -> int:
    """The last run of each sync and the request budget, as Prometheus text. Asks nobody but lake and journal."""
    from pipelines.metrics import metrics as run

    return run(os.environ, as_json=as_json)


@cli.command(
    name="local-mailtrap",
    short_help="A Mailtrap of your own on loopback.",
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def local_mailtrap(arguments: Sequence[str]) -> int:
    """A Mailtrap of your own on loopback, for a terminal or your CI. Ends on SIGTERM."""
    from resources.local_mailtrap.__main__ import main as run

    return int(run(list(arguments)) or 0)


def run() -> NoReturn:
    """What a shell starts: one command in a process of its own, which begins and ends as fast as it can.

    Dagster and pandas are a million objects that stay until the end. To look through them for garbage less often, until
    work begins, saves a sixth of the start; to leave them to the system at the end, most of a second.
    """
    gc.set_threshold(50_000, 20, 20)
    code = main()
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name for it
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; a mendable error is a sentence on stderr and an exit code, never a traceback."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _ended(words)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes it once more at the end
        return NOBODY_READS
    return code


def _ended(words: list[str]) -> int:
    try:
        return int(cli.main(words, prog_name="mailtrap-contacts", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except SystemExit as ended:
        if ended.code == 1:  # click's word for a reader that went away
            raise BrokenPipeError from None
        raise
    except click.Abort:
        return _failed(STOPPED, words, code=130)
    except click.ClickException as error:
        error.show()
        return _without_result(words, "config")
    except ConnectorError as error:
        return _failed(error, words, code=error.exit_code)
    except Exception as error:  # noqa: BLE001 - its text may hold anything, so it is not shown
        return _failed(_unexpected(error), words, code=EXIT_CODES["unknown"])


def _failed(error: ConnectorError, words: list[str], *, code: int) -> int:
    _say(error, debug="--debug" in words)
    _without_result(words, error.outcome)
    return code


def _without_result(words: list[str], outcome: str) -> int:
    """Who asked for JSON gets an object also when there is nothing to tell but how it ended."""
    if "--json" in words:
        click.echo(json.dumps({"schema": 1, "outcome": outcome}))
    return EXIT_CODES[outcome]


def _say(error: ConnectorError, *, debug: bool) -> None:
    for part, style in ((error.happened, {"fg": "red"}), (error.meaning, {}), (error.remedy, {"bold": True})):
        if part:
            click.echo(click.style(part, **style) if _in_colour() else part, err=True)
    if debug:
        traceback.print_exc()


def _in_colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain


def _unexpected(error: Exception) -> ConnectorError:
    return ConnectorError(
        f"Something unexpected happened ({type(error).__name__}).",
        "This is a mistake of ours; what was sent before it is recorded.",
        "Run the same command with --debug to see where, and report that place.",
    )


def _without_debug(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "debug"}


if __name__ == "__main__":
    run()
