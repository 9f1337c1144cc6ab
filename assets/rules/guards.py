"""Guards: what stops a run before anything is sent; and the law that every row is counted once.

Belongs here: judging counts. Not here: counting (`screening`, `comparison`) and stopping (`contacts`, `changes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from assets.rules.sync import Sync

OUTCOMES = (
    *("accepted", "unchanged", "stale", "rejected", "no_consent", "duplicate"),
    *("unsubscribed", "suppressed", "erased", "over_limit", "pending"),
)
"""Where a row can end; `read` is their sum, in every run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard says: a sentence when it stops the run."""

    guard: str
    stops: bool
    happened: str = ""
    remedy: str = ""


def too_few_rows(sync: Sync, *, read: int) -> Verdict:
    """`min_rows`: an empty or half-empty source must not pass for a whole one.

    A single day or bucket may well be empty: there the guard does not apply, `max_gone` protects the audience.
    """
    least = 0 if sync.source.partition is not None else sync.guards.min_rows
    return Verdict(
        "min_rows",
        read < least,
        f"The source of {sync.name} gave {read} rows; its guard min_rows expects at least {least}.",
        "Check the source. If so few rows are right, lower guards.min_rows in the sync file.",
    )


def too_many_rejected(sync: Sync, *, rejected: int, read: int) -> Verdict:
    """`max_rejected`: many refused rows are a broken source, not broken rows."""
    return Verdict(
        "max_rejected",
        sync.guards.max_rejected.exceeded(rejected, read),
        f"{rejected} of {read} rows were rejected; the guard max_rejected allows {sync.guards.max_rejected}.",
        "Look at the rejections by reason. If they are right, raise guards.max_rejected in the sync file.",
    )


def too_many_gone(sync: Sync, *, gone: int, told: int) -> Verdict:
    """`max_gone`: an audience must not be emptied because a source was half-loaded."""
    return Verdict(
        "max_gone",
        gone > 0 and sync.guards.max_gone.exceeded(gone, told),
        f"{gone} of {told} people are no longer in the source; the guard max_gone allows {sync.guards.max_gone}.",
        "Check that the source is whole. If they really left, raise guards.max_gone in the sync file.",
    )


def unaccounted(rows: Mapping[str, int]) -> int:
    """How many rows were read but not counted anywhere (below zero: counted twice)."""
    return rows.get("read", 0) - sum(rows.get(outcome, 0) for outcome in OUTCOMES)
