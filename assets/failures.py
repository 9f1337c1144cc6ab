"""Errors as Dagster's failures: the one place that decides whether a run is tried again.

A failure that a retry cannot help carries `allow_retries=False`, and the run the tag that run retries read. Messages
have three parts and no personal data; a cause is never chained, because Dagster stores causes too. An error that nobody
foresaw is told by its type and its place alone: its text may quote a row.
"""

import functools
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from resources.errors import ConnectorError

RUN_RETRY = "dagster/retry_on_asset_or_op_failure"
F = TypeVar("F", bound=Callable[..., Any])


def told_to_dagster(body: F) -> F:
    """An asset body whose errors reach Dagster as failures that say what to do."""
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def generator(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from body(*args, **kwargs)
            except (dg.Failure, dg.RetryRequested):
                raise
            except Exception as error:  # noqa: BLE001
                raise as_failure(foreseen(error), _context(args, kwargs)) from None

        return generator  # type: ignore[return-value]

    @functools.wraps(body)
    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **kwargs)
        except (dg.Failure, dg.RetryRequested):
            raise
        except Exception as error:  # noqa: BLE001
            raise as_failure(foreseen(error), _context(args, kwargs)) from None

    return function  # type: ignore[return-value]


def foreseen(error: Exception) -> ConnectorError:
    """The error itself where it is one of ours; else its type and its last places in the code, without its words."""
    if isinstance(error, ConnectorError):
        return error
    places = traceback.extract_tb(error.__traceback__)[-3:]
    where = ", ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(places))
    return ConnectorError(
        f"Something unexpected happened: {type(error).__name__} at {where}.",
        "This is a mistake of ours, not of the data; what was sent before it is recorded.",
        "Run again; when it stays, report the type and the place.",
    )


def as_failure(error: ConnectorError, context: dg.OpExecutionContext | None = None) -> dg.Failure:
    """The failure that Dagster stores and shows."""
    retry_helps = error.retry_helps or error.outcome == "transient"
    if context is not None:
        context.instance.add_run_tags(context.run.run_id, {RUN_RETRY: str(retry_helps).lower()})
    return dg.Failure(
        description=str(error),
        metadata={
            "happened": error.happened,
            "meaning": error.meaning,
            "remedy": error.remedy,
            "outcome": error.outcome,
        },
        allow_retries=retry_helps,
    )


def _context(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return next(
        (each for each in (*args, *kwargs.values()) if hasattr(each, "instance") and hasattr(each, "run")),
        None,
    )
