"""The local Mailtrap's clock: the machine's, or a virtual one that moves only when it is told to.

Belongs here: what time it is, and how it is moved. Not here: what happens when time has passed (`engine.py`).
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class Clock:
    """Seconds since 1970; `advance` moves it, and nothing moves it back."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks, self._ahead = ticks, 0.0

    @property
    def is_virtual(self) -> bool:
        """Whether time stands still between two calls of `advance`."""
        return False

    def time(self) -> float:
        """The time now."""
        return self._ticks() + self._ahead

    def advance(self, seconds: float) -> float:
        """Let time pass at once."""
        if seconds < 0:
            raise ValueError("time does not go back: give a number of seconds that is not negative")
        self._ahead += seconds
        return self.time()

    def sleep(self, seconds: float) -> None:
        """What a client in a test takes for `time.sleep`: it only advances this clock."""
        self.advance(max(0.0, seconds))

    def milliseconds(self) -> int:
        """The time now as Mailtrap writes it for contacts."""
        return round(self.time() * 1000)


class VirtualClock(Clock):
    """Stands still at `start` until it is advanced: the same script always sees the same times."""

    def __init__(self, start: float = START) -> None:
        super().__init__(lambda: start)

    @property
    def is_virtual(self) -> bool:
        """Yes."""
        return True


def real_clock() -> Clock:
    """The machine's clock, which an admin can put ahead."""
    return Clock(time.time)


def iso_milliseconds(seconds: float) -> str:
    """As imports and exports write times: 2026-04-28T12:40:45.519Z."""
    text = datetime.fromtimestamp(round(seconds * 1000) / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def iso_seconds(seconds: float) -> str:
    """As suppressions write times: 2025-06-27T07:56:17Z."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
