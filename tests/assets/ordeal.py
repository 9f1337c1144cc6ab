"""An ordeal: a run of a sync is killed, stopped or starved, another one follows, and everything must be as if nothing was.

Belongs here: the scene (people told before, then changed, new and gone), its digest, and what must hold after a recovery.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from assets.rules.sync import Limit
from assets.summary import summary_path
from resources.journal import Journal, open_journal
from resources.lake import Lake
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap
from tests.assets.driver import Errand, work
from tests.assets.proxy import Moment, Proxy, proxied
from tests.assets.victims import Victims, settings_of
from tests.assets.world import KEY, SYNC, Row, people

BEFORE = people(40)
AFTER = [*people(12), *people(18, first=12, plan="pro", day=2), *people(15, first=100, day=2)]
"""12 as they were, 18 changed, 10 gone, 15 new: 43 to be told, in payloads of eight."""
MIRROR = replace(
    SYNC, mode="mirror", when_gone="unlist", guards=replace(SYNC.guards, max_gone=Limit(share=1.0))
)
FAST = {
    "import_start_seconds": 0.0,
    "import_seconds_per_1000_rows": 0.0,
    "export_start_seconds": 0.0,
    "token_limit": 1_000_000,
    "contacts_limit": 1_000_000,
    "suppressions_limit": 1_000_000,
}


@dataclass(slots=True)
class Ordeal:
    """One scene; `told` is a folder in which the first sync is done."""

    folder: Path
    mailtrap: LocalMailtrap
    proxy: Proxy
    victims: Victims
    runs: int = 0
    poll_seconds: float = 0.02
    killed: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """The settings of its runs."""
        return {
            **settings_of(self.folder, self.mailtrap, self.proxy, key=KEY),
            "CONTACTS_ROWS_PER_PAYLOAD": "8",
            "CONTACTS_POLL_SECONDS": str(self.poll_seconds),
        }

    def begin(self, rows: list[Row] | dict[str, list[Row]] = AFTER, **more: Any) -> BaseProcess:
        """Start a run; the proxy strikes it when it is armed."""
        self.runs += 1
        by_partition = rows if isinstance(rows, dict) else {"all": rows}
        errand = Errand(
            environ=self.environ, sync=MIRROR, rows=by_partition, run_id=f"run-{self.runs}", **more
        )
        return self.victims.begin(work, errand)

    def run(self, rows: list[Row] | dict[str, list[Row]] = AFTER, **more: Any) -> int:
        """A run that nothing strikes."""
        self.proxy.disarm()
        return self.victims.end(self.begin(rows, **more))

    def run_killed(self, *, at: int, when: Moment, matching: str = "") -> bool:
        """A run that is killed at a request; False when it had fewer."""
        killed = self.victims.killed_at_request(self.begin, at=at, when=when, matching=matching)
        if killed:
            self.killed.append(f"run-{self.runs}")
        return killed

    def journal(self) -> Journal:
        """The records; close them."""
        return open_journal(f"sqlite:///{self.folder}/journal.db")

    def summary(self, number: int | None = None) -> dict[str, Any]:
        """What a run kept about itself."""
        path = summary_path(MIRROR.name, f"run-{number or self.runs}")
        found: dict[str, Any] = json.loads(Lake(self.folder / "lake").read_bytes(path))
        return found

    def digest(self) -> Any:
        """The state of Mailtrap without ids and times, and how often automations were woken."""
        account = self.mailtrap.dump()["accounts"][0]
        names = {each["id"]: each["name"] for each in account["lists"]}
        contacts = sorted(
            (
                c["email"],
                c["status"],
                tuple(sorted(c["fields"].items())),
                tuple(sorted(names[i] for i in c["list_ids"])),
            )
            for c in account["contacts"]
        )
        counted = {k: v for k, v in account["triggers"].items() if not k.startswith("by_list")}
        return contacts, json.dumps(counted, sort_keys=True)

    def check(self, expected: Any) -> int:
        """Everything that must hold after a recovery; the number of imports that were sent a second time."""
        assert self.digest() == expected
        sent = Counter(str(e.emails_sha256) for e in self._accepted())
        again = {body for body, copies in sent.items() if copies > 1}
        assert not sent or max(sent.values()) <= 1 + max(1, len(self.killed)), sent
        self._check_no_known_import_was_sent_again(again)
        self._check_that_every_row_is_accounted_for()
        return len(again)

    def _accepted(self) -> list[Any]:
        entries = self.mailtrap.journal.entries
        posts = (e for e in entries if e.method == "POST" and e.path.endswith("/contacts/imports"))
        return [e for e in posts if e.status == 201]

    def _check_no_known_import_was_sent_again(self, again: set[str]) -> None:
        journal = self.journal()
        try:
            deliveries = journal.deliveries(MIRROR.name)
            every = [payload for each in deliveries for payload in journal.payloads(each)]
        finally:
            journal.close()
        known = {payload.import_id for payload in every if payload.import_id is not None}
        copies: dict[str, list[int]] = {}
        for entry in self._accepted():
            if str(entry.emails_sha256) in again:
                copies.setdefault(str(entry.emails_sha256), []).append(json.loads(entry.response)["id"])
        for ids in copies.values():
            assert not known.intersection(ids[:-1]), "an import whose id was known was sent again"
        assert all(payload.state not in ("sending", "submitted", "unknown") for payload in every)

    def _check_that_every_row_is_accounted_for(self) -> None:
        lake = Lake(self.folder / "lake")
        for path in lake.list(f"summaries/{MIRROR.name}"):
            rows = json.loads(lake.read_bytes(path))["rows"]
            assert rows["read"] == sum(count for name, count in rows.items() if name != "read"), path
        journal = self.journal()
        try:
            opened = {each.run_id for each in journal.deliveries(MIRROR.name)}
        finally:
            journal.close()
        missing = [each for each in opened if not lake.exists(summary_path(MIRROR.name, each))]
        assert not missing, f"no summary of {missing}"


@contextmanager
def ordeal(folder: Path, *, begun: Path | None = None) -> Iterator[Ordeal]:
    """A fresh scene in which the first sync is done; `begun` is a folder where it was done before."""
    mailtrap = LocalMailtrap(clock=real_clock())
    mailtrap.turn(**FAST)
    mailtrap.seed({"lists": ["Newsletter"], "fields": FIELDS})
    with mailtrap.running(), proxied(mailtrap.api_origin) as proxy:
        scene = Ordeal(folder, mailtrap, proxy, Victims(proxy))
        if begun is not None:
            shutil.copytree(begun, folder)
            mailtrap.seed({"contacts": TOLD_BEFORE})
        else:
            assert scene.run(BEFORE) == 0
        mailtrap.seed({})  # counts of automations begin here
        mailtrap.journal.clear()
        try:
            yield scene
        finally:
            scene.victims.bury()


FIELDS = [
    {"name": "First name", "data_type": "text", "merge_tag": "first_name"},
    {"name": "Plan", "data_type": "text", "merge_tag": "plan"},
]
TOLD_BEFORE = [
    {
        "email": row["email"],
        "fields": {"first_name": row["name"], "plan": row["plan"]},
        "lists": ["Newsletter"],
    }
    for row in BEFORE
]


def uninterrupted(folder: Path) -> tuple[Path, Any, list[str]]:
    """The folder after the first sync, the digest of a second one that nothing strikes, and its requests."""
    with ordeal(folder / "whole") as scene:
        begun = folder / "begun"
        shutil.copytree(scene.folder, begun)
        assert scene.run() == 0
        assert scene.summary()["rows"]["accepted"] == 33
        return begun, scene.digest(), list(scene.proxy.seen)
