"""A Mailtrap that answers late: its limit of requests stays the limit, not the number of our hands."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assets.delivery import loop
from assets.delivery.loop import SENDERS, WAITING_AT_MOST, Timing
from assets.delivery.sending import Sender
from tests.assets.world import World, people, step_by_step


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


def deliver(world: World, slow: Slow, *, payloads: int) -> None:
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
