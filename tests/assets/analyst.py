"""A taking in a process of its own, as an analyst starts one: free to be killed at a request, or at a step on the disk.

Belongs here: the process, and the scene around it. What must hold afterwards is said by the tests.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from assets.exports import EVERYONE, LATEST, Patience, Wanted, take_export, versions
from resources import settings
from resources.errors import ConnectorError
from resources.lake import Lake
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.mailtrap.session import open_client
from resources.store.store import open_store
from tests.assets.ordeal import FAST
from tests.assets.proxy import Moment, Proxy, proxied
from tests.assets.victims import PATIENCE_SECONDS, Victims, settings_of
from tests.assets.world import KEY

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "socket.connect"}
_NO_STEPS = (".py", ".pyc", ".so", ".pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the process is to do, and at which of its steps it dies."""

    environ: Mapping[str, str]
    wanted: Wanted
    wait_seconds: float
    dies_at: int = 0


def work(errand: Errand) -> None:
    """Take an export; the exit code is the command's."""
    try:
        known = settings.read(errand.environ)
        with (
            open_client(known) as client,
            open_store(known) as store,
        ):  # fmt: skip
            if errand.dies_at:
                _die_at(errand.dies_at)
            take_export(
                client, store, wanted=errand.wanted, patience=Patience(wait_seconds=errand.wait_seconds)
            )
    except ConnectorError as error:
        print(f"analyst: {error}", file=sys.stderr)  # noqa: T201 - the process's last words
        sys.exit(error.exit_code)


def _die_at(number: int) -> None:
    """SIGKILL to oneself before the n-th file, folder or connection is opened, made, renamed or removed."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in _STEPS or str(arguments[0]).endswith(_NO_STEPS):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(PATIENCE_SECONDS)  # nothing more is done until it arrives

    sys.addaudithook(hook)


@dataclass(slots=True)
class Desk:
    """Where analysts work: an account, a lake, and processes."""

    folder: Path
    mailtrap: LocalMailtrap
    proxy: Proxy
    victims: Victims

    @property
    def lake(self) -> Lake:
        """What they see."""
        return Lake(self.folder / "lake")

    def begin(
        self, *, wanted: Wanted = EVERYONE, wait_seconds: float = 60.0, dies_at: int = 0
    ) -> BaseProcess:
        """Start a taking."""
        environ = settings_of(self.folder, self.mailtrap, self.proxy, key=KEY)
        errand = Errand(environ=environ, wanted=wanted, wait_seconds=wait_seconds, dies_at=dies_at)
        return self.victims.begin(work, errand)

    def take(self, **options: Any) -> int:
        """A taking from beginning to end."""
        return self.victims.end(self.begin(**options))

    def killed_at_request(self, at: int, when: Moment) -> bool:
        """A taking that is killed at a request; False when it had fewer."""
        return self.victims.killed_at_request(self.begin, at=at, when=when)

    def killed_at_step(self, number: int) -> bool:
        """A taking that dies at a step on the disk; False when it had fewer."""
        return self.take(dies_at=number) == -signal.SIGKILL

    def people(self) -> int:
        """How many people the latest taking has; it can always be read."""
        return sum(batch.num_rows for batch in self.lake.read(LATEST))

    def versions(self) -> list[int]:
        """How many people each kept taking has."""
        return [sum(batch.num_rows for batch in self.lake.read(path)) for path in versions(self.lake)]

    def asked(self) -> int:
        """How many exports were asked for."""
        every = self.mailtrap.journal.entries
        return sum(each.method == "POST" and each.path.endswith("/contacts/exports") for each in every)

    def leftovers(self) -> list[str]:
        """What was begun and is not finished: files and folders that nobody may see."""
        every = (path.relative_to(self.folder / "lake") for path in (self.folder / "lake").rglob("*"))
        return [str(each) for each in every if ".partial-" in each.name or each.name.startswith("work-")]


@contextmanager
def desk(folder: Path, *, people: int = 40, lists: int = 1) -> Iterator[Desk]:
    """An account with some people, and one taking of it."""
    mailtrap = LocalMailtrap(clock=real_clock())
    mailtrap.turn(**FAST)
    names = [f"List {number}" for number in range(lists)]
    mailtrap.seed({"lists": names, "contacts": contacts(people, names)})
    with mailtrap.running(), proxied(mailtrap.api_origin, storage=mailtrap.storage_origin) as proxy:
        made = Desk(folder, mailtrap, proxy, Victims(proxy))
        try:
            assert made.take() == 0
            yield made
        finally:
            made.victims.bury()


def contacts(count: int, lists: list[str], *, first: int = 0) -> list[dict[str, Any]]:
    """People to seed."""
    return [{"email": f"p{n}@example.com", "fields": {}, "lists": lists} for n in range(first, first + count)]
