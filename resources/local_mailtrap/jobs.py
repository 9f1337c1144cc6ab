"""Work that Mailtrap does later: created, started, finished or failed, at times that are known beforehand.

Belongs here: a job's times and states, and doing what is due. Not here: what an import or an export does.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["created", "started", "finished", "failed"]
NEVER = math.inf


@dataclass(slots=True)
class Job:
    """One import or export. `work` is done in small steps, so that a server can answer in between."""

    id: int
    created_at: float
    starts_at: float
    finishes_at: float
    works_at: float
    work: Callable[["Job"], Iterator[None]]
    fails: bool = False
    done: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    content: bytes | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def status(self, now: float) -> Status:
        """Where the job is; it is not finished before its work is done."""
        if now < self.starts_at:
            return "created"
        if now < self.finishes_at or not self.done:
            return "started"
        return "failed" if self.fails else "finished"

    def updated_at(self, now: float) -> float:
        """When its status last changed."""
        status = self.status(now)
        return (
            self.created_at
            if status == "created"
            else self.starts_at
            if status == "started"
            else self.finishes_at
        )


class Queue:
    """Jobs whose work waits for its time, done one after the other in the order of their times."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._current: tuple[Job, Iterator[None]] | None = None

    def add(self, job: Job) -> None:
        """Put a job in line."""
        self._waiting.append(job)

    def next_at(self) -> float:
        """When the next work is due."""
        return min((job.works_at for job in self._waiting), default=NEVER)

    def step(self, now: float) -> bool:
        """Do a little of what is due; False when nothing is. Whoever calls next goes on with the same job."""
        if self._current is None:
            if self.next_at() > now:
                return False
            job = min(self._waiting, key=lambda each: (each.works_at, each.id))
            self._waiting.remove(job)
            self._current = job, iter(()) if job.fails else job.work(job)
        job, steps = self._current
        if next(steps, steps) is steps:
            job.done, self._current = True, None
        return True
