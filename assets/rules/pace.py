"""How long what is left will take: from what the account's limit still allows, and from how it has gone so far.

Pure arithmetic, and its words. Not here: keeping to the limit (`resources/mailtrap/meter`), counting what is done
(`assets/progress`).
"""

REQUESTS_PER_PAYLOAD = 2
"""One POST, one GET that finds it finished."""


def waiting_seconds(requests: int, *, left: int, per_window: int, window_seconds: float) -> float:
    """How long the last of so many requests has to wait for its turn: the first ones go at once."""
    return max(requests - left, 0) * window_seconds / per_window


def seconds_left(*, done: int, rows: int, elapsed_seconds: float, waiting_seconds: float) -> float | None:
    """When the rest will be done if it goes on as it went, but not before the limit allows; None: nobody knows yet."""
    if not done:
        return None
    return max((rows - done) * elapsed_seconds / done, waiting_seconds if rows > done else 0.0)


def in_words(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
