"""`make chaos`: everything that a run can die of, at every point, and the proof that the next run makes it good.

    python -m tests.assets.chaos [--random 200] [--double 50] [--only sweep,random,…] [--seed N]

Takes half an hour; the tests run a few points of it. Says at the end, as a table, what was proven, and fails when
anything was not as in a run that nothing strikes.
"""

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.assets.ordeal import AFTER, Ordeal, ordeal, uninterrupted
from tests.assets.world import people

FILE_SIZES = (500, 2_000, 4_000, 8_000, 20_000, 60_000, 110_000, 140_000)
STOPPED_SECONDS = 90.0
"""Longer than the lease, which lasts a minute."""
TITLES = {
    "sweep": "SIGKILL before and after every request",
    "random": "SIGKILL at a random moment",
    "double": "SIGKILL, and the run that follows too",
    "stopped": "SIGSTOP for 90 s, and another run meanwhile",
    "slept": "SIGSTOP for 90 s, and nobody else",
    "frozen": "SIGSTOP at a random moment, and another run",
    "terminated": "SIGTERM while Mailtrap does not answer",
    "full": "no file can grow: disk full",
    "together": "three runs at once, one of them killed",
}


@dataclass(slots=True)
class Chaos:
    """What is known of a run that nothing strikes, and what has been proven so far."""

    folder: Path
    begun: Path
    expected: Any
    requests: list[str]
    dice: random.Random
    proven: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    """Imports that were sent a second time, since an answer was lost."""
    failed: list[str] = field(default_factory=list)
    slowest_end_seconds: float = 0.0
    run_seconds: float = 2.0
    """How long a run has lately taken: on a busy machine, a random moment must come later too."""

    @contextlib.contextmanager
    def scene(self, name: str) -> Iterator[Ordeal]:
        """A scene of its own; what goes wrong in it is noted, and the others go on."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            try:
                with ordeal(Path(folder) / "home", begun=self.begun) as found:
                    yield found
                self._count(name.partition(" ")[0])
            except (AssertionError, OSError, KeyError, ValueError, RuntimeError) as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.failed.append(
                    f"{name}: {type(error).__name__} {error} ({where.name}:{where.lineno})"[:400]
                )
                _say(f"  FAILED {self.failed[-1]}")

    def _count(self, kind: str) -> None:
        self.proven[kind] += 1
        if self.proven[kind] % 10 == 0:
            _say(f"  {kind}: {self.proven[kind]} so far")

    def made_good(self, scene: Ordeal) -> None:
        """One more run, and everything is as it should be."""
        began = time.monotonic()
        code = scene.run()
        self.run_seconds = time.monotonic() - began
        assert code == 0, f"the run after it ended with {code}"
        self.again["imports"] += scene.check(self.expected)

    # The scenes

    def sweep(self) -> None:
        """Killed before and after every single request."""
        for at in range(1, len(self.requests) + 1):
            for when in ("before", "after"):
                with self.scene(f"sweep {when} {at} {self.requests[at - 1]}") as scene:
                    scene.run_killed(at=at, when=when)
                    self.made_good(scene)

    def random(self, count: int) -> None:
        """Killed at any moment."""
        for number in range(count):
            with self.scene(f"random {number}") as scene:
                self._killed_after(scene, self.dice.uniform(0.0, 1.1) * self.run_seconds)
                self.made_good(scene)

    def double(self, count: int) -> None:
        """Killed, and the run that follows is killed too."""
        for number in range(count):
            with self.scene(f"double {number}") as scene:
                scene.run_killed(
                    at=self.dice.randint(1, len(self.requests)), when=self.dice.choice(("before", "after"))
                )
                scene.run_killed(
                    at=self.dice.randint(1, len(self.requests)), when=self.dice.choice(("before", "after"))
                )
                self.made_good(scene)

    def _killed_after(self, scene: Ordeal, seconds: float) -> None:
        scene.proxy.disarm()
        process = scene.begin()
        time.sleep(seconds)
        self.again["cut off while sending"] += any("imports" in each for each in scene.proxy.seen)
        process.kill()
        scene.killed.append(f"run-{scene.runs}")
        process.join(30)

    def stopped(self) -> None:
        """Stopped (SIGSTOP) for longer than its lease; all at once, since it is mostly waiting."""
        at_requests = [partial(self._stopped_at, at, taken_over=True) for at in (5, 6, 7)]
        nobody = partial(self._stopped_at, 6, taken_over=False)
        moments = [partial(self._frozen, number, self.dice.uniform(0.1, 1.2)) for number in range(4)]
        cases = [threading.Thread(target=each) for each in (*at_requests, nobody, *moments)]
        for each in cases:
            each.start()
        for each in cases:
            each.join()

    def _stopped_at(self, at: int, *, taken_over: bool) -> None:
        """With a request under way."""
        with self.scene(f"stopped {at}" if taken_over else f"slept {at}") as scene:
            victim = self._stop_at(scene, at)
            began = time.monotonic()
            if taken_over:  # unless the victim was stopped while it held the database, too: then nobody can
                code = scene.victims.end(scene.begin())
                assert code in (0, 4)
                taken_over = code == 0
            time.sleep(max(0.0, STOPPED_SECONDS - (time.monotonic() - began)))
            os.kill(victim.pid, signal.SIGCONT)
            code = scene.victims.end(victim)
            assert (code != 0) == taken_over, (
                "a run whose lease was taken ended well, or one that kept it did not"
            )
            self.made_good(scene)

    def _frozen(self, number: int, seconds: float) -> None:
        """At any moment, also while it holds the database: the other run waits, or says that it could not."""
        with self.scene(f"frozen {number}") as scene:
            scene.proxy.disarm()
            victim = scene.begin()
            time.sleep(seconds)
            os.kill(victim.pid or 0, signal.SIGSTOP)
            began = time.monotonic()
            assert scene.victims.end(scene.begin()) in (0, 4)
            time.sleep(max(0.0, STOPPED_SECONDS - (time.monotonic() - began)))
            os.kill(victim.pid or 0, signal.SIGCONT)
            scene.victims.end(victim)
            self.made_good(scene)

    def terminated(self) -> None:
        """SIGTERM while Mailtrap does not answer: the run ends within ten seconds, and says that it did not end well."""
        for at in (1, 4, 8):
            with self.scene(f"terminated {at}") as scene:
                scene.proxy.arm(lambda: time.sleep(25), at=at, when="after")
                victim = scene.begin()
                _until(lambda: len(scene.proxy.seen) >= at)  # noqa: B023
                time.sleep(0.2)
                victim.terminate()
                began = time.monotonic()
                code = scene.victims.end(victim)
                self.slowest_end_seconds = max(self.slowest_end_seconds, time.monotonic() - began)
                assert code != 0 and time.monotonic() - began < 10
                scene.killed.append(f"run-{scene.runs}")
                self.made_good(scene)

    def full(self) -> None:
        """No file can grow beyond so many bytes: a disk that is full, at several moments."""
        for size in FILE_SIZES:
            with self.scene(f"full {size}") as scene:
                code = scene.run(file_bytes=size)
                assert code != 0 or scene.digest() == self.expected
                scene.killed.append(f"run-{scene.runs}")
                self.made_good(scene)

    def together(self) -> None:
        """Three runs of three days at once, and one of them is killed."""
        days = {f"2026-01-0{n}": people(20, first=200 + 20 * n, day=n) for n in (1, 2, 3)}
        for killed in (None, 0, 1, 2):
            with self.scene(f"together {killed}") as scene:
                scene.proxy.disarm()
                runs = [scene.begin({day: rows}) for day, rows in days.items()]
                if killed is not None:
                    time.sleep(0.8)
                    runs[killed].kill()
                    scene.killed.append("")
                codes = [scene.victims.end(each) for each in runs]
                assert all(code == 0 for n, code in enumerate(codes) if n != killed), codes
                for day, rows in days.items():
                    assert scene.run({day: rows}) == 0
                    assert scene.summary()["rows"]["accepted"] == 0 or killed is not None
                emails = {row["email"] for rows in days.values() for row in rows}
                contacts = {contact[0] for contact in scene.digest()[0]}
                assert emails <= contacts
                times = Counter(scene.mailtrap.journal.times_sent(each) for each in emails)
                assert max(times) <= (2 if killed is not None else 1), times

    def _stop_at(self, scene: Ordeal, at: int) -> Any:
        found: list[Any] = []
        scene.proxy.arm(lambda: None, at=at, when="after", matching="POST /api/accounts/")
        scene.proxy.strike = lambda: _stop_when_quiet(_first(found).pid, scene.folder / "journal.db")
        found.append(scene.begin())
        assert scene.proxy.struck.wait(30)
        time.sleep(0.1)
        scene.proxy.disarm()
        scene.killed.append(f"run-{scene.runs}")
        return found[0]


def _stop_when_quiet(process_id: int, journal: Path) -> None:
    # Not in the middle of a transaction: a process that is stopped there holds SQLite's lock, and all others wait.
    with contextlib.closing(sqlite3.connect(journal, timeout=60, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        os.kill(process_id, signal.SIGSTOP)
        connection.execute("rollback")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _first(found: list[Any]) -> Any:
    _until(lambda: bool(found))
    return found[0]


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


def _table(chaos: Chaos, seconds: Counter[str]) -> str:
    """What was proven, a line for each kind of blow."""
    failed = Counter(each.partition(" ")[0] for each in chaos.failed)
    lines = [f"{'what struck':<46} {'made good':>9} {'failed':>6}"]
    lines += [
        f"{title:<46} {chaos.proven[name]:>9} {failed[name]:>6}"
        for name, title in TITLES.items()
        if chaos.proven[name] or failed[name]
    ]
    lines += [
        f"{sum(chaos.proven.values())} scenes in {sum(seconds.values()) / 60:.0f} minutes. After the next run, in each:",
        "Mailtrap's state and the automations woken as if nothing had struck; no import sent again whose id was known;",
        "at most two copies for each lost answer; every row accounted for.",
        f"Imports sent a second time, each after a lost answer: {chaos.again['imports']}.",
        f"Of the random moments, {chaos.again['cut off while sending']} came after the first import was sent.",
    ]
    if chaos.proven["terminated"]:
        lines.append(f"The slowest end after SIGTERM took {chaos.slowest_end_seconds:.1f} s.")
    return "\n".join([*lines, *(f"FAILED {each}" for each in chaos.failed)])


def main() -> int:
    """Everything, or what is asked for."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--double", type=int, default=50)
    parser.add_argument("--only", default="sweep,stopped,terminated,full,together,double,random")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun, expected, requests = uninterrupted(Path(folder))
        chaos = Chaos(Path(folder), begun, expected, requests, random.Random(options.seed))
        _say(f"seed {options.seed}; a run makes {len(requests)} requests for {len(AFTER)} rows")
        seconds: Counter[str] = Counter()
        for name in options.only.split(","):
            began = time.monotonic()
            count = {"random": (options.random,), "double": (options.double,)}.get(name, ())
            getattr(chaos, name)(*count)
            seconds[name] = round(time.monotonic() - began)
            _say(f"{name}: {chaos.proven[name]} made good in {seconds[name]} s")
        _say(_table(chaos, seconds))
    return 1 if chaos.failed else 0


if __name__ == "__main__":
    sys.exit(main())
