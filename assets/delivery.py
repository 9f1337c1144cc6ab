"""Payloads on their way: cut, recorded, sent, awaited, proven; and taken up again after any crash.

One loop in one process holds the account's lease. The journal, not Dagster, knows where to go on: intent is written
before a request, an import whose id we hold is only ever asked about, a lost answer is looked into before anything is
sent again. Belongs here: the order of these steps. Not here: what Mailtrap's answers mean (`resources/mailtrap/wire`),
the records (`resources/journal`), which rows are pending (`pending`).
"""

import contextlib
import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets import evidence, ledger
from assets.refusals import Refusal, write_refusals
from assets.rules import payload as payload_rules
from resources.errors import (
    ConnectorError,
    ImportFailedError,
    RefusedError,
    UnfinishedError,
)
from resources.journal import IN_FLIGHT, UNSETTLED, Delivery, Journal, Lease, Payload, PayloadState
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.polls import PollPlan
from resources.mailtrap.wire import BodyTooLarge, ImportAccepted, ImportJob, ImportRefused, OutcomeUnknown

SENDERS = 4
IN_FLIGHT_AT_MOST = 100
SAMPLE = 5
ROUNDS_OF_NAMES = 3
LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
WAIT_FOR_ACCOUNT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes into a payload, and how long we wait."""

    rows_per_payload: int = payload_rules.ROWS_AT_MOST
    bytes_per_payload: int = 20_000_000
    poll_seconds: float | None = None
    deadline_seconds: float = 3600.0

    def look_seconds(self, looks: int) -> float | None:
        """How long to wait before the next look into a lost answer; None when we have looked long enough."""
        if looks >= len(LOOKS):
            return None
        return LOOKS[looks] * (1.0 if self.poll_seconds is None else min(1.0, self.poll_seconds))


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
    ambiguous: int = 0
    problems: list[ConnectorError] = field(default_factory=list)


@dataclass(slots=True)
class Watched:
    """A payload whose outcome is awaited."""

    payload: Payload
    due_at: float
    asked: int = 0
    since: float = 0.0


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
        stop: threading.Event | None = None,
        progress: Callable[[Delivery, Payload], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client, self.journal, self.lake, self.lease, self.pace = client, journal, lake, lease, pace
        self._stop = stop or threading.Event()
        self._progress = progress or (lambda _delivery, _payload: None)
        self._clock = clock
        self._polls = PollPlan(fixed_seconds=pace.poll_seconds, deadline_seconds=pace.deadline_seconds)
        self._resent: set[str] = set()
        self._halted: ConnectorError | None = None

    # What a run asks for

    def settle_former(self, account: str, *, except_path: str | None = None) -> list[tuple[Delivery, Told]]:
        """End what earlier runs left in flight: only asked about or looked into; what was not sent is offered anew."""
        ended = []
        for delivery in self.journal.open_deliveries(account):
            if delivery.path == except_path:
                continue
            told = Told()
            self._run(delivery, told, more=iter(()), resend_lost=False)
            if not self.journal.payloads(delivery, states=IN_FLIGHT):
                self.journal.close_delivery(delivery, state="left", lease=self.lease)
            ledger.merge(self.journal, self.lake, delivery.sync, lease=self.lease)
            ended.append((delivery, told))
        return ended

    def deliver(self, delivery: Delivery) -> Told:
        """Send what is left of a delivery and wait until all of it is settled."""
        told = Told()
        planned = self.journal.payloads(delivery, states=("planned",))
        self._run(delivery, told, more=self._payloads(delivery, planned), resend_lost=True)
        self._count_settled(delivery, told)
        if not self.journal.payloads(delivery, states=UNSETTLED):
            self.journal.close_delivery(delivery, state="done", lease=self.lease)
        ledger.merge(self.journal, self.lake, delivery.sync, lease=self.lease)
        return told

    # The loop

    def _run(self, delivery: Delivery, told: Told, *, more: Iterator[Payload], resend_lost: bool) -> None:
        queue: deque[Payload] = deque()
        watched = {each.id: self._watch(each) for each in self.journal.payloads(delivery, states=IN_FLIGHT)}
        busy: dict[Future[Any], str] = {}
        exhausted = False
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
            try:
                while True:
                    while len(busy) < SENDERS and len(watched) < IN_FLIGHT_AT_MOST and self._may_start():
                        following = queue.popleft() if queue else next(more, None)
                        exhausted = exhausted or following is None
                        if following is None:
                            break
                        busy[pool.submit(self._send, delivery, following)] = following.id
                    due = [each for each in watched.values() if each.due_at <= self._clock()]
                    for each in due[: SENDERS * 2 - len(busy)]:
                        del watched[each.payload.id]
                        busy[pool.submit(self._ask, delivery, each, told, resend_lost)] = each.payload.id
                    idle = (exhausted and not queue) or not self._may_start()
                    if not busy and (not watched or self._stop.is_set()) and idle:
                        break
                    self._collect(delivery, told, busy, watched, queue)
            except BaseException:
                self._stop.set()
                raise
        told.problems.extend(self._given_up(delivery, told))

    def _collect(
        self,
        delivery: Delivery,
        told: Told,
        busy: dict[Future[Any], str],
        watched: dict[str, Watched],
        queue: deque[Payload],
    ) -> None:
        """Wait for the next thing to happen and put every payload where it belongs now."""
        next_due = min((each.due_at for each in watched.values()), default=math.inf)
        patience = max(0.0, min(1.0, next_due - self._clock()))
        if not busy:
            self._stop.wait(patience)
            return
        done, _ = wait(busy, timeout=patience if watched else 1.0, return_when=FIRST_COMPLETED)
        for future in done:
            del busy[future]
            try:
                outcome = future.result()
            except ConnectorError as error:
                self._halted = self._halted or error
                told.problems.append(error)
                continue
            for each in outcome:
                if isinstance(each, Watched):
                    watched[each.payload.id] = each
                elif each.state == "planned":
                    queue.append(each)
                else:
                    self._progress(delivery, each)

    def _may_start(self) -> bool:
        return self._halted is None and not self._stop.is_set()

    # One payload: sending

    def _send(self, delivery: Delivery, payload: Payload) -> list[Payload | Watched]:
        rows = self.lake.read_slice(delivery.path, ["json"], first=payload.first_row, rows=payload.rows)
        pieces = payload_rules.body(_without(rows, payload)["json"])
        sha256, length = payload_rules.digest(pieces)
        del rows
        sending = [payload]

        def before_send() -> None:
            sending[0] = self.journal.mark(
                sending[0],
                "sending",
                lease=self.lease,
                attempts=sending[0].attempts + 1,
                body_sha256=sha256,
                body_bytes=length,
            )

        try:
            outcome = self.client.create_import(pieces, before_send=before_send)
        except ConnectorError:
            # It was certainly not accepted: the client says so by raising instead of answering "unknown".
            if sending[0].state == "sending":
                self.journal.mark(sending[0], "planned", lease=self.lease)
            raise
        return self._after_send(delivery, sending[0], outcome)

    def _after_send(self, delivery: Delivery, payload: Payload, outcome: object) -> list[Payload | Watched]:
        match outcome:
            case ImportAccepted(job=job):
                payload = self.journal.mark(payload, "submitted", lease=self.lease, import_id=job.id)
                self._progress(delivery, payload)
                return [self._watch(payload)]
            case OutcomeUnknown():
                return [self._watch(self.journal.mark(payload, "unknown", lease=self.lease))]
            case BodyTooLarge():
                return self._halve(delivery, payload, "the request is too large")
            case ImportRefused(rows=problems, base=base):
                return self._refused(delivery, payload, problems, base)
        raise AssertionError(f"an outcome that nobody handles: {type(outcome).__name__}")

    def _refused(
        self, delivery: Delivery, payload: Payload, problems: Sequence[Any], base: Sequence[str]
    ) -> list[Payload | Watched]:
        """A 422: nothing was accepted. Named rows are refused, unnamed ones are found by halving, `base` blames nobody."""
        about_all = [*base, *(each.words for each in problems if each.column == "base")]
        if any("limit" in words and "reached" in words for words in about_all):
            marked = self.journal.mark(payload, "failed", lease=self.lease, note="contacts limit reached")
            raise ImportFailedError(
                "Mailtrap refused an import: contacts limit reached.",
                f"The plan has no room; the {marked.sent_rows} contacts of this payload were not taken and nobody is blamed.",
                "Make room or raise the plan at Mailtrap, then run again: they are offered again.",
            )
        if any("included and excluded" in words for words in about_all):
            self.journal.mark(payload, "planned", lease=self.lease)
            raise RefusedError(
                "Mailtrap refused an import: a list is both included and excluded.",
                "The sync file names one list twice under different names or ids.",
                "Mend `lists` in the sync file.",
                status=422,
            )
        named = [each for each in problems if each.column != "base"]
        blamed = self._positions(delivery, payload, named) if payload.attempts <= ROUNDS_OF_NAMES else {}
        if not blamed:
            words = "; ".join(sorted({each.words for each in named})) or "; ".join(base)
            return self._halve(delivery, payload, words)
        self._reject(delivery, payload, blamed)
        left_out = sorted({*payload.left_out, *blamed})
        state: PayloadState = "refused" if len(left_out) == payload.rows else "planned"
        return [self.journal.mark(payload, state, lease=self.lease, left_out=left_out)]

    def _positions(
        self, delivery: Delivery, payload: Payload, named: Sequence[Any]
    ) -> dict[int, tuple[str, str]]:
        """Where in the delivery the named addresses are; Mailtrap may name them in another case."""
        rows = self.lake.read_slice(delivery.path, ["email"], first=payload.first_row, rows=payload.rows)
        emails = rows["email"].combine_chunks()
        blamed: dict[int, tuple[str, str]] = {}
        wanted = {each.email.strip().lower(): each for each in named}
        found = pc.index_in(pa.array(list(wanted), pa.string()), value_set=emails)
        for each, place in zip(wanted.values(), found.to_pylist(), strict=True):
            if place is not None and payload.first_row + place not in payload.left_out:
                blamed[payload.first_row + place] = (each.column, each.words)
        return blamed

    def _halve(self, delivery: Delivery, payload: Payload, words: str) -> list[Payload | Watched]:
        if payload.sent_rows > 1:
            first, second = self.journal.split(payload, lease=self.lease)
            return [half for half in (first, second) if half.sent_rows] + self._empty_halves(first, second)
        place = next(
            row
            for row in range(payload.first_row, payload.first_row + payload.rows)
            if row not in payload.left_out
        )
        self._reject(delivery, payload, {place: ("", words)})
        left_out = sorted({*payload.left_out, place})
        return [self.journal.mark(payload, "refused", lease=self.lease, left_out=left_out)]

    def _empty_halves(self, *halves: Payload) -> list[Payload | Watched]:
        return [self.journal.mark(half, "refused", lease=self.lease) for half in halves if not half.sent_rows]

    def _reject(self, delivery: Delivery, payload: Payload, blamed: Mapping[int, tuple[str, str]]) -> None:
        rows = self.lake.read_slice(
            delivery.path,
            ["source_key", "partition", "address_hash"],
            first=payload.first_row,
            rows=payload.rows,
        )
        refusals = []
        for place, (column, words) in sorted(blamed.items()):
            row = rows.slice(place - payload.first_row, 1).to_pylist()[0]
            hashed = row["address_hash"]
            refusals.append(Refusal(row["source_key"], row["partition"], hashed, column, words))
        write_refusals(
            self.lake, delivery.sync, delivery.id, name=f"{payload.id}-{payload.attempts}", refusals=refusals
        )

    # One payload: awaiting

    def _watch(self, payload: Payload) -> Watched:
        now = self._clock()
        if payload.state == "submitted":
            first = self._polls.next_poll_seconds(rows=payload.sent_rows, waited_seconds=0.0, polls=0)
            return Watched(payload, now + first, since=now)
        return Watched(payload, now + (self.pace.look_seconds(0) or 0.0), since=now)

    def _ask(
        self, delivery: Delivery, watched: Watched, told: Told, resend_lost: bool
    ) -> list[Payload | Watched]:
        if watched.payload.state == "submitted":
            return self._ask_job(delivery, watched, told)
        return self._look(delivery, watched, told, resend_lost)

    def _ask_job(self, delivery: Delivery, watched: Watched, told: Told) -> list[Payload | Watched]:
        payload = watched.payload
        job = self.client.get_import(payload.import_id or 0)
        watched.asked += 1
        waited = self._clock() - watched.since
        match self._polls.verdict(job, waited_seconds=waited):
            case "done" if job is not None:
                self._polls.learn(rows=payload.sent_rows, seconds=waited, polls=watched.asked)
                return [self._finished(delivery, payload, job, told)]
            case "failed":
                told.problems.append(_failed(payload))
                return [self.journal.mark(payload, "failed", lease=self.lease, note="Mailtrap gave up")]
            case "lost":
                return self._lost(delivery, payload, told)
            case "overdue":
                return []  # it stays submitted: the next run asks again
        watched.due_at = self._clock() + self._polls.next_poll_seconds(
            rows=payload.sent_rows, waited_seconds=waited, polls=watched.asked
        )
        return [watched]

    def _lost(self, delivery: Delivery, payload: Payload, told: Told) -> list[Payload | Watched]:
        """Mailtrap does not know an id that it gave us: its contacts say whether it was carried out."""
        seen = self._seen(delivery, payload)
        if seen and all(seen):
            return [self._receive(delivery, payload, note="import not found, contacts found applied")]
        told.problems.append(
            UnfinishedError(
                f"Mailtrap does not know import {payload.import_id} any more, and its contacts are not there.",
                "None of them counts as told.",
                "Run again: they are offered again. If it happens twice, ask Mailtrap's support about this import.",
            )
        )
        return [self.journal.mark(payload, "failed", lease=self.lease, note="import not found")]

    def _finished(self, delivery: Delivery, payload: Payload, job: ImportJob, told: Told) -> Payload:
        counts = {
            "created_count": job.created_count,
            "updated_count": job.updated_count,
            "over_limit_count": job.over_limit_count,
        }
        problem = _does_not_add_up(payload, job)
        if problem is not None:
            told.problems.append(problem)
            note = "over limit" if job.over_limit_count else "counts do not add up"
            return self.journal.mark(payload, "failed", lease=self.lease, note=note, **counts)
        return self._receive(delivery, payload, **counts)

    def _receive(self, delivery: Delivery, payload: Payload, **counts: Any) -> Payload:
        """The receipt: evidence and ledger part are written, then the journal makes them count."""
        rows = _without(
            self.lake.read_slice(
                delivery.path, evidence.PENDING_COLUMNS, first=payload.first_row, rows=payload.rows
            ),
            payload,
        )
        imports = pa.repeat(pa.scalar(payload.import_id, pa.int64()), rows.num_rows)
        evidence.keep(self.lake, delivery, payload, rows=rows)
        part = ledger.write_part(self.lake, delivery.sync, rows.append_column("import_id", imports))
        return self.journal.finish(payload, sync=delivery.sync, part_path=part, lease=self.lease, **counts)

    # One payload: a lost answer

    def _look(
        self, delivery: Delivery, watched: Watched, told: Told, resend_lost: bool
    ) -> list[Payload | Watched]:
        """Whether Mailtrap has what the lost request said, judged by a few contacts that it should have changed."""
        payload = watched.payload
        if payload.state == "sending":
            payload = watched.payload = self.journal.mark(payload, "unknown", lease=self.lease)
        told.ambiguous += watched.asked == 0
        if not delivery.facts.get("resend"):
            seen = self._seen(delivery, payload)
            watched.asked += 1
            if seen and all(seen):
                return [self._receive(delivery, payload, note="answer lost, found applied")]
            patience = self.pace.look_seconds(watched.asked)
            if patience is not None:
                watched.due_at = self._clock() + patience
                return [watched]
        if resend_lost and payload.id not in self._resent:
            self._resent.add(payload.id)
            return [self.journal.mark(payload, "planned", lease=self.lease, note="answer lost, sent again")]
        if not resend_lost:
            # Nothing of it was applied, and its rows are offered anew by the comparison that follows.
            return [self.journal.mark(payload, "failed", lease=self.lease, note="answer lost, not applied")]
        return []

    def _seen(self, delivery: Delivery, payload: Payload) -> list[bool]:
        rows = _without(
            self.lake.read_slice(
                delivery.path, ["email", "json"], first=payload.first_row, rows=payload.rows
            ),
            payload,
        )
        places = np.unique(np.linspace(0, rows.num_rows - 1, min(SAMPLE, rows.num_rows), dtype=np.int64))
        return [self._is_applied(row["email"], row["json"]) for row in rows.take(places).to_pylist()]

    def _is_applied(self, email: str, contact_json: str) -> bool:
        contact = self.client.get_contact(email)
        if contact is None:
            return False
        wanted = json.loads(contact_json[1:])
        lists = set(contact.list_ids or ())
        return (
            all(_same(contact.fields.get(tag), value) for tag, value in (wanted.get("fields") or {}).items())
            and lists.issuperset(wanted.get("list_ids_included") or ())
            and lists.isdisjoint(wanted.get("list_ids_excluded") or ())
        )

    # Cutting and counting

    def _payloads(self, delivery: Delivery, planned: Sequence[Payload]) -> Iterator[Payload]:
        """The payloads that are recorded but not sent, then new ones cut from the rest of the file."""
        yield from planned
        every = self.journal.payloads(delivery)
        position = max((each.first_row + each.rows for each in every), default=0)
        while position < delivery.rows:
            rows = self.lake.read_slice(
                delivery.path,
                ["json"],
                first=position,
                rows=min(self.pace.rows_per_payload, payload_rules.ROWS_AT_MOST),
            )
            lengths = pc.binary_length(rows["json"]).to_numpy()
            count = payload_rules.rows_that_fit(
                lengths,
                rows_per_payload=self.pace.rows_per_payload,
                bytes_per_payload=self.pace.bytes_per_payload,
            )
            yield self.journal.plan_payload(delivery, first_row=position, rows=count, lease=self.lease)
            position += count

    def _count_settled(self, delivery: Delivery, told: Told) -> None:
        """The numbers of a delivery, from the journal: right in whichever run they came about."""
        for payload in self.journal.payloads(delivery):
            if payload.state == "split" or payload.attempts == 0:
                continue
            told.payloads += 1
            if payload.import_id is not None:
                told.imports.append(payload.import_id)
            rows = self.lake.read_slice(
                delivery.path, ["partition", "change"], first=payload.first_row, rows=payload.rows
            )
            places = [place - payload.first_row for place in payload.left_out]
            refused = rows.take(pa.array(places, pa.int64()))  # an empty list alone would be of type null
            told.rejected.update(refused["partition"].to_pylist())
            if payload.state == "finished":
                kept = _without(rows, payload)
                is_gone = pc.equal(kept["change"], "gone")
                told.gone.update(_value_counts(kept.filter(is_gone)["partition"]))
                told.accepted.update(_value_counts(kept.filter(pc.invert(is_gone))["partition"]))
            elif payload.state == "failed":
                told.over_limit += payload.over_limit_count or 0

    def _given_up(self, delivery: Delivery, told: Told) -> Iterator[ConnectorError]:
        waiting = len(self.journal.payloads(delivery, states=IN_FLIGHT))
        if waiting and not told.problems:
            yield UnfinishedError(
                f"{waiting} imports are not finished yet.",
                "We stopped waiting; nothing of them counts as told.",
                "Run again: they are asked about, not sent again.",
            )


def _without(rows: pa.Table, payload: Payload) -> pa.Table:
    """The rows of a payload without those that Mailtrap refused."""
    if not payload.left_out:
        return rows
    keep = np.ones(rows.num_rows, bool)
    keep[np.asarray(payload.left_out) - payload.first_row] = False
    return rows.filter(pa.array(keep))


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}


def _same(theirs: object, ours: object) -> bool:
    if isinstance(ours, float) or isinstance(theirs, float):
        with contextlib.suppress(TypeError, ValueError):
            return math.isclose(float(theirs), float(ours), rel_tol=1e-9)  # type: ignore[arg-type]
    return theirs == ours or (theirs is not None and ours is not None and str(theirs) == str(ours))


def _failed(payload: Payload) -> ImportFailedError:
    return ImportFailedError(
        f"Mailtrap gave up on import {payload.import_id} ({payload.sent_rows} contacts).",
        "It says no reason; none of these contacts counts as told.",
        "Run again: they are offered again. If it happens twice, ask Mailtrap's support about this import.",
    )


def _does_not_add_up(payload: Payload, job: ImportJob) -> ImportFailedError | None:
    if job.adds_up(payload.sent_rows) and not job.over_limit_count:
        return None
    if job.over_limit_count:
        return ImportFailedError(
            f"Import {job.id} left {job.over_limit_count} of {payload.sent_rows} contacts out: over the plan's limit.",
            "Mailtrap does not say which, so none of them counts as told.",
            "Make room or raise the plan at Mailtrap, then run again.",
        )
    return ImportFailedError(
        f"Import {job.id} is finished, but its counts do not add up to the {payload.sent_rows} contacts sent.",
        "Some may have been dropped; none of them counts as told.",
        "Run again, and run `drift` to see what Mailtrap has.",
    )
