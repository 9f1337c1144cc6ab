"""accepted_contacts and rejections: rows that may be told to Mailtrap, and rows that may not, with the reason.

One step screens the source rows of a partition and writes three tables: accepted contacts (one per address), rejections
(for people to mend), and no_consent (a keyed hash and a reason, nothing else). Not here: the rules (`rules/screening`).
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets import metadata, shown
from assets.checks import consent_spec, consent_stays_valid
from assets.failures import told_to_dagster
from assets.partitions import backfill_policy_of, file_of, partitions_of, partitions_of_run
from assets.preparation import knowing_lists
from assets.rules import guards, screening
from assets.rules.sync import Sync
from assets.steady import steady
from resources.errors import ConnectorError, GuardError, SettingsError
from resources.lake import QUICK, Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store


@dataclass(frozen=True, slots=True)
class Screened:
    """The counts of one screening."""

    rows: Mapping[str, int]
    rejected_by_reason: Mapping[str, int]
    no_consent_by_reason: Mapping[str, int]


def screened_contacts(sync: Sync, *, owners: list[str]) -> dg.AssetsDefinition:
    """The two assets of one sync, made in one step."""
    accepted, rejections = (dg.AssetKey([sync.name, name]) for name in ("accepted_contacts", "rejections"))

    @dg.multi_asset(
        name=f"{sync.name}__screening",
        group_name=sync.name,
        partitions_def=partitions_of(sync),
        backfill_policy=backfill_policy_of(sync),
        specs=screened_specs(
            sync,
            owners=owners,
            accepted=accepted,
            words="Rows with consent, a valid address and valid fields: one contact per address.",
        ),
        check_specs=[*check_specs(sync, accepted=accepted, rejections=rejections), consent_spec(accepted)],
    )
    @told_to_dagster
    def _screened(
        context: dg.AssetExecutionContext,
        mailtrap: dg.ResourceParam[MailtrapClient],
        store: dg.ResourceParam[Store],
    ) -> Iterator[Any]:
        now, known = datetime.now(UTC), knowing_lists(mailtrap, sync)
        found = {
            partition: steady(
                store.journal,
                lambda partition=partition: screen(  # type: ignore[misc]
                    store.lake, known, partition=partition, key=store.key, now=now
                ),
            )
            for partition in partitions_of_run(context)
        }
        told, refused = _shown(store.lake, sync, found)
        yield metadata.of_partitions(context, told, key=accepted)
        yield metadata.of_partitions(context, refused, key=rejections)
        yield from checks(sync, found.values(), accepted=accepted, rejections=rejections)
        yield consent_stays_valid(store.lake, sync, accepted, partitions=tuple(found))

    return _screened


def screened_specs(sync: Sync, *, owners: list[str], accepted: dg.AssetKey, words: str) -> list[dg.AssetSpec]:
    """What the two tables of a screening are; `words` say what those that passed are."""
    tables = {
        accepted: ("addresses", words),
        dg.AssetKey([sync.name, "rejections"]): (
            "source-keys",
            "Rows that were refused: source key, column, reason and remedy; no values.",
        ),
    }
    return [
        dg.AssetSpec(
            key,
            deps=[dg.AssetKey([sync.name, "source_rows"])],
            owners=owners,
            kinds={"pandas", "parquet"},
            tags=metadata.tags_of(sync, personal_data=personal_data),
            description=description,
        )
        for key, (personal_data, description) in tables.items()
    ]


def _shown(lake: Lake, sync: Sync, found: Mapping[str, Screened]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the UI shows of the two tables, partition by partition."""
    told = {
        name: shown.of_accepted_contacts(
            lake, sync, name, rows=each.rows, no_consent=each.no_consent_by_reason
        )
        for name, each in found.items()
    }
    refused = {
        name: shown.of_rejections(lake, sync, name, rows=each.rows, reasons=each.rejected_by_reason)
        for name, each in found.items()
    }
    return told, refused


def screen(lake: Lake, sync: Sync, *, partition: str, key: bytes, now: datetime) -> Screened:
    """Screen the source rows of a partition into three tables, whole or not at all."""
    tables = {
        name: file_of(sync, name, partition) for name in ("accepted_contacts", "rejections", "no_consent")
    }
    schemas = screening.schemas(sync)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(lake.local(file_of(sync, "source_rows", partition)))
        scratch = stack.enter_context(lake.scratch())
        former = tables["rejections"]
        former_path = stack.enter_context(lake.local(former)) if lake.exists(former) else None
        rejections = stack.enter_context(lake.writer(former, schemas.rejections))
        no_consent = stack.enter_context(lake.writer(tables["no_consent"], schemas.no_consent))
        accepted = stack.enter_context(
            lake.writer(tables["accepted_contacts"], schemas.accepted, compression=QUICK, dictionary=False)
        )
        with ours():
            counts = screening.screen_file(
                source,
                sync,
                now=now,
                key=key,
                accepted=accepted,
                rejections=rejections,
                no_consent=no_consent,
                scratch=scratch,
                former_rejections=former_path,
            )
        left_out = int(lake.metadata(file_of(sync, "source_rows", partition)).get("erased", "0"))
        rows = {**counts.rows, "read": counts.rows["read"] + left_out, "erased": left_out}
        screened = Screened(rows, counts.rejected_by_reason, counts.no_consent_by_reason)
        accepted.note(
            "facts",
            json.dumps(
                {
                    **screened.rows,
                    "rejected_by_reason": dict(screened.rejected_by_reason),
                    "no_consent_by_reason": dict(screened.no_consent_by_reason),
                    "sync_version": sync.version,
                }
            ),
        )
    return screened


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """What the rules say about a table as a whole, as an error that commands and Dagster understand."""
    try:
        yield
    except screening.ScreeningError as error:
        kind = SettingsError if error.outcome == "config" else ConnectorError
        told = kind(error.happened, error.meaning, error.remedy)
    else:
        return
    raise told


def counts_of(lake: Lake, sync: Sync, partition: str) -> dict[str, int]:
    """The counts that the screening of a partition noted."""
    return {name: count for name, count in facts_of(lake, sync, partition).items() if isinstance(count, int)}


def facts_of(lake: Lake, sync: Sync, partition: str) -> dict[str, Any]:
    """All that the screening of a partition noted: counts, and counts by reason."""
    noted = lake.metadata(file_of(sync, "accepted_contacts", partition)).get("facts", "{}")
    found: dict[str, Any] = json.loads(noted)
    return found


def judge(sync: Sync, rows: Mapping[str, int]) -> list[guards.Verdict]:
    """What the guards say about screened rows."""
    return [
        guards.too_few_rows(sync, read=rows.get("read", 0)),
        guards.too_many_rejected(sync, rejected=rows.get("rejected", 0), read=rows.get("read", 0)),
    ]


def stop_at_guards(verdicts: list[guards.Verdict]) -> None:
    """Raise when a guard says so: before anything is sent."""
    for verdict in verdicts:
        if verdict.stops:
            raise GuardError(verdict.happened, "Nothing was sent and nobody was removed.", verdict.remedy)


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of several partitions together."""
    rows: Counter[str] = Counter()
    for each in counts:
        rows.update(each)
    return dict(rows)


def check_specs(sync: Sync, *, accepted: dg.AssetKey, rejections: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks that stop a run before anything is sent."""
    words = (
        (
            "every_row_is_counted",
            accepted,
            "Rows read are accepted, rejected, no_consent, duplicate or erased.",
        ),
        (
            "source_is_not_empty",
            accepted,
            f"The source gave at least {sync.guards.min_rows} rows (guards.min_rows); a single day or bucket may be empty.",
        ),
        (
            "few_rows_are_rejected",
            rejections,
            f"At most {sync.guards.max_rejected} of the rows are rejected (guards.max_rejected).",
        ),
    )
    return [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=description)
        for name, key, description in words
    ]


def checks(
    sync: Sync, found: Iterable[Screened], *, accepted: dg.AssetKey, rejections: dg.AssetKey
) -> Iterator[dg.AssetCheckResult]:
    """The blocking checks of a screening, in numbers."""
    rows = added(each.rows for each in found)
    missing = rows.get("read", 0) - sum(
        rows.get(name, 0) for name in ("accepted", "rejected", "no_consent", "duplicate", "erased")
    )
    few, rejected = judge(sync, rows)
    yield dg.AssetCheckResult(
        passed=missing == 0,
        check_name="every_row_is_counted",
        asset_key=accepted,
        metadata={"unaccounted": missing},
    )
    yield _check(few, "source_is_not_empty", accepted, {"read": rows.get("read", 0)})
    yield _check(rejected, "few_rows_are_rejected", rejections, {"rejected": rows.get("rejected", 0)})


def _check(
    verdict: guards.Verdict, name: str, key: dg.AssetKey, facts: Mapping[str, int]
) -> dg.AssetCheckResult:
    words = f"{verdict.happened} {verdict.remedy}" if verdict.stops else None
    return dg.AssetCheckResult(
        passed=not verdict.stops, check_name=name, asset_key=key, description=words, metadata=dict(facts)
    )
