"""Processes that tests kill: begun from a fork server, struck at a request by the proxy, and they end soon.

Belongs here: beginning, striking, and the exit code, which only one thread may fetch: the second one reads nothing.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from resources.local_mailtrap.mailtrap import LocalMailtrap
from tests.assets.proxy import Moment, Proxy

PATIENCE_SECONDS = 180.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "tests.assets.driver",
        # What a run imports only when it first needs it, and what would cost each of them half a second.
        "sqlalchemy.dialects.sqlite",
        "hypothesis.extra.pandas",
        "pandera.accessors",
        "pandera.backends.pandas.register",
        "encodings.idna",
    ]
)


def settings_of(home: Path, mailtrap: LocalMailtrap, proxy: Proxy, *, key: str) -> dict[str, str]:
    """What a process is told of the scene: Mailtrap behind the proxy, and no budget that would slow it."""
    downloads = proxy.url if proxy.storage else mailtrap.storage_origin
    return {
        "MAILTRAP_API_TOKEN": mailtrap.token,
        "MAILTRAP_ACCOUNT_ID": str(mailtrap.account.id),
        "MAILTRAP_API_URL": proxy.url,
        "MAILTRAP_DOWNLOAD_HOSTS": downloads.partition("://")[2],
        "MAILTRAP_CONTACTS_LIMIT": "1000000/1",
        "MAILTRAP_TOKEN_LIMIT": "1000000/1",
        "MAILTRAP_SUPPRESSIONS_LIMIT": "1000000/1",
        "CONTACTS_HOME": str(home),
        "CONTACTS_KEY": key,
        "CONTACTS_POLL_SECONDS": "0.02",
    }


@dataclass(slots=True)
class Victims:
    """All processes of one scene."""

    proxy: Proxy
    begun: list[BaseProcess] = field(default_factory=list)

    def begin(self, work: Callable[[Any], None], errand: Any) -> BaseProcess:
        """Start one."""
        process: BaseProcess = _FORKS.Process(target=work, args=(errand,), daemon=True)
        process.start()
        self.begun.append(process)
        return process

    def end(self, process: BaseProcess) -> int:
        """Its exit code; it must come soon."""
        process.join(PATIENCE_SECONDS)
        assert not process.is_alive(), "a process does not end"
        return int(process.exitcode or 0)

    def killed_at_request(
        self, begin: Callable[[], BaseProcess], *, at: int, when: Moment, matching: str = ""
    ) -> bool:
        """One that dies at its n-th request; False when it had fewer."""
        victims: list[BaseProcess] = []

        def kill() -> None:
            while not victims:
                time.sleep(0.001)
            os.kill(victims[0].pid or 0, signal.SIGKILL)
            wait([victims[0].sentinel], PATIENCE_SECONDS)  # a join would take the exit code from `end`

        self.proxy.arm(kill, at=at, when=when, matching=matching)
        victims.append(begin())
        code = self.end(victims[0])
        self.proxy.disarm()
        assert code in (0, -signal.SIGKILL), f"a process that was not killed ended with {code}"
        return code != 0

    def bury(self) -> None:
        """None is left."""
        for process in self.begun:
            process.kill()
            process.join(PATIENCE_SECONDS)
