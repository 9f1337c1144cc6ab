"""When to ask how a job is doing. Pure: it is told what was seen, and answers with a wait.

The cheapest poll is the one that finds the job finished. So the first comes when jobs of that size have lately been
finished, a little earlier each time that this works, and later at once when it did not: about one poll in nine is
in vain. Together with the POST that makes some 2.1 requests for each payload of a large sync. Where there are many
payloads the oldest is asked about more often while nothing is known yet: what it teaches is worth more than it costs.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

Verdict = Literal["wait", "done", "failed", "lost", "overdue"]
DEADLINE_SECONDS = 3600.0
_SHORTEST_SECONDS = 1.0
_ROWS_PER_SECOND_AT_FIRST = 200_000.0
_LONGEST_SECONDS = 300.0
_GRACE_SECONDS = 60.0
_SOONER, _LATER = 0.95, 1.05
_OFTEN, _SELDOM = 0.3, 1.5
_IN_VAIN_AT_MOST = 0.05  # of the jobs


class Job(Protocol):
    """What import jobs and exports have in common."""

    @property
    def done(self) -> bool:
        """Finished."""

    @property
    def failed(self) -> bool:
        """Given up."""


class _Settings(Protocol):
    @property
    def poll_seconds(self) -> float | None: ...

    @property
    def job_deadline_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long jobs have lately taken. A job of n rows is expected to take `seconds(n)`."""

    seconds_per_row: float = 1 / _ROWS_PER_SECOND_AT_FIRST
    learned: bool = False

    def seconds(self, rows: int) -> float:
        """How long after its start a job of so many rows is worth asking about."""
        return _SHORTEST_SECONDS + rows * self.seconds_per_row

    def after(self, *, rows: int, seconds: float, polls: int) -> "Pace":
        """The pace, wiser by a job that was found finished `seconds` after its start, at its poll number `polls`."""
        if rows < 1:
            return self
        if polls <= 1:
            return Pace(self.seconds_per_row * _SOONER, learned=True)
        return Pace(max(self.seconds_per_row * _SOONER, _per_row(rows, seconds) * _LATER), learned=True)

    def at_least(self, *, rows: int, seconds: float) -> "Pace":
        """The pace, wiser by a job that is not worth asking about before `seconds` after its start."""
        if rows < 1:
            return self
        return Pace(max(self.seconds_per_row, _per_row(rows, seconds)), learned=self.learned)


def _per_row(rows: int, seconds: float) -> float:
    return max(0.0, seconds - _SHORTEST_SECONDS) / rows


class PollPlan:
    """The pace of a whole run, for any number of jobs in flight."""

    def __init__(
        self,
        *,
        fixed_seconds: float | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        pace: Pace | None = None,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._fixed_seconds = fixed_seconds
        self._pace = pace or Pace()
        self._jobs = self._in_vain = 0

    @classmethod
    def of(cls, settings: _Settings) -> "PollPlan":
        """The plan that CONTACTS_POLL_SECONDS and CONTACTS_JOB_DEADLINE_SECONDS ask for."""
        return cls(fixed_seconds=settings.poll_seconds, deadline_seconds=settings.job_deadline_seconds)

    @property
    def pace(self) -> Pace:
        """What has been learned so far."""
        return self._pace

    def next_poll_seconds(self, *, rows: int, waited_seconds: float, polls: int) -> float:
        """How long from now until the next poll of a job that started `waited_seconds` ago and was polled `polls` times.

        Never beyond the deadline. Asking after a poll says that it was in vain, which the plan remembers. So with
        several jobs in flight, ask once more before the first poll of each: what was learned from one puts off the
        others. Until one was found done, ask about one at a time, and about another each time.
        """
        left = max(0.0, self.deadline_seconds - waited_seconds)
        if self._fixed_seconds is not None:
            return min(self._fixed_seconds, left)
        if polls == 0:
            self._jobs += waited_seconds == 0
            return min(left, max(0.0, self._pace.seconds(rows) - waited_seconds))
        self._in_vain += 1
        is_worth_it = self._pace.learned or rows < 1 or self._in_vain <= self._jobs * _IN_VAIN_AT_MOST
        again = waited_seconds * (_OFTEN if is_worth_it else _SELDOM)
        pause = max(_SHORTEST_SECONDS / 2, min(again, _LONGEST_SECONDS))
        if polls == 1 or not self._pace.learned:  # later on, one that takes long is a matter of its own
            self._pace = self._pace.at_least(rows=rows, seconds=waited_seconds + pause)
        return min(left, pause)

    def learn(self, *, rows: int, seconds: float, polls: int) -> None:
        """A job was found finished."""
        self._pace = self._pace.after(rows=rows, seconds=seconds, polls=polls)

    def verdict(self, job: Job | None, *, waited_seconds: float) -> Verdict:
        """What to make of a poll's answer. Anything but "finished" and "failed" means "not yet", until the deadline.

        `None` is a 404: a just-made job may not be known everywhere at once, so that it is `lost` only later.
        """
        if job is not None and job.failed:
            return "failed"
        if job is not None and job.done:
            return "done"
        if job is None and waited_seconds >= min(_GRACE_SECONDS, self.deadline_seconds):
            return "lost"
        return "overdue" if waited_seconds >= self.deadline_seconds else "wait"
