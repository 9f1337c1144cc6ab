"""One payload that was sent: is its job done, was a lost answer a yes, and the receipt that proves it.

Belongs here: judging a job's answers, looking into a lost answer, and writing the receipt. Not here: when to ask
(`loop`), sending (`sending`).
"""

import contextlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.delivery import evidence, ledger
from assets.delivery.sending import without
from resources.errors import ConnectorError, ImportFailedError, UnfinishedError
from resources.journal import Delivery, Journal, Lease, Payload
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.polls import PollPlan
from resources.mailtrap.wire import Contact, ImportJob

SAMPLE = 5
ASKED_FOR_COUNTS = 4
LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
CLOCKS_DIFFER_SECONDS = 900.0
GIVEN_UP_AFTER_SECONDS = 7 * 86_400.0
"""An import that is not finished by then never will be: its contacts are offered again."""
ANSWER_LOST = "answer lost"
RECEIPTS_AT_ONCE = 3
"""Each holds a payload's rows and the two files that are made of them, also when threads wait for answers in a crowd."""
TOLD_COLUMNS = ["address_hash", "email", "json"]


@dataclass(slots=True)
class Watched:
    """A payload whose outcome is awaited."""

    payload: Payload
    due_at: float
    since: float
    asked: int = 0
    former: bool = False
    """Sent by an earlier run: how long its job has taken says nothing about others."""

    @property
    def is_new(self) -> bool:
        """Whether it is a job of this run, that others can be compared with."""
        return self.payload.state == "submitted" and not self.former


@dataclass(frozen=True, slots=True)
class Settled:
    """A payload that needs no more waiting in this run, and what was wrong with it."""

    payload: Payload
    problem: ConnectorError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaiter:
    """Asks about payloads of deliveries; safe to share between threads."""

    client: MailtrapClient
    journal: Journal
    lake: Lake
    lease: Lease
    polls: PollPlan
    poll_seconds: float | None = None
    _receiving: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(RECEIPTS_AT_ONCE), init=False, repr=False
    )

    def first(self, payload: Payload, *, now: float, former: bool) -> Watched:
        """When to ask for the first time."""
        if payload.state != "submitted":
            return Watched(payload, now + (self._look_seconds(0) or 0.0), now, former=former)
        if (
            former
        ):  # its deadline began when it was sent, so that what never ends holds up one run, not every one
            since = now - max(0.0, self.journal.seconds_since_sent(payload))
            return Watched(payload, now, since, former=True)
        wait = self._first_poll_seconds(payload, waited_seconds=0.0)
        return Watched(payload, now + wait, now)

    @property
    def knows_the_pace(self) -> bool:
        """Whether a job of this run was ever found done, or somebody has said how often to ask."""
        return self.poll_seconds is not None or self.polls.pace.learned

    def put_off(self, watched: Watched, *, now: float) -> None:
        """Leave a job alone for longer, when others have lately taken longer; later only one that was never asked about."""
        compares = watched.asked == 0 or not self.knows_the_pace
        if watched.is_new and compares and self.poll_seconds is None:
            longer = self._first_poll_seconds(watched.payload, waited_seconds=now - watched.since)
            watched.due_at = now + longer

    def _first_poll_seconds(self, payload: Payload, *, waited_seconds: float) -> float:
        return self.polls.next_poll_seconds(rows=payload.sent_rows, waited_seconds=waited_seconds, polls=0)

    def ask(
        self, delivery: Delivery, watched: Watched, *, now: float, may_resend: bool
    ) -> Watched | Payload | Settled:
        """Ask once: watched further, a payload to send again, or settled."""
        if watched.payload.state == "submitted":
            return self._ask_job(delivery, watched, now=now)
        return self._look(delivery, watched, now=now, may_resend=may_resend)

    # A job

    def _ask_job(self, delivery: Delivery, watched: Watched, *, now: float) -> Watched | Settled:
        payload, waited = watched.payload, now - watched.since
        job = self.client.get_import(payload.import_id or 0)
        watched.asked += 1
        match self.polls.verdict(job, waited_seconds=waited):
            case "done" if job is not None:
                if job.accounted is None and watched.asked < ASKED_FOR_COUNTS:  # they may come a moment later
                    watched.due_at = now + LOOKS[min(watched.asked, len(LOOKS) - 1)]
                    return watched
                if not watched.former:
                    self.polls.learn(rows=payload.sent_rows, seconds=waited, polls=watched.asked)
                return self._finished(delivery, payload, job)
            case "failed":
                note = "Mailtrap gave up"
                return Settled(
                    self.journal.mark(payload, "failed", lease=self.lease, note=note), gave_up(payload)
                )
            case "lost":
                return self._lost(delivery, payload)
            case "overdue" if waited >= GIVEN_UP_AFTER_SECONDS:
                note = "never finished"
                return Settled(
                    self.journal.mark(payload, "failed", lease=self.lease, note=note), never_finished(payload)
                )
            case "overdue":
                return Settled(payload)  # it stays submitted: the next run asks again
        pause = self.polls.next_poll_seconds(
            rows=payload.sent_rows, waited_seconds=waited, polls=watched.asked
        )
        watched.due_at = now + pause
        return watched

    def _lost(self, delivery: Delivery, payload: Payload) -> Settled:
        """Mailtrap does not know an id that it gave us: its contacts say whether it was carried out."""
        if self._is_applied(payload, self._rows(delivery, payload, TOLD_COLUMNS)):
            return Settled(self._receive(delivery, payload, note="import not found, contacts found applied"))
        failed = self.journal.mark(payload, "failed", lease=self.lease, note="import not found")
        return Settled(failed, _unknown_import(payload))

    def _finished(self, delivery: Delivery, payload: Payload, job: ImportJob) -> Settled:
        counts = {
            "created_count": job.created_count,
            "updated_count": job.updated_count,
            "over_limit_count": job.over_limit_count,
        }
        problem = does_not_add_up(payload, job)
        if problem is None:
            return Settled(self._receive(delivery, payload, **counts))
        note = "over limit" if job.over_limit_count else "counts do not add up"
        return Settled(self.journal.mark(payload, "failed", lease=self.lease, note=note, **counts), problem)

    def _receive(self, delivery: Delivery, payload: Payload, **counts: Any) -> Payload:
        """The receipt: evidence and ledger part are written, then the journal makes them count."""
        with self._receiving:
            rows = self._without_erased(self._rows(delivery, payload, evidence.PENDING_COLUMNS))
            imports = pa.repeat(pa.scalar(payload.import_id, pa.int64()), rows.num_rows)
            evidence.keep(self.lake, delivery, payload, rows=rows)
            told = rows.append_column("import_id", imports)
            part = ledger.write_part(
                self.lake, delivery.sync, told, bucket=delivery.facts.get("bucket"), delivery=delivery.id
            )
        return self.journal.finish(payload, sync=delivery.sync, part_path=part, lease=self.lease, **counts)

    # A lost answer

    def _look(
        self, delivery: Delivery, watched: Watched, *, now: float, may_resend: bool
    ) -> Watched | Payload | Settled:
        """Whether Mailtrap has what the lost request said, judged by a few contacts that it should have changed."""
        payload = watched.payload
        if payload.state == "sending":
            payload = watched.payload = self.journal.mark(payload, "unknown", lease=self.lease)
        rows = self._rows(delivery, payload, TOLD_COLUMNS)
        if not delivery.facts.get("resend"):  # a full resend changes nothing that could be seen
            if self._is_applied(payload, rows):
                return Settled(self._receive(delivery, payload, note=f"{ANSWER_LOST}, found applied"))
            watched.asked += 1
            patience = self._look_seconds(watched.asked)
            if patience is not None and self._without_erased(rows).num_rows:
                watched.due_at = now + patience
                return watched
        if may_resend and not self._has_tombstones(rows):
            return self.journal.mark(payload, "planned", lease=self.lease, note=f"{ANSWER_LOST}, sent again")
        if watched.former or may_resend:  # its rows are offered anew by the comparison that follows
            note = f"{ANSWER_LOST}, not applied"
            return Settled(self.journal.mark(payload, "failed", lease=self.lease, note=note))
        return Settled(payload)  # it stays unknown: the next run looks again

    def _look_seconds(self, looks: int) -> float | None:
        """How long to wait before the next look into a lost answer; None when we have looked long enough."""
        if looks >= len(LOOKS):
            return None
        return LOOKS[looks] * (1.0 if self.poll_seconds is None else min(1.0, self.poll_seconds))

    def _is_applied(self, payload: Payload, rows: pa.Table) -> bool:
        """Asks about a few of them; where only erased people are left nobody is asked about, and nothing is proven."""
        rows = self._without_erased(rows)
        places = np.unique(np.linspace(0, rows.num_rows - 1, min(SAMPLE, rows.num_rows), dtype=np.int64))
        since = (payload.sent_at or 0.0) - CLOCKS_DIFFER_SECONDS
        return len(places) > 0 and all(self._has(row, since=since) for row in rows.take(places).to_pylist())

    def _has(self, row: Mapping[str, str], *, since: float) -> bool:
        contact = self.client.get_contact(row["email"])
        return contact is not None and is_as_told(contact, json.loads(row["json"][1:]), since=since)

    def _rows(self, delivery: Delivery, payload: Payload, columns: Sequence[str]) -> pa.Table:
        rows = self.lake.read_slice(delivery.path, columns, first=payload.first_row, rows=payload.rows)
        return without(rows, payload)

    def _without_erased(self, rows: pa.Table) -> pa.Table:
        """Rows of a backup without people whom Mailtrap has deleted since: they are asked about, and told, no more.

        Whose erasure has only begun stays: it must know that no import can bring them back before it deletes them.
        """
        deleted = [each for each, state in self.journal.tombstones().items() if state != "begun"]
        return rows.filter(pc.invert(_is_one_of(rows, deleted))) if deleted else rows

    def _has_tombstones(self, rows: pa.Table) -> bool:
        return bool(pc.any(_is_one_of(rows, list(self.journal.tombstones()))).as_py())


def _is_one_of(rows: pa.Table, hashes: Sequence[bytes]) -> pa.ChunkedArray:
    own = pc.cast(rows["address_hash"].combine_chunks().storage, pa.binary(16))
    return pc.is_in(own, value_set=pa.array(hashes, pa.binary(16)))


def is_as_told(contact: Contact, wanted: Mapping[str, Any], *, since: float) -> bool:
    """Whether a contact is as an import said, and became so lately: people who always were prove nothing."""
    if contact.updated_at is not None and contact.updated_at.timestamp() < since:
        return False
    lists = set(contact.list_ids or ())
    return (
        all(_same(contact.fields.get(tag), value) for tag, value in (wanted.get("fields") or {}).items())
        and lists.issuperset(wanted.get("list_ids_included") or ())
        and lists.isdisjoint(wanted.get("list_ids_excluded") or ())
    )


def _same(theirs: object, ours: object) -> bool:
    if isinstance(ours, float) or isinstance(theirs, float):
        with contextlib.suppress(TypeError, ValueError):
            return math.isclose(float(theirs), float(ours), rel_tol=1e-9)  # type: ignore[arg-type]
    return theirs == ours or (theirs is not None and ours is not None and str(theirs) == str(ours))


def never_finished(payload: Payload) -> ImportFailedError:
    """A week has gone by."""
    return ImportFailedError(
        f"Mailtrap has not finished import {payload.import_id} ({payload.sent_rows} contacts) in a week.",
        "We ask about it no longer; none of these contacts counts as told.",
        "Nothing: they are offered again. Ask Mailtrap's support what became of this import.",
    )


def gave_up(payload: Payload) -> ImportFailedError:
    """Mailtrap's status is `failed`."""
    return ImportFailedError(
        f"Mailtrap gave up on import {payload.import_id} ({payload.sent_rows} contacts).",
        "It says no reason; none of these contacts counts as told.",
        "Run again: they are offered again. If it happens twice, ask Mailtrap's support about this import.",
    )


def does_not_add_up(payload: Payload, job: ImportJob) -> ImportFailedError | None:
    """What is wrong with the counts of a finished job, if anything."""
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


def _unknown_import(payload: Payload) -> UnfinishedError:
    return UnfinishedError(
        f"Mailtrap does not know import {payload.import_id} any more, and its contacts are not there.",
        "None of them counts as told.",
        "Run again: they are offered again. If it happens twice, ask Mailtrap's support about this import.",
    )
