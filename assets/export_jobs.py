"""An export's file, had from an account that runs one export at a time, ours or a stranger's in the web UI.

Belongs here: waiting for the slot, going on with the export of a run that died, asking again after a lost answer, and
fetching the file until it is whole. Not here: what is in the file (`rules/exported`), and what becomes of it
(`exports`). Mailtrap: "There is a previous export initiated" (422), no key against double submits, no list of exports.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from assets.rules.export_layout import ExportFileError
from resources.errors import GuardError, RefusedError, SettingsError, UnavailableError
from resources.journal import Journal
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient, Meanwhile
from resources.mailtrap.downloads import DownloadError, DownloadExpiredError
from resources.mailtrap.wire import ExportBusy, ExportRefused, ExportStarted

T = TypeVar("T")
Filters = Sequence[Mapping[str, object]]
RESUMED_AT_MOST_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 30.0
_LOST_ANSWERS_AT_MOST = 5
_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for the account's one slot, and how old an export of a dead run may be to go on with it."""

    wait_seconds: float = 3600.0
    resumed_at_most_seconds: float = RESUMED_AT_MOST_SECONDS
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    meanwhile: Meanwhile = lambda _: None
    """Uses the time in which Mailtrap makes an export."""

    def pause(self, seconds: float) -> None:
        """Let so much time go by."""
        until = self.clock() + seconds
        self.meanwhile(seconds)
        self.sleep(max(0.0, min(seconds, until - self.clock())))


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Ready:
    """A finished export: its id, when it was asked for, and whether an earlier run had asked."""

    id: int
    asked_at: datetime
    resumed: bool


@dataclass(frozen=True, slots=True)
class ExportJobs:
    """The exports of one account."""

    client: MailtrapClient
    lake: Lake
    journal: Journal
    patience: Patience = PATIENT

    def take(self, filters: Filters, read: Callable[[Path, Ready], T]) -> T:
        """Have an export made and fetched, and give its file to `read`; what proves damaged is fetched again.

        Half of the tries go to the same export (its link is renewed by asking), the others to a new one.
        """
        name = digest(filters)
        for tried in range(1, _TRIES + 1):
            ready, url = self._finished(filters, name)
            try:
                with self._fetched(url) as path:
                    result = read(path, ready)
            except SettingsError:  # once it is mended, nobody expects an answer of an hour ago
                self._forget(name)
                raise
            except (DownloadError, ExportFileError) as error:
                if isinstance(error, ExportFileError) and not error.damaged:
                    self._forget(name)
                    raise GuardError(error.happened, error.meaning, error.remedy) from None
                if tried == _TRIES // 2 or isinstance(error, DownloadExpiredError):
                    self._forget(name)
                if tried == _TRIES:
                    self._forget(name)
                    raise _never_whole(error) from None
                self.patience.sleep(_FIRST_PAUSE_SECONDS * tried)
            else:
                self._forget(name)
                return result
        raise AssertionError("the loop returns or raises")

    def _finished(self, filters: Filters, name: str) -> tuple[Ready, str]:
        """A finished export and its link. The lease keeps our own runs in line, also on several machines."""
        account = str(self.client.account_id)
        with self.journal.lease(f"export:{account}", wait_seconds=self.patience.wait_seconds):
            ready = self._resumed(account, name) or self._started(filters, account, name)
            export = self.client.wait_for_export(ready.id, meanwhile=self.patience.meanwhile)
        return ready, export.url or ""

    def _resumed(self, account: str, name: str) -> Ready | None:
        found = self.journal.export_in_flight(account=account, filters=name)
        if found is None:
            return None
        export_id, asked_at = found
        recent = self.patience.clock() - asked_at <= self.patience.resumed_at_most_seconds
        export = self.client.get_export(export_id) if recent else None
        if export is None or export.failed:
            self._forget(name)
            return None
        return Ready(export_id, datetime.fromtimestamp(asked_at, UTC), resumed=True)

    def _started(self, filters: Filters, account: str, name: str) -> Ready:
        """Ask until the slot is ours. After a lost answer the export may hold the slot: it is waited for like any."""
        clock = self.patience.clock
        deadline, pause, lost = clock() + self.patience.wait_seconds, _FIRST_PAUSE_SECONDS, 0
        while True:
            asked_at = clock()
            outcome = self.client.create_export(filters)
            if isinstance(outcome, ExportStarted):
                self.journal.remember_export(
                    account=account, filters=name, export_id=outcome.export.id, asked_at=asked_at
                )
                return Ready(outcome.export.id, datetime.fromtimestamp(asked_at, UTC), resumed=False)
            if isinstance(outcome, ExportRefused):
                raise _refused(filters)
            lost += not isinstance(outcome, ExportBusy)
            if lost > _LOST_ANSWERS_AT_MOST or clock() + pause > deadline:
                raise _no_slot(self.patience.wait_seconds, lost=lost)
            self.patience.pause(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    @contextlib.contextmanager
    def _fetched(self, url: str) -> Iterator[Path]:
        with self.lake.scratch() as folder:
            path = folder / "export.csv.gz"
            with path.open("wb") as sink:
                self.client.download(url, sink)
            yield path

    def _forget(self, name: str) -> None:
        self.journal.forget_export(account=str(self.client.account_id), filters=name)


def digest(filters: Filters) -> str:
    """The same filters have the same name."""
    text = json.dumps([dict(each) for each in filters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _refused(filters: Filters) -> RefusedError:
    names = ", ".join(str(each.get("name")) for each in filters) or "none"
    return RefusedError(
        f"Mailtrap does not take the filters of this export ({names}).",
        "A list may have been deleted since it was looked up.",
        "Check the lists in the account, then take the export again.",
        status=422,
    )


def _no_slot(waited_seconds: float, *, lost: int) -> UnavailableError:
    why = f"; {lost} answers were lost" if lost else ""
    return UnavailableError(
        f"Mailtrap did not start an export within {waited_seconds:,.0f} s{why}.",
        "An account runs one export at a time, and another one, perhaps started in the web UI, is under way.",
        "Take the export again later; the former one is as it was.",
    )


def _never_whole(error: DownloadError | ExportFileError) -> UnavailableError:
    return UnavailableError(
        f"No whole export could be fetched in {_TRIES} tries. The last one: {error.happened}",
        error.meaning,
        error.remedy,
    )
