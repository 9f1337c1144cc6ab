"""Payloads on their way: cut, recorded, sent, awaited, proven; and taken up again after any crash.

One loop in one process holds the account's lease. The journal, not Dagster, knows where to go on: intent is written
before a request, an import whose id we hold is only ever asked about, a lost answer is looked into before anything is
sent again. Belongs here: the order of these steps. Not here: what becomes of one payload (`sending`, `awaiting`), the
records (`resources/journal`), which rows are pending (`pending`).
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.delivery import ledger
from assets.delivery.awaiting import ANSWER_LOST, Awaiter, Settled, Watched
from assets.delivery.sending import SLOW_SECONDS, Sender, without
from assets.delivery.workers import Workers
from assets.rules import payload as payload_rules
from resources.errors import ConnectorError, UnfinishedError
from resources.journal import IN_FLIGHT, LEASE_SECONDS, UNSETTLED, Delivery, Journal, Lease, Payload
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.polls import PollPlan

SENDERS = 3
WAITING_AT_MOST = 16
"""So many requests more, while as many only wait for an answer: each holds its body in memory."""
IN_FLIGHT_AT_MOST = 1_000
"""Jobs that take ten minutes still leave no request of a minute unused."""
LENGTHS_AHEAD = 4 * payload_rules.ROWS_AT_MOST
"""The lengths of so many rows are read at once: whole row groups of a file of pending contacts."""
LAST_ANSWERS_SECONDS = 2.0
WAIT_FOR_ACCOUNT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes into a payload, and how long we wait."""

    rows_per_payload: int = payload_rules.ROWS_AT_MOST
    bytes_per_payload: int = 20_000_000
    poll_seconds: float | None = None
    deadline_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How a run tells time, waits, and is told to stop; `sleep` also ends when it is told to."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lease_seconds: float = LEASE_SECONDS


@dataclass(slots=True)
class Told:
    """What one delivery achieved, in numbers and ids."""

    accepted: Counter[str] = field(default_factory=Counter)
    """Contacts proven to be with Mailtrap, per partition."""
    gone: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    over_limit: int = 0
    payloads: int = 0
    imports: list[int] = field(default_factory=list)
    attempts: int = 0
    ambiguous: int = 0
    problems: list[ConnectorError] = field(default_factory=list)


@dataclass(slots=True)
class _Round:
    """One delivery under way."""

    delivery: Delivery
    told: Told
    more: Iterator[Payload]
    former: bool
    workers: Workers
    queue: deque[Payload] = field(default_factory=deque)
    watched: dict[str, Watched] = field(default_factory=dict)
    busy: set[Future[Any]] = field(default_factory=set)
    scout: Future[Any] | None = None
    exhausted: bool = False
    halted: bool = False


class Delivering:
    """The loop over one account; make one per run, use it under the account's lease."""

    def __init__(
        self,
        client: MailtrapClient,
        journal: Journal,
        lake: Lake,
        *,
        lease: Lease,
        pace: Pace,
        timing: Timing | None = None,
        still_fits: Callable[[Collection[int]], None] = lambda _: None,
    ) -> None:
        self.journal, self.lake, self.lease = journal, lake, lease
        timing = timing or Timing()
        self._stop, self._clock, self._sleep = timing.stop, timing.clock, timing.sleep or timing.stop.wait
        self._sender = Sender(
            client,
            journal,
            lake,
            lease=lease,
            rows_at_most=min(pace.rows_per_payload, payload_rules.ROWS_AT_MOST),
            bytes_at_most=pace.bytes_per_payload,
            still_fits=still_fits,
            clock=self._clock,
        )
        self._awaiter = Awaiter(
            client=client,
            journal=journal,
            lake=lake,
            lease=lease,
            polls=PollPlan(fixed_seconds=pace.poll_seconds, deadline_seconds=pace.deadline_seconds),
            poll_seconds=pace.poll_seconds,
        )
        self._sent_again: set[str] = set()

    # What a run asks for

    def settle_former(self, account: str) -> Iterator[tuple[Delivery, Told]]:
        """End what earlier runs left in flight: only asked about or looked into; what was not sent is offered anew.

        A delivery is closed when the caller asks for the next one: so its numbers are kept before it is forgotten.
        """
        for delivery in self.journal.open_deliveries(account):
            told = Told()
            if self.lake.exists(delivery.path):
                self._run(delivery, told, more=iter(()), former=True)
                self._count(delivery, told)
            else:
                self._give_up(delivery)
            yield delivery, told
            self.close(delivery)

    def deliver(self, delivery: Delivery, told: Told) -> None:
        """Send a delivery and wait until all of it is settled; `told` is right however this ends."""
        try:
            self._run(delivery, told, more=self._payloads(delivery), former=False)
        finally:
            with suppress(ConnectorError):
                self._count(delivery, told)

    def close(self, delivery: Delivery) -> None:
        """End a delivery of which nothing is in flight; what was not sent of it is left to the next comparison."""
        if self.journal.payloads(delivery, states=IN_FLIGHT):
            return
        left = self.journal.payloads(delivery, states=UNSETTLED)
        self.journal.close_delivery(delivery, state="left" if left else "done", lease=self.lease)
        bucket = delivery.facts.get("bucket")
        ledger.merge(self.journal, self.lake, delivery.sync, lease=self.lease, bucket=bucket)

    # The loop

    def _run(self, delivery: Delivery, told: Told, *, more: Iterator[Payload], former: bool) -> None:
        turn = _Round(delivery, told, more, former, Workers(name="mailtrap"))
        for payload in self.journal.payloads(delivery, states=IN_FLIGHT):
            self._watch(turn, payload)
        try:
            while not self._stop.is_set() and (self._start(turn) or turn.busy or turn.watched):
                self._collect(turn)
            if self._stop.is_set():
                self._wait_for_answers(turn)
        except ConnectorError as error:
            self._halt(turn, error)
            self._wait_for_answers(turn)
        except BaseException:
            # Told to stop: answers that come at once are still recorded, the others are looked into by the next run.
            self._stop.set()
            told.problems.append(told_to_stop())
            self._wait_for_answers(turn)
            raise
        finally:
            turn.workers.close()
        self._note_unfinished(turn)

    def _start(self, turn: _Round) -> bool:
        """Give the workers what can be done now; says whether there is more to send."""
        hands = SENDERS + min(self._sender.waiting(), WAITING_AT_MOST)
        while self._may_send(turn) and len(turn.busy) < hands and len(turn.watched) < IN_FLIGHT_AT_MOST:
            following = turn.queue.popleft() if turn.queue else next(turn.more, None)
            if following is None:
                turn.exhausted = True
                break
            turn.busy.add(turn.workers.submit(partial(self._send, turn.delivery, following), hands=hands))
        for each in self._due(turn):
            if len(turn.busy) >= hands + SENDERS:
                break
            del turn.watched[each.payload.id]
            asked = turn.workers.submit(partial(self._ask, turn, each), hands=hands)
            turn.busy.add(asked)
            turn.scout = asked if each.is_new else turn.scout
        return self._may_send(turn)

    def _may_send(self, turn: _Round) -> bool:
        return not (turn.halted or self._stop.is_set()) and not (turn.exhausted and not turn.queue)

    def _due(self, turn: _Round) -> list[Watched]:
        """What is to be asked about now; a job that was never asked about is put off when others took longer."""
        if self._stop.is_set():
            return []
        now = self._clock()
        due = [each for each in self._askable(turn) if each.due_at <= now]
        for each in due:
            self._awaiter.put_off(each, now=now)
        return [each for each in due if each.due_at <= now]

    def _askable(self, turn: _Round) -> list[Watched]:
        """While nobody knows how long jobs take, one of the new ones at a time, and each in turn: one may be stuck."""
        watched = list(turn.watched.values())
        if self._awaiter.knows_the_pace:
            return watched
        new = [] if turn.scout in turn.busy else [each for each in watched if each.is_new]
        scout = min(new, key=lambda each: (each.asked, each.since), default=None)
        return [each for each in watched if each is scout or not each.is_new]

    def _collect(self, turn: _Round) -> None:
        """Wait for the next thing to happen and put every payload where it belongs now."""
        next_due = min((each.due_at for each in self._askable(turn)), default=math.inf)
        patience = max(0.001, min(SLOW_SECONDS, next_due - self._clock()))
        if not turn.busy:
            self._sleep(patience)
            return
        done, _ = wait(turn.busy, timeout=patience, return_when=FIRST_COMPLETED)
        for future in done:
            turn.busy.discard(future)
            try:
                results = future.result()
            except ConnectorError as error:
                self._halt(turn, error)
                continue
            for each in results:
                self._place(turn, each)

    def _place(self, turn: _Round, each: Payload | Watched | Settled) -> None:
        if isinstance(each, Settled):
            if each.problem is not None:
                turn.told.problems.append(each.problem)
        elif isinstance(each, Watched):
            turn.watched[each.payload.id] = each
        elif each.state == "planned":
            turn.queue.appendleft(each)  # halves of halves first: a bad row is found before others are begun
        elif each.state in IN_FLIGHT:
            self._watch(turn, each)

    def _watch(self, turn: _Round, payload: Payload) -> None:
        turn.watched[payload.id] = self._awaiter.first(payload, now=self._clock(), former=turn.former)

    def _halt(self, turn: _Round, error: ConnectorError) -> None:
        """Nothing more is sent; what is in flight is still awaited."""
        turn.halted = True
        turn.told.problems.append(error)

    def _wait_for_answers(self, turn: _Round) -> None:
        wait(turn.busy, timeout=LAST_ANSWERS_SECONDS)

    def _send(self, delivery: Delivery, payload: Payload) -> list[Payload]:
        return self._sender.send(delivery, payload)

    def _ask(self, turn: _Round, watched: Watched) -> list[Watched | Payload | Settled]:
        payload = watched.payload
        may_resend = not turn.former and payload.id not in self._sent_again
        found = self._awaiter.ask(turn.delivery, watched, now=self._clock(), may_resend=may_resend)
        if isinstance(found, Payload):
            self._sent_again.add(payload.id)
        return [found]

    def _note_unfinished(self, turn: _Round) -> None:
        with suppress(ConnectorError):
            waiting = len(self.journal.payloads(turn.delivery, states=IN_FLIGHT))
            if self._stop.is_set():
                turn.told.problems.append(told_to_stop())
            elif waiting and not turn.told.problems:
                turn.told.problems.append(unfinished(waiting))

    # Cutting and counting

    def _payloads(self, delivery: Delivery) -> Iterator[Payload]:
        """The rows of a delivery, cut as they are needed."""
        position, sizes = 0, np.empty(0, np.int64)
        while position < delivery.rows:
            most = self._sender.rows_at_most
            if len(sizes) < min(most, delivery.rows - position):
                ahead = max(most, LENGTHS_AHEAD)
                rows = self.lake.read_slice(delivery.path, ["json_bytes"], first=position, rows=ahead)
                sizes = rows["json_bytes"].to_numpy()
            count = payload_rules.rows_that_fit(
                sizes, rows_per_payload=most, bytes_per_payload=self._sender.bytes_at_most
            )
            yield self.journal.plan_payload(delivery, first_row=position, rows=count, lease=self.lease)
            position, sizes = position + count, sizes[count:]

    def _count(self, delivery: Delivery, told: Told) -> None:
        """The numbers of a delivery, from the journal: right in whichever run they came about."""
        tried = []
        for payload in self.journal.payloads(delivery):
            lost = payload.state in ("sending", "unknown") or (payload.note or "").startswith(ANSWER_LOST)
            told.ambiguous += lost
            told.attempts += payload.attempts
            if payload.state != "split" and payload.attempts > 0:
                tried.append(payload)
        slices = ((each.first_row, each.rows) for each in tried)
        rows = self.lake.read_slices(delivery.path, ["partition", "change"], slices)
        for payload, its_rows in zip(tried, rows, strict=True):
            self._count_payload(payload, its_rows, told)

    def _count_payload(self, payload: Payload, rows: pa.Table, told: Told) -> None:
        told.payloads += 1
        if payload.import_id is not None:
            told.imports.append(payload.import_id)
        places = [place - payload.first_row for place in payload.left_out]
        refused = rows.take(pa.array(places, pa.int64()))  # an empty list alone would be of type null
        of_rows = refused.filter(pc.not_equal(refused["change"], "gone"))  # who left has no row any more
        told.rejected.update(of_rows["partition"].to_pylist())
        if payload.state == "finished":
            kept = without(rows, payload)
            is_gone = pc.equal(kept["change"], "gone")
            told.gone.update(_value_counts(kept.filter(is_gone)["partition"]))
            told.accepted.update(_value_counts(kept.filter(pc.invert(is_gone))["partition"]))
        elif payload.state == "failed":
            told.over_limit += payload.over_limit_count or 0

    def _give_up(self, delivery: Delivery) -> None:
        """The file of a delivery is gone: nobody can know any more who was in its imports, so they are offered anew."""
        for payload in self.journal.payloads(delivery, states=IN_FLIGHT):
            self.journal.mark(payload, "failed", lease=self.lease, note="its file is gone")


def unfinished(count: int) -> UnfinishedError:
    """Some imports are still at work."""
    return UnfinishedError(
        f"{count} imports are not finished yet.",
        "We stopped waiting; nothing of them counts as told.",
        "Run again: they are asked about, not sent again.",
    )


def told_to_stop() -> UnfinishedError:
    """Somebody ended the run."""
    return UnfinishedError(
        "The run was told to stop.",
        "What was proven is recorded; what is under way is looked into by the next run.",
        "Run again: it goes on where this one stopped.",
    )


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}
