"""A Mailtrap that answers late: its limit of requests stays the limit, not the number of our hands."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets.delivery import loop
from assets.delivery.loop import SENDERS, WAITING_AT_MOST, Timing
from assets.delivery.sending import SLOW_SECONDS, Sender
from assets.partitions import WHOLE
from tests.assets.world import World, people, problems, step_by_step


class Slow(httpx.BaseTransport):
    """Answers an import when as many are under way as are waited for, or when nobody comes any more."""

    def __init__(self, inner: httpx.BaseTransport, *, crowd: int, reads_first: bool, patience: float) -> None:
        self._inner, self._reads_first, self._patience = inner, reads_first, patience
        self._crowd = crowd
        self._changed = threading.Condition()
        self._here, self.most = 0, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Others than imports are answered at once."""
        if request.method == "POST" and request.url.path.endswith("/contacts/imports"):
            if self._reads_first:
                request.read()
            self._wait()
        return self._inner.handle_request(request)

    def _wait(self) -> None:
        with self._changed:
            self._here += 1
            self.most = max(self.most, self._here)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._crowd, timeout=self._patience)
            self._here -= 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Payloads of one person each."""
    made = World(tmp_path, rows_per_payload=1)
    yield made
    made.close()


def deliver(world: World, slow: httpx.BaseTransport, *, payloads: int) -> None:
    """A run through this transport, on the machine's clock."""
    client = world.new_client(transport=slow)

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        world.mailtrap.clock.sleep(seconds)

    timing = Timing(clock=time.monotonic, sleep=sleep, stop=world.stop)
    sent = step_by_step(
        client, world.store, world.sync, rows={"all": people(payloads)}, run_id="slow", timing=timing
    )
    client.close()
    assert sent.rows["accepted"] == payloads
    assert len(world.imports()) == payloads


def test_more_are_sent_while_others_only_wait_for_their_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a bound: each holds its body in memory. Who has an answer waits no more."""
    senders: list[Sender] = []

    def made(*args: Any, **more: Any) -> Sender:
        senders.append(Sender(*args, **more))
        return senders[-1]

    monkeypatch.setattr(loop, "Sender", made)
    crowd = SENDERS + WAITING_AT_MOST
    slow = Slow(world.mailtrap.transport(), crowd=crowd, reads_first=True, patience=30)
    deliver(world, slow, payloads=crowd)
    assert slow.most == crowd
    assert senders and not any(each.waiting() for each in senders)


def test_a_slow_line_is_not_shared_by_more(world: World) -> None:
    """While bodies are still on their way, more of them would only make each slower."""
    slow = Slow(world.mailtrap.transport(), crowd=SENDERS + 1, reads_first=False, patience=0.8)
    deliver(world, slow, payloads=2 * SENDERS)
    assert slow.most <= SENDERS


class FirstAskedSlowly(httpx.BaseTransport):
    """Answers the first question about an import when another one comes, or when none has for a while."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self._asked, self._another = threading.Lock(), threading.Event()
        self.waited_alone = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Everything else is answered at once."""
        if request.method == "GET" and "/contacts/imports/" in request.url.path:
            if self._asked.acquire(blocking=False):
                self.waited_alone = not self._another.wait(3 * SLOW_SECONDS)
            else:
                self._another.set()
        return self._inner.handle_request(request)


def test_one_import_is_asked_about_while_nobody_knows_how_long_they_take(world: World) -> None:
    """Also when its answer takes its time: the others would most likely be asked in vain."""
    slow = FirstAskedSlowly(world.mailtrap.transport())
    deliver(world, slow, payloads=8)
    assert slow.waited_alone


LEASE_SECONDS = 20
"""Less than a request may take."""


class TakenOver(httpx.BaseTransport):
    """Stops the run while its first import is on its way, for so long that another one holds the account."""

    def __init__(self, world: World, holding: ExitStack) -> None:
        self._world, self._holding = world, holding
        self._inner = world.mailtrap.transport()
        self._stopped = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """All but the import goes its way."""
        if request.method == "POST" and request.url.path.endswith("/contacts/imports") and not self._stopped:
            self._stopped = True
            self._world.mailtrap.clock.sleep(LEASE_SECONDS + 1)
            account = f"account:{self._world.mailtrap.account.id}"
            self._holding.enter_context(self._world.store.journal.lease(account))
        return self._inner.handle_request(request)


def test_a_run_that_was_stopped_does_not_end_the_request_that_another_has_taken_over(tmp_path: Path) -> None:
    """When it wakes; the other one looks whether Mailtrap has it, and finds what it will find for good."""
    world = World(tmp_path)
    with ExitStack() as holding:
        client = world.new_client(transport=TakenOver(world, holding))
        timing = replace(world.timing, lease_seconds=LEASE_SECONDS)
        stopped = step_by_step(
            client, world.store, world.sync, rows={WHOLE: people(3)}, run_id="stopped", timing=timing
        )
        client.close()
        assert any("no longer holds" in each for each in problems(stopped))
        assert world.imports() == []
    assert world.run(people(3)).rows["accepted"] == 3
    assert len(world.imports()) == 1
    world.close()
