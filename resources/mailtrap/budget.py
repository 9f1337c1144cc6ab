"""How many requests are still allowed, who goes first, and how long the others wait. Pure.

Mailtrap counts requests in sliding windows by its own clock. We cannot see that clock, but we know that a request
arrives after it was granted and before its answer is back. So a request holds its place from the moment it is granted
until one window after its *answer*: whatever the latency, Mailtrap can then never count more than the limit. Where
the places are kept, so that all processes share them, is in `meter.py`.

Mailtrap's limits (https://docs.mailtrap.io, "Rate limits"): 200 requests in 60 s per account over all of contacts,
150 in 10 s per token over everything, 10 in 60 s per account for suppressions.
"""

import bisect
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Lane = Literal["erasure", "unsubscribe", "import", "poll", "event", "export"]
LANES: tuple[Lane, ...] = ("erasure", "unsubscribe", "import", "poll", "event", "export")
_PEOPLE: frozenset[Lane] = frozenset({"erasure", "unsubscribe"})
_LIMIT = re.compile(r"\s*(\d{1,7})\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float

    @property
    def margin_seconds(self) -> float:
        """What we wait longer than the window, for clocks that tick differently: 0.2 %."""
        return max(0.005, self.seconds * 0.002)

    @property
    def kept_for_people(self) -> int:
        """Places that bulk work leaves free (2 %), so that an erasure never waits behind a burst of it."""
        return self.requests // 50

    @property
    def holds_seconds(self) -> float:
        """How long a request keeps its place after its answer."""
        return self.seconds + self.margin_seconds

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


def parse_limit(text: str) -> Limit:
    """A limit as settings write it, requests/seconds: `200/60`."""
    match = _LIMIT.match(text)
    if not match or int(match[1]) < 1 or float(match[2]) <= 0:
        raise ValueError("A limit is written as requests/seconds, such as 200/60.")
    return Limit(int(match[1]), float(match[2]))


CONTACTS_LIMIT = Limit(200, 60.0)
TOKEN_LIMIT = Limit(150, 10.0)
SUPPRESSIONS_LIMIT = Limit(10, 60.0)


@dataclass(frozen=True, slots=True)
class Window:
    """One of Mailtrap's windows; the same name in every process that it covers."""

    name: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Limits:
    """The three limits as settings give them."""

    contacts: Limit = CONTACTS_LIMIT
    token: Limit = TOKEN_LIMIT
    suppressions: Limit = SUPPRESSIONS_LIMIT

    def token_window(self, origin: str, token: str) -> Window:
        """Everything that a token does; named by a hash, because the token itself is never kept."""
        digest = hashlib.sha256(b"mailtrap token window\0" + token.encode()).hexdigest()[:24]
        return Window(f"{origin} token {digest}", self.token)

    def contacts_window(self, origin: str, account_id: int) -> Window:
        """Everything that all tokens do with the contacts of an account."""
        return Window(f"{origin} account {account_id} contacts", self.contacts)

    def suppressions_window(self, origin: str, account_id: int) -> Window:
        """Everything that all tokens do with the suppressions of an account."""
        return Window(f"{origin} account {account_id} suppressions", self.suppressions)


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody who waits for a place; earlier `since` goes first within a lane."""

    ticket: str
    lane: Lane
    since: float


@dataclass(frozen=True, slots=True)
class Occupancy:
    """A window as it stands: when each place that is taken falls free, and until when Mailtrap has closed it."""

    window: Window
    free_at: Sequence[float]
    closed_until: float = 0.0


def turn(wait: Wait, *, now: float, window_seconds: float) -> tuple[float, float, str]:
    """Where somebody stands in the queue, smallest first: by lane, then by arrival.

    Two windows of waiting lift by one lane, so that nobody waits for ever; never above a person's request.
    """
    lane = LANES.index(wait.lane)
    lifted = max(0.0, now - wait.since) // (2 * window_seconds)
    return (lane if lane < 2 else max(2.0, lane - lifted), wait.since, wait.ticket)


def ahead_of(me: Wait, others: Sequence[Wait], *, now: float, window_seconds: float) -> int:
    """How many of the others have their turn before me."""
    mine = turn(me, now=now, window_seconds=window_seconds)
    return sum(turn(other, now=now, window_seconds=window_seconds) < mine for other in others)


def wait_seconds(place: Occupancy, *, lane: Lane, ahead: int, now: float) -> float:
    """How long until there is a place for one more, behind those `ahead`; 0 means now."""
    limit = place.window.limit
    allowed = limit.requests if lane in _PEOPLE else limit.requests - limit.kept_for_people
    free_at = sorted(place.free_at)
    busy = free_at[bisect.bisect_right(free_at, now) :]
    to_fall_free = len(busy) + ahead + 1 - allowed
    reopening = max(0.0, place.closed_until - now)
    if to_fall_free <= 0:
        return reopening
    if to_fall_free > len(busy):  # only those ahead are in the way; they will be gone in a moment
        return max(reopening, busy[-1] - now if busy else 0.0, limit.seconds / 100)
    return max(reopening, busy[to_fall_free - 1] - now)


def closed_seconds(limit: Limit, *, retry_after: float | None, chance: float) -> float:
    """How long a window stays closed after a real 429: what Mailtrap asks for, else one whole window; plus jitter.

    Without `Retry-After` the window is known: somebody else has filled it, and it is free again when it has passed.
    """
    asked = limit.seconds if retry_after is None else retry_after
    return asked + limit.margin_seconds + chance * min(1.0, limit.seconds / 20)


class Grant(Protocol):
    """Leave to send one request."""

    def answered(self) -> None:
        """The answer is back, or the connection is gone: the place falls free one window from now."""

    def unsent(self) -> None:
        """Nothing was sent: the place is free at once."""


class Budget(Protocol):
    """Where leave to send is had."""

    def acquire(self, windows: Sequence[Window], *, lane: Lane, patience_seconds: float) -> Grant:
        """Wait for a place in all the windows; `patience_seconds` is the longest that the request can take."""

    def close(self, window: Window, *, retry_after: float | None) -> None:
        """Mailtrap answered 429: nobody sends anything in this window for a while."""


@dataclass(frozen=True, slots=True)
class _Free:
    def answered(self) -> None:
        """Nothing to do."""

    def unsent(self) -> None:
        """Nothing to do."""


@dataclass(slots=True)
class Unlimited:
    """No limits at all, for tests of other things; after a 429 it only sleeps."""

    sleep: Callable[[float], None]

    def acquire(self, windows: Sequence[Window], *, lane: Lane, patience_seconds: float) -> Grant:  # noqa: ARG002
        """Leave, at once."""
        return _Free()

    def close(self, window: Window, *, retry_after: float | None) -> None:
        """Sleep in place of a window."""
        self.sleep(closed_seconds(window.limit, retry_after=retry_after, chance=0.0))
