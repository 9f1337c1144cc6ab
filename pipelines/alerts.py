"""Alerts: a failed run that nobody will retry, and checks that warn, told to a webhook.

Belongs here: what is worth a message, and its words: names, ids, counts and our own sentences, never a row. Not here:
how a message is sent (`resources/alerts`), and the checks themselves (`assets`). A webhook that is down is a line in
the sensor's log; the run that it was about is not affected.
"""

from collections.abc import Sequence

import dagster as dg

from pipelines.jobs import SYNC_TAG
from resources.alerts.webhook import Message, Webhook
from resources.errors import ConnectorError

EVERY_SECONDS = 30
MOST_CHECKS = 20
NOT_SET = "CONTACTS_ALERT_WEBHOOK is not set, so nobody was told."


def alert_on_failure() -> dg.SensorDefinition:
    """The sensor that tells of failed runs."""

    @dg.run_failure_sensor(
        name="alert_on_failure",
        description="Tells the webhook of CONTACTS_ALERT_WEBHOOK of each run that failed and is not retried. "
        "Off until it is switched on.",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def _alert_on_failure(
        context: dg.RunFailureSensorContext, alerts: dg.ResourceParam[Webhook]
    ) -> dg.SkipReason | None:
        if context.dagster_run.tags.get("dagster/will_retry") == "true":
            return dg.SkipReason("The run is retried; only its last failure is told.")
        failed = failed_checks(context.instance, context.dagster_run.run_id)
        return _tell(alerts, about_failure(context.dagster_run, context.get_step_failure_events(), failed))

    return _alert_on_failure


def alert_on_warnings() -> dg.SensorDefinition:
    """The sensor that tells of checks that did not pass in runs that succeeded."""

    @dg.run_status_sensor(
        name="alert_on_warnings",
        run_status=dg.DagsterRunStatus.SUCCESS,
        description="Tells the webhook of CONTACTS_ALERT_WEBHOOK of checks that warned in a run that succeeded. "
        "Off until it is switched on.",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def _alert_on_warnings(
        context: dg.RunStatusSensorContext, alerts: dg.ResourceParam[Webhook]
    ) -> dg.SkipReason | None:
        failed = failed_checks(context.instance, context.dagster_run.run_id)
        if not failed:
            return dg.SkipReason("Every check passed.")
        return _tell(alerts, about_checks(context.dagster_run, failed))

    return _alert_on_warnings


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    """The checks of a run that did not pass."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [each.dagster_event.asset_check_evaluation_data for each in logs if each.dagster_event]
    return [each for each in found if not each.passed]


def about_failure(
    run: dg.DagsterRun,
    failures: Sequence[dg.DagsterEvent],
    failed: Sequence[dg.AssetCheckEvaluation] = (),
) -> Message:
    """What a failed run says to people: our own sentences; of other errors, only what kind they are."""
    sentences, facts = [], _facts_of(run)
    for event in failures:
        data = event.step_failure_data.user_failure_data
        if data is not None and "outcome" in data.metadata:
            sentences.append(str(data.description))
            facts.append(("outcome", str(data.metadata["outcome"].value)))
        elif failed and "AssetCheckFailed" in str(event.step_failure_data.error):
            sentences.append(_in_lines(failed))
            facts.append(("outcome", "data"))
        else:
            error = event.step_failure_data.error
            kind = (error.cause or error).cls_name if error else None
            sentences.append(f"{kind or 'An error'} in {event.step_key}.")
    if not sentences:
        sentences = ["It ended outside of its steps; its events in the Dagster UI say how."]
    return Message(title=f"{run.job_name} failed", text=" ".join(sentences), facts=facts)


def about_checks(run: dg.DagsterRun, failed: Sequence[dg.AssetCheckEvaluation]) -> Message:
    """What checks say to people."""
    count = f"{len(failed)} check{'s' if len(failed) > 1 else ''} did not pass"
    return Message(title=f"{run.job_name}: {count}", text=_in_lines(failed), facts=_facts_of(run))


def _in_lines(failed: Sequence[dg.AssetCheckEvaluation]) -> str:
    return "\n".join(
        f"{each.asset_key.to_user_string()}: {each.check_name}. {each.description or ''}".strip()
        for each in failed[:MOST_CHECKS]
    )


def _facts_of(run: dg.DagsterRun) -> list[tuple[str, str]]:
    tags = run.tags
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    partition = tags.get("dagster/partition") or (f"{first}...{last}" if first else None)
    known = (("sync", tags.get(SYNC_TAG)), ("partition", partition), ("run", run.run_id))
    return [(name, value) for name, value in known if value]


def _tell(alerts: Webhook, message: Message) -> dg.SkipReason | None:
    try:
        return None if alerts.post(message) else dg.SkipReason(NOT_SET)
    except ConnectorError as error:
        return dg.SkipReason(str(error))
