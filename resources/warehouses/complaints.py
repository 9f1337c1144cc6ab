"""What can be wrong with a source, in the words of the person who named it.

Here: one function for each complaint, and the border where a driver's exception ends. A message names tables,
columns, files and codes, never a value of a row and never a password: a driver's own words are not repeated,
because they quote both.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from resources.errors import ConnectorError, WarehouseError

Item = TypeVar("Item")
Translate = Callable[[Exception], WarehouseError]

_SECRET_PARAMETER = re.compile(r"(?i)([?&][^=&#]*(?:pass|pwd|token|secret|key|credential|sig)[^=&#]*=)[^&#]*")
_PASSWORD = re.compile(r"(://[^:/@?#]*):.*@")
_LONE_SECRET = re.compile(r"(://)[^/?#]*@")


FILES_REMEDY = "Point CONTACTS_WAREHOUSE at files:///folder (or s3://bucket/folder), or name a table."


def masked(url: str) -> str:
    """The URL without passwords, tokens and keys; safe in a message."""
    shown = _SECRET_PARAMETER.sub(r"\1***", url)
    if _PASSWORD.search(shown):
        return _PASSWORD.sub(r"\1:***@", shown)
    return _LONE_SECRET.sub(r"\1***@", shown) if shown.count("@") > 1 else shown


def nearest(name: str, known: Iterable[str], *, show: int = 3) -> str:
    """A sentence with the known names that look most like `name`, or nothing."""
    by_folded = {each.casefold(): each for each in known}
    short = {each.rsplit(".", 1)[-1]: each for each in by_folded}
    wanted = name.replace('"', "").casefold()
    found = difflib.get_close_matches(wanted, by_folded, n=show, cutoff=0.6)
    found += [
        short[each]
        for each in difflib.get_close_matches(wanted.rsplit(".", 1)[-1], short, n=show, cutoff=0.6)
    ]
    names = [by_folded[each] for each in dict.fromkeys(found)][:show]
    return f"Nearest: {', '.join(names)}." if names else ""


def table_not_found(name: str, known: Sequence[str]) -> WarehouseError:
    """There is no such table or view, or this user may not see it."""
    return WarehouseError(
        f"Table {name} was not found in the warehouse.",
        nearest(name, known) or f"The warehouse shows {len(known)} tables and views to this user.",
        "Correct `table:` in the sync file, or grant this user the right to see the table.",
    )


def table_ambiguous(name: str, known: Sequence[str]) -> WarehouseError:
    """The name fits more than one table."""
    return WarehouseError(
        f"Table {name} is not one table: {', '.join(sorted(known)[:5])} all fit.",
        remedy="Name it with its schema, in quotes where capitals matter.",
    )


def column_missing(missing: Sequence[str], known: Sequence[str], *, relation: str) -> WarehouseError:
    """The relation has no such columns."""
    hints = " ".join(f"{nearest(name, known)}" for name in missing[:1]).strip()
    names = ", ".join(missing[:10])
    return WarehouseError(
        f"{_as_beginning(relation)} has no column {names}.",
        hints or f"It has {len(known)} columns: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}.",
        "Correct the column in the sync file, or add it to the table.",
    )


def no_permission(
    what: str, *, grant: str = "Grant the warehouse user SELECT on it (and USAGE on its schema)."
) -> WarehouseError:
    """The warehouse knows it, and will not let this user read it."""
    return WarehouseError(
        f"This user may not read {what}.", "The warehouse refused for want of permission.", grant
    )


def cannot_connect(url: str, why: str, *, remedy: str, transient: bool = True) -> WarehouseError:
    """Nobody answered, or the door stayed shut."""
    return WarehouseError(
        f"Cannot connect to the warehouse {masked(url)}: {why}.",
        "Nothing was read.",
        remedy,
        outcome="transient" if transient else "config",
    )


def connection_lost(warehouse: str, code: str) -> WarehouseError:
    """The connection broke while rows were coming in."""
    return WarehouseError(
        f"The connection to {warehouse} was lost in mid-stream ({code}).",
        "What was read so far is not the whole table and is thrown away.",
        "Run it again.",
        outcome="transient",
    )


def came_short(warehouse: str, *, rows: int, expected: int) -> WarehouseError:
    """The warehouse announced another number of rows than it delivered."""
    return WarehouseError(
        f"{warehouse} delivered {rows} of the {expected} rows that it announced.",
        "What was read is not the whole table and is thrown away.",
        "Run it again.",
        outcome="transient",
    )


def too_slow(seconds: float) -> WarehouseError:
    """The statement ran longer than it may."""
    return WarehouseError(
        f"The warehouse did not finish the statement within {seconds:g} seconds.",
        "It was cancelled, and nothing of it is kept.",
        "Make the source smaller (partition the sync, or point it at a table instead of a query), "
        "or raise statement_timeout_seconds of the warehouse resource.",
        outcome="transient",
    )


def not_a_day(column: str, native: str) -> WarehouseError:
    """A partition by day needs a column that knows days."""
    return WarehouseError(
        f"Column {column} is {native}, which cannot be cut into days.",
        "A partition by day needs a date or timestamp column.",
        "Name another `updated_at:`, cast the column in a view or `query:`, or partition by bucket.",
    )


def query_refused(reason: str) -> WarehouseError:
    """The query cannot be run as a source."""
    return WarehouseError(
        f"The query of the source was refused: {reason}.",
        "A source is one SELECT that reads and changes nothing.",
        "Correct `query:` in the sync file, or make it a view and name that as `table:`.",
    )


def not_readable(relation: str, warehouse: str, *, remedy: str) -> WarehouseError:
    """This kind of warehouse has no such kind of relation."""
    return WarehouseError(f"{warehouse} cannot read {relation}.", remedy=remedy)


def values_refused(warehouse: str, code: str) -> WarehouseError:
    """A value in the data made the statement fail."""
    return WarehouseError(
        f"{warehouse} could not compute the rows of the source ({code}).",
        "A value in the data does not fit what the source does with it, for example a cast in a query or view.",
        "Run the source's SELECT in the warehouse to see the value, and mend the row or the query.",
        outcome="data",
    )


def out_of_memory(warehouse: str, *, remedy: str) -> WarehouseError:
    """The statement needs more memory than it may take."""
    return WarehouseError(
        f"{warehouse} needs more memory for the source than its limit allows.",
        "The source sorts, joins or groups more than fits; reading a table needs little, whatever its size.",
        remedy,
    )


def driver_missing(package: str, *, extra: str) -> WarehouseError:
    """The optional driver of this warehouse is not installed."""
    return WarehouseError(
        f"The Python package {package} is not installed.",
        "This warehouse needs it; it comes as an extra, so that nobody installs what they do not use.",
        f"pip install 'mailtrap-contacts[{extra}]'",
    )


def unexpected(warehouse: str, code: str) -> WarehouseError:
    """Something that has no better name; the driver's own words may hold data and are not repeated."""
    return WarehouseError(
        f"{warehouse} failed in a way that we do not know ({code}).",
        "Its own words are not repeated here, because they may hold people's data.",
        "Run the source's SELECT in the warehouse itself to see the message.",
        outcome="unknown",
    )


def _as_beginning(words: str) -> str:
    return words[:1].upper() + words[1:] if words.startswith(("table ", "the ", "asset ")) else words


def code_of(error: BaseException) -> str:
    """A name for an exception that holds no data."""
    return type(error).__name__


@contextmanager
def border(translate: Translate) -> Iterator[None]:
    """What the driver raises inside leaves as `WarehouseError`, without the driver's words."""
    try:
        yield
    except ConnectorError:
        raise
    except Exception as error:  # noqa: BLE001 - drivers raise whatever they like, and all of it may hold data
        raise translate(error) from None


def guarded(items: Iterable[Item], translate: Translate) -> Iterator[Item]:
    """The same items; the driver's errors on the way are translated, the consumer's are left alone."""
    iterator = iter(items)
    while True:
        with border(translate):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
