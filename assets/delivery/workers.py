"""Threads that do requests beside each other, and that never keep a process alive.

An executor of the standard library is waited for when Python ends, however long its requests take; a run that was told
to stop must end within seconds. Belongs here: the threads. Not here: what they do (`delivery`).
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any]]


class Workers:
    """A few daemon threads and the work that waits for them."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], T], *, hands: int) -> Future[T]:
        """Have this done by the next thread that is free; there is another one while there are fewer than `hands`."""
        future: Future[T] = Future()
        if len(self._threads) < hands:
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put((future, work))
        return future

    def close(self) -> None:
        """No more work comes; what is under way is left to itself."""
        for _ in self._threads:
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
                future.set_exception(error)
            del future, work, task
