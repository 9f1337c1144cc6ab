"""Logs that machines read: each event of a run as one JSON object a line on stderr (CONTACTS_LOGS=json).

Belongs here: which of an event's facts are written: ids, words of ours, and numbers; never a row. Not here: progress
for people (`watching`), and metrics (`metrics`).
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import dagster as dg

SYNC_TAG = "contacts/sync"


class JsonLines(logging.Formatter):
    """One event, one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as JSON."""
        about: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event: dg.DagsterEvent | None = about.get("dagster_event")
        found = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": about.get("run_id"),
            "job": about.get("job_name"),
            "sync": (about.get("job_tags") or {}).get(SYNC_TAG),
            "step": about.get("step_key"),
            "event": event.event_type_value.lower() if event else "log",
            "message": about.get("orig_message") or (event.message if event else None) or "",
            **(_facts(event) if event else {}),
        }
        return json.dumps({name: value for name, value in found.items() if value is not None})


def _facts(event: dg.DagsterEvent) -> dict[str, Any]:
    """Which table or check, and its numbers."""
    if event.is_step_materialization:
        made = event.step_materialization_data.materialization
        return {
            "asset": made.asset_key.to_user_string(),
            "partition": made.partition,
            "numbers": _numbers(made.metadata),
        }
    if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return {
            "asset": check.asset_key.to_user_string(),
            "check": check.check_name,
            "passed": check.passed,
            "numbers": _numbers(check.metadata),
        }
    return {}


def _numbers(metadata: Any) -> dict[str, int | float]:
    return {
        name: each.value
        for name, each in metadata.items()
        if isinstance(each.value, int | float) and not isinstance(each.value, bool)
    }


@dg.logger(
    {"log_level": dg.Field(str, default_value="DEBUG", description="The least level that is written.")},
    description="Each event of a run as one JSON object a line on stderr.",
)
def json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger of CONTACTS_LOGS=json."""
    logger = logging.getLoggerClass()("mailtrap_contacts", level=context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    return logger
