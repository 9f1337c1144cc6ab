"""When to ask again, and how long to wait first. Pure: it is told what came back, and answers.

Two facts decide: whether the request can have been processed, and whether processing it twice would matter.
A refusal that is certain (429, or nothing was sent) may always be repeated; a lost answer only when the
request is one that changes nothing the second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

LONGEST_RETRY_AFTER_SECONDS = 60.0  # no window of Mailtrap's is longer: what asks for more is mistaken
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 20.0
_TOO_BUSY = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read whole and within bounds; never shown, because a body can hold people's data."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, bytes={len(self.body)})"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing usable came back. `unsent`: Mailtrap cannot have received the whole request. `lost`: it may have."""

    kind: Literal["unsent", "lost"]
    reason: str


def retry_after_seconds(headers: Mapping[str, str], *, now: float) -> float | None:
    """The wait that `Retry-After` asks for (seconds or a date), capped; None when absent or garbage.

    A date is taken against the answer's own `Date`, because the server's clock and ours may differ by hours.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_SECONDS)
    until, since = _moment(text), _moment(headers.get("date", ""))
    if until is None:
        return None
    seconds = until - (now if since is None else since)
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None


def may_repeat(result: Answer | NoAnswer, *, safe: bool) -> bool:
    """Whether asking again can neither do something twice nor be in vain."""
    if isinstance(result, NoAnswer):
        return safe or result.kind == "unsent"
    if result.status == 429:
        return True
    return safe and (result.status in _TOO_BUSY or result.status >= 500)


def may_have_been_processed(result: Answer | NoAnswer) -> bool:
    """Whether Mailtrap may have done what we asked although we cannot know it."""
    if isinstance(result, NoAnswer):
        return result.kind == "lost"
    return result.status == 408 or result.status >= 500


def pause_seconds(result: Answer | NoAnswer, attempt: int, *, now: float, chance: float) -> float:
    """How long to wait before attempt number `attempt + 1`; `chance` in [0, 1) spreads those who wait together."""
    asked = None
    if isinstance(result, Answer):
        asked = retry_after_seconds(result.headers, now=now)
        if result.status == 429:
            return asked or 0.0  # the budget knows when its window opens again
    if asked is not None:
        return asked + chance * min(1.0, asked * 0.1)
    backoff = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10))
    return float(backoff * (0.5 + chance / 2))
