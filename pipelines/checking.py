"""`mailtrap-contacts check`: settings, token, account, lists, fields, warehouse, sync files; what is wrong, what to do.

Looks at everything and changes nothing; a thing that is wrong does not keep the others from being looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from assets.preparation import inspected
from assets.rules.examples import example_problems
from assets.rules.preflight import source_problems
from assets.rules.sync import Sync
from assets.sources import relation_of
from pipelines import printing
from pipelines.definitions import read_syncs
from pipelines.sources import opened_source
from pipelines.syncing import sync_named
from resources import settings
from resources.errors import ConnectorError
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client
from resources.settings import Settings
from resources.warehouses import connect

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    problems: tuple[str, ...] = ()
    exit_code: int = 0

    @property
    def fine(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.problems


def check(environ: Mapping[str, str], *, sync: str | None = None, as_json: bool = False) -> int:
    """Look at everything and say what is wrong."""
    found = list(_findings(environ, sync))
    if as_json:
        printing.print_json(
            {
                "schema": 1,
                "outcome": "ok" if all(each.fine for each in found) else "config",
                "checks": [{"what": each.what, "problems": list(each.problems)} for each in found],
            }
        )
    else:
        printing.show("", [(each.what, "fine" if each.fine else "wrong") for each in found])
    printing.warn(*(f"{each.what}: {problem}" for each in found for problem in each.problems))
    return max((each.exit_code for each in found), default=0)


def _findings(environ: Mapping[str, str], name: str | None) -> list[Finding]:
    found: list[Finding] = []
    known = _looked(found, "settings", lambda: settings.read(environ))
    if known is None:
        return found
    syncs = _looked(found, "sync files", lambda: read_syncs(environ))
    if syncs is None:
        return found
    chosen = _looked(found, f"sync {name}", lambda: (sync_named(syncs, name),)) if name else syncs
    for each in chosen or ():
        problems = tuple(str(problem) for problem in example_problems(each, now=datetime.now(UTC)))
        found.append(Finding(f"{each.name}: examples", problems, 2 if problems else 0))
    _sources(found, known, environ, chosen or ())
    _account(found, known, chosen or ())
    return found


def _sources(
    found: list[Finding], known: Settings, environ: Mapping[str, str], syncs: tuple[Sync, ...]
) -> None:
    elsewhere = tuple(sync for sync in syncs if sync.source.is_asset or sync.source.warehouse)
    if not syncs or elsewhere != syncs:
        reached = _looked(found, "warehouse", lambda: _reached(known.warehouse))
        syncs = syncs if reached else elsewhere  # one complaint is enough
    for sync in syncs:

        def look(sync: Sync = sync) -> tuple[str, ...]:
            with opened_source(sync, environ) as warehouse:
                columns = warehouse.columns(relation_of(sync.source))
            return tuple(str(each) for each in source_problems(sync, columns))

        problems = _looked(found, f"{sync.name}: source", look)
        if problems:
            found[-1] = Finding(f"{sync.name}: source", problems, 2)


def _reached(url: str) -> bool:
    connect(url).close()
    return True


def _account(found: list[Finding], known: Settings, syncs: tuple[Sync, ...]) -> None:
    try:
        with open_client(known) as client:
            if _looked(found, "Mailtrap token and account", lambda: client.account_id) is None:
                return
            for each in syncs:
                _lists_and_fields(found, client, each)
    except ConnectorError as error:
        found.append(Finding("Mailtrap token and account", (str(error),), error.exit_code))


def _lists_and_fields(found: list[Finding], client: MailtrapClient, sync: Sync) -> None:
    def look() -> tuple[str, ...]:
        return tuple(str(each) for each in inspected(client, sync)[0].problems)

    problems = _looked(found, f"{sync.name}: lists and fields", look)
    if problems:
        found[-1] = Finding(f"{sync.name}: lists and fields", problems, 2)


def _looked(found: list[Finding], what: str, look: Callable[[], T]) -> T | None:
    try:
        seen = look()
    except ConnectorError as error:
        found.append(Finding(what, (str(error),), error.exit_code))
        return None
    found.append(Finding(what))
    return seen
