"""Whether a schedule is a cron line that the scheduler understands: five fields, and a day that exists.

Strict on purpose: what is accepted here means the same to every cron; `@daily` and six fields do not.
"""

from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_IN_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FIELDS: Final[tuple[tuple[str, int, int, dict[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def cron_fault(line: str) -> tuple[str, str] | None:
    """What is wrong with a cron line, and what to do; None when nothing is."""
    if line.strip() in _NICKNAMES:
        return "is a nickname, not five fields.", f'Write "{_NICKNAMES[line.strip()]}".'
    parts = line.lower().split()
    if len(parts) != 5:
        return (
            f"has {len(parts)} fields, not five.",
            'Write minute, hour, day, month, weekday: "0 * * * *" is hourly.',
        )
    values = [
        _values(part, low, high, names) for part, (_, low, high, names) in zip(parts, _FIELDS, strict=True)
    ]
    for read, (field, low, high, _) in zip(values, _FIELDS, strict=True):
        if not read:
            return (
                f"has a {field} that is none.",
                f"Write {low} to {high}, a range like {low}-{high}, */n, or *.",
            )
    days, months, any_weekday = values[2], values[3], parts[4] == "*"
    if any_weekday and not any(day <= _DAYS_IN_MONTH[month - 1] for day in days for month in months):
        return "names a day that no such month has; it would never run.", "Choose another day or month."
    return None


def _values(part: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    ranges = [_range(item, low, high, names) for item in part.split(",")]
    return set().union(*ranges) if all(ranges) else set()


def _range(item: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    span, slash, step = item.partition("/")
    if slash and (not _is_number(step) or not 1 <= int(step) <= high):
        return set()
    first, dash, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
    start, end = _number(first, names), _number(last if dash else first, names)
    if start is None or end is None or not low <= start <= end <= high or (slash and not dash):
        return set()
    return set(range(start, end + 1, int(step) if slash else 1))


def _number(text: str, names: dict[str, int]) -> int | None:
    return int(text) if _is_number(text) else names.get(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 2
