"""One payload on its way: its body is sent, and the answer decides what becomes of its rows.

Belongs here: intent before the request, and what an acceptance, a refusal (422), a request too large (413) and a lost
answer mean for a payload. Not here: when payloads are sent (`delivery`), how a job ends (`awaiting`).
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.delivery.refusals import Refusal, write_refusals
from assets.rules import payload as payload_rules
from resources.errors import ConnectorError, ImportFailedError, RefusedError
from resources.journal import Delivery, Journal, Lease, Payload, PayloadState
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.complaints import RowProblem
from resources.mailtrap.wire import BodyTooLarge, ImportAccepted, ImportRefused, OutcomeUnknown

ROUNDS_OF_NAMES = 3
UNNAMED_AT_MOST = 100
LEAST_BYTES = 10_000
SLOW_SECONDS = 0.5
"""An answer that has not come by then holds up nobody: another payload is begun."""
ABOUT_THE_ACCOUNT = ("fields", "list_id")
"""Complaints that begin so are about fields and lists of the account, not about values of a row."""


class Sender:
    """Sends payloads of deliveries; safe to share between threads."""

    def __init__(
        self,
        client: MailtrapClient,
        journal: Journal,
        lake: Lake,
        *,
        lease: Lease,
        rows_at_most: int,
        bytes_at_most: int,
        still_fits: Callable[[Collection[int]], None],
        clock: Callable[[], float],
    ) -> None:
        self.client, self.journal, self.lake, self.lease = client, journal, lake, lease
        self.rows_at_most, self.bytes_at_most = rows_at_most, bytes_at_most
        """What a payload may hold; less once Mailtrap has said that it was too much."""
        self._still_fits = still_fits
        """Raises when the account has no longer the fields of the sync, or these lists."""
        self._clock = clock
        self._unanswered: dict[str, float] = {}
        """By payload: since when the whole of it is on its way."""
        self._unnamed = 0
        self._lock = threading.Lock()

    def waiting(self) -> int:
        """How many requests only wait for Mailtrap's answer, and have for a while."""
        since = self._clock() - SLOW_SECONDS
        return sum(at <= since for at in tuple(self._unanswered.values()))

    def send(self, delivery: Delivery, payload: Payload) -> list[Payload]:
        """Send it once; the payloads to go on with, each in its new state."""
        rows = self.lake.read_slice(delivery.path, ["json"], first=payload.first_row, rows=payload.rows)
        pieces = payload_rules.body(without(rows, payload)["json"])
        sha256, length = payload_rules.digest(pieces)
        del rows
        sending = [payload]

        def before_send() -> None:
            sending[0] = self.journal.mark(
                sending[0],
                "sending",
                lease=self.lease,
                attempts=payload.attempts + 1,
                body_sha256=sha256,
                body_bytes=length,
            )

        def uploaded() -> None:
            self._unanswered[payload.id] = self._clock()

        try:
            outcome = self.client.create_import(
                pieces, before_send=before_send, before_end=self.lease.check, uploaded=uploaded
            )
        except ConnectorError:
            # It was certainly not accepted: the client says so by raising instead of answering "unknown".
            if sending[0].state == "sending":
                self.journal.mark(sending[0], "planned", lease=self.lease)
            raise
        finally:
            self._unanswered.pop(payload.id, None)
        return self._after(delivery, sending[0], outcome)

    def _after(self, delivery: Delivery, payload: Payload, outcome: object) -> list[Payload]:
        match outcome:
            case ImportAccepted(job=job):
                return [self.journal.mark(payload, "submitted", lease=self.lease, import_id=job.id)]
            case OutcomeUnknown():
                return [self.journal.mark(payload, "unknown", lease=self.lease)]
            case BodyTooLarge():
                self.bytes_at_most = max(LEAST_BYTES, min(self.bytes_at_most, (payload.body_bytes or 0) // 2))
                return self._halve(delivery, payload, "the request is too large")
            case ImportRefused(rows=problems, base=base):
                return self._refused(delivery, payload, problems, base)
        raise AssertionError(f"an outcome that nobody handles: {type(outcome).__name__}")

    def _refused(
        self, delivery: Delivery, payload: Payload, problems: Sequence[RowProblem], base: Sequence[str]
    ) -> list[Payload]:
        """A 422: nothing was accepted. Named rows are refused, unnamed ones found by halving, `base` blames nobody."""
        about_all = [*base, *(each.words for each in problems if each.column == "base")]
        self._stop_if_nobody_is_to_blame(payload, " ".join(about_all).lower())
        if any("more than" in words for words in about_all):
            self.rows_at_most = max(1, min(self.rows_at_most, payload.sent_rows // 2))
        named = [each for each in problems if each.column != "base"]
        blamed = self._positions(delivery, payload, named) if payload.attempts <= ROUNDS_OF_NAMES else {}
        columns = {each.column for each in named}.union(about_all)
        if len(blamed) == payload.sent_rows or any(each.startswith(ABOUT_THE_ACCOUNT) for each in columns):
            self._look_at_the_account(delivery, payload)
        if not blamed:
            words = "; ".join(sorted({each.words for each in named})) or "; ".join(about_all)
            return self._halve(delivery, payload, words)
        self._reject(delivery, payload, blamed)
        return [self._left_out(payload, blamed)]

    def _stop_if_nobody_is_to_blame(self, payload: Payload, words: str) -> None:
        if "limit" in words and "reached" in words:
            self.journal.mark(payload, "failed", lease=self.lease, note="contacts limit reached")
            raise ImportFailedError(
                "Mailtrap refused an import: contacts limit reached.",
                f"The plan has no room; the {payload.sent_rows} contacts of this payload were not taken and nobody is blamed.",
                "Make room or raise the plan at Mailtrap, then run again: they are offered again.",
            )
        if "included and excluded" in words:
            self.journal.mark(payload, "planned", lease=self.lease)
            raise RefusedError(
                "Mailtrap refused an import: a list is both included and excluded.",
                "The sync file names one list twice under different names or ids.",
                "Mend `lists` in the sync file.",
                status=422,
            )

    def _look_at_the_account(self, delivery: Delivery, payload: Payload) -> None:
        """Before rows are blamed for it: a field or list may have gone since they were written down."""
        rows = self.lake.read_slice(delivery.path, ["list_ids"], first=payload.first_row, rows=payload.rows)
        try:
            self._still_fits(pc.unique(pc.list_flatten(rows["list_ids"])).to_pylist())
        except ConnectorError:
            self.journal.mark(payload, "planned", lease=self.lease)
            raise

    def _positions(
        self, delivery: Delivery, payload: Payload, named: Sequence[RowProblem]
    ) -> dict[int, tuple[str, str]]:
        """Where in the delivery the named addresses are; Mailtrap may name them in another case."""
        rows = self.lake.read_slice(delivery.path, ["email"], first=payload.first_row, rows=payload.rows)
        emails = pc.utf8_lower(rows["email"].combine_chunks())
        wanted = {each.email.strip().lower(): each for each in named}
        found = pc.index_in(pa.array(list(wanted), pa.string()), value_set=emails)
        return {
            payload.first_row + place: (each.column, each.words)
            for each, place in zip(wanted.values(), found.to_pylist(), strict=True)
            if place is not None and payload.first_row + place not in payload.left_out
        }

    def _left_out(self, payload: Payload, blamed: Mapping[int, tuple[str, str]]) -> Payload:
        left_out = sorted({*payload.left_out, *blamed})
        state: PayloadState = "refused" if len(left_out) == payload.rows else "planned"
        return self.journal.mark(payload, state, lease=self.lease, left_out=left_out)

    def _halve(self, delivery: Delivery, payload: Payload, words: str) -> list[Payload]:
        if payload.sent_rows > 1:
            halves = self.journal.split(payload, lease=self.lease)
            return [
                half if half.sent_rows else self.journal.mark(half, "refused", lease=self.lease)
                for half in halves
            ]
        self._count_unnamed(delivery, payload, words)
        every = range(payload.first_row, payload.first_row + payload.rows)
        blamed = {next(row for row in every if row not in payload.left_out): ("", words)}
        self._reject(delivery, payload, blamed)
        return [self._left_out(payload, blamed)]

    def _count_unnamed(self, delivery: Delivery, payload: Payload, words: str) -> None:
        """A few rows may be refused without being named; when it is all of them, the rows are not what is wrong."""
        with self._lock:
            self._unnamed += 1
            count = self._unnamed
        if count == 1:
            self._look_at_the_account(delivery, payload)
        if count <= UNNAMED_AT_MOST:
            return
        self.journal.mark(payload, "planned", lease=self.lease)
        raise RefusedError(
            f"Mailtrap refused more than {UNNAMED_AT_MOST} contacts one by one without naming them: {words or 'no words'}.",
            "Something is wrong with all of them, so the rest was not tried.",
            "Compare the sync's fields and lists with the account's, then run again.",
            status=422,
        )

    def _reject(self, delivery: Delivery, payload: Payload, blamed: Mapping[int, tuple[str, str]]) -> None:
        columns = ["source_key", "partition", "address_hash", "fingerprint"]
        rows = self.lake.read_slice(delivery.path, columns, first=payload.first_row, rows=payload.rows)
        places = sorted(blamed)
        found = rows.take(pa.array([place - payload.first_row for place in places], pa.int64())).to_pylist()
        refusals = [
            Refusal(**row, column=blamed[place][0], words=blamed[place][1])
            for place, row in zip(places, found, strict=True)
        ]
        name = f"{payload.id}-{payload.attempts}"
        version = delivery.facts["sync_version"]
        write_refusals(self.lake, delivery.sync, delivery.id, name=name, version=version, refusals=refusals)


def without(rows: pa.Table, payload: Payload) -> pa.Table:
    """The rows of a payload without those that Mailtrap refused."""
    if not payload.left_out:
        return rows
    keep = np.ones(rows.num_rows, bool)
    keep[np.asarray(payload.left_out) - payload.first_row] = False
    return rows.filter(pa.array(keep))
