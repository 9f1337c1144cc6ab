"""drift: what Mailtrap has against what it was told, person by person; and offering again what is not there.

Belongs here: which files are compared, how fresh the export must be, and healing. Not here: the comparison
(`rules/readback`). The report holds keyed hashes; who they are is for `explain` to say.

An export proves a payload only when it was asked for after the payload's receipt, so a taking that is too old is
replaced by a new one first.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field as Described

from assets import metadata
from assets.analyst_database import write_database
from assets.delivery import ledger
from assets.export_jobs import PATIENT, Patience
from assets.exports import LATEST, Wanted, take_export
from assets.failures import told_to_dagster
from assets.rules import cells, comparison, readback
from assets.rules.address import hash_addresses, persons
from assets.rules.comparison import TOLD_SCHEMA
from assets.rules.readback import FOUND_SCHEMA, STATES, Evidence
from assets.rules.sync import Sync
from assets.steady import steady
from resources.errors import LakeError
from resources.journal import Payload
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store

_DELIVERIES_LOOKED_AT = 200
_LEASE_WAIT_SECONDS = 600.0


class DriftConfig(dg.Config):
    """What a run can be told in the launchpad."""

    heal: bool = Described(
        default=False,
        description="Offer everybody who is missing or differs again: the next sync sends them. The report says first "
        "how many that would be. With `verify: export` in the sync file the missing are always offered again, "
        "unless they are more than guards.max_gone.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What one comparison found; counts and names of fields only."""

    path: str
    states: Counter[str]
    fields: Counter[str]
    exported_at: str
    offered_again: int
    would_offer_again: int

    @property
    def told(self) -> int:
        """How many people Mailtrap was told about, or was offered."""
        return sum(self.states.values())

    @property
    def is_none(self) -> bool:
        """Whether Mailtrap has what it was told; people who unsubscribed since are no drift."""
        return not (self.states["missing"] or self.states["differs"])


def drift(sync: Sync, *, owners: Sequence[str]) -> dg.AssetsDefinition:
    """The asset of one sync."""
    key = dg.AssetKey([sync.name, "drift"])

    @dg.asset(
        name="drift",
        key_prefix=sync.name,
        group_name=sync.name,
        owners=list(owners) or None,
        kinds={"duckdb", "parquet"},
        tags=metadata.tags_of(sync, personal_data="none"),
        deps=[dg.AssetKey(["mailtrap", "exported_contacts"]), dg.AssetKey([sync.name, "contact_imports"])],
        check_specs=[
            dg.AssetCheckSpec(
                "mailtrap_has_what_it_was_told",
                asset=key,
                description="Nobody who was told is missing from an export, and no field differs. Warns.",
            )
        ],
        description="Every person Mailtrap was told about, found in an export or not: applied, differs, missing, "
        "unsubscribed, over limit.",
    )
    @told_to_dagster
    def _drift(
        config: DriftConfig, mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> Iterator[Any]:
        is_first = not store.lake.exists(report_of(sync.name))
        found = find_drift(mailtrap, store, sync, heal=config.heal)
        if is_first:
            write_database(store.lake, store.journal)  # analysts have a view more
        yield dg.MaterializeResult(asset_key=key, metadata=facts_of(found, store.lake))
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="mailtrap_has_what_it_was_told",
            passed=found.is_none,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"missing": found.states["missing"], "differs": found.states["differs"]},
            description=_sentence(found),
        )

    return _drift


def report_of(sync: str) -> str:
    """Where the report of a sync lies."""
    return f"{sync}/drift/latest.parquet"


def counted(missing: int, differ: int) -> str:
    """How many people are not as they were told, in words."""
    gone = "1 person is missing" if missing == 1 else f"{missing:,} people are missing"
    return f"{gone} and {differ:,} {'differs' if differ == 1 else 'differ'}"


def find_drift(
    client: MailtrapClient, store: Store, sync: Sync, *, heal: bool = False, patience: Patience = PATIENT
) -> Drift:
    """Compare the ledger with an export that is younger than it; keep the report; offer again what is asked."""
    exported_at = _fresh_export(client, store, sync, patience=patience)
    path = report_of(sync.name)
    states, fields = steady(
        store.journal, lambda: _compare(client, store, sync, path=path, exported_at=exported_at)
    )
    missing, people = states["missing"], sum(states.values())
    trusted = sync.verify == "export" and not sync.guards.max_gone.exceeded(missing, people)
    wanted = {"missing", "differs"} if heal else {"missing"} if trusted else set()
    return Drift(
        path=path,
        states=states,
        fields=fields,
        exported_at=exported_at,
        offered_again=offer_again(store, sync, path, states=wanted),
        would_offer_again=missing + states["differs"],
    )


def _compare(
    client: MailtrapClient, store: Store, sync: Sync, *, path: str, exported_at: str
) -> tuple[Counter[str], Counter[str]]:
    """Write the report, and count what is in it."""
    facts = {"exported_at": exported_at, "sync_version": sync.version}
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(store.lake.scratch())
        connection = stack.enter_context(comparison.connect(scratch))
        evidence = _evidence(stack, client, store, sync, scratch=scratch)
        with store.lake.writer(path, FOUND_SCHEMA, metadata=facts) as sink:
            return readback.count(_tee(readback.read_back(connection, evidence), sink.write))


def offer_again(store: Store, sync: Sync, path: str, *, states: set[str]) -> int:
    """Make the ledger forget these people's values, so that the next sync finds them new (missing) or changed."""
    if not states:
        return 0
    offered = 0
    with (
        store.journal.lease(f"ledger:{sync.name}", wait_seconds=_LEASE_WAIT_SECONDS) as lease,
        contextlib.ExitStack() as stack,
    ):
        told = stack.enter_context(ledger.told(store.journal, store.lake, sync.name))
        connection = stack.enter_context(comparison.connect(stack.enter_context(store.lake.scratch())))
        report = comparison.quoted(str(stack.enter_context(store.lake.local(path))))
        named = ", ".join(comparison.quoted(each) for each in sorted(states))
        query = f"""
            select told.* replace (case when found.state = 'missing' then null else xor(told.fingerprint, 1::ubigint) end as fingerprint)
            from ({comparison.told_sql(told)}) told
            join read_parquet({report}) found
              on found.address_hash::uuid = told.address_hash and found.import_id is not distinct from told.import_id
            where found.state in ({named}) and told.fingerprint is not null
        """
        for batch in connection.sql(query).to_arrow_reader(100_000):
            rows = pa.Table.from_batches([batch]).select(TOLD_SCHEMA.names).cast(TOLD_SCHEMA)
            part = ledger.write_part(store.lake, sync.name, rows)
            store.journal.add_ledger_part(sync.name, path=part, rows=rows.num_rows, lease=lease)
            offered += rows.num_rows
    return offered


def facts_of(found: Drift, lake: Lake) -> dict[str, Any]:
    """What the UI shows: counts that plot, a chart, and the fields that differ; nobody."""
    chart = metadata.bars([(name, found.states[name]) for name in STATES], whole=found.told)
    fields = ", ".join(f"`{name}` {count:,}" for name, count in found.fields.most_common()) or "none"
    return {
        **metadata.of_file(lake, found.path, described=_DESCRIBED),
        **{f"people_{name}": found.states[name] for name in STATES},
        "where_everybody_is": dg.MetadataValue.md(
            f"{_sentence(found)}\n\n```text\n{chart}\n```\n\nFields that differ: {fields}"
        ),
        "exported_at": found.exported_at,
        "offered_again": found.offered_again,
        "would_offer_again": found.would_offer_again,
        "export": dg.MetadataValue.asset(dg.AssetKey(["mailtrap", "exported_contacts"])),
    }


_DESCRIBED = {
    "address_hash": "The keyed hash of the address.",
    "state": "applied, differs, missing, unsubscribed or over_limit.",
    "differing": "The fields whose values differ; `lists` when a list is missing.",
    "compared": "False: the values told are not at hand any more, so that only presence is proven.",
    "import_id": "The import that told Mailtrap last.",
    "as_of": "How old the values were that Mailtrap was told.",
}


def _sentence(found: Drift) -> str:
    if found.is_none:
        return f"Mailtrap has what it was told: {found.told:,} people, as of {found.exported_at}."
    rest = (
        f"{found.offered_again:,} are offered again by the next sync."
        if found.offered_again
        else f"A run with heal: true would offer {found.would_offer_again:,} again."
    )
    return f"Of {found.told:,} people {counted(found.states['missing'], found.states['differs'])}. {rest}"


def _fresh_export(client: MailtrapClient, store: Store, sync: Sync, *, patience: Patience) -> str:
    """When the latest taking of everyone was asked for, after taking one if it is older than the newest receipt.

    The export of a taking that was killed is gone on with only when it, too, was asked for after that receipt.
    """
    settled = max((each.settled_at or 0.0 for each in _payloads(store, sync)), default=0.0)
    with contextlib.suppress(LakeError, ValueError):
        noted = store.lake.metadata(LATEST).get("taken_at", "")
        if datetime.fromisoformat(noted) > datetime.fromtimestamp(settled, UTC):
            return noted
    young = min(patience.resumed_at_most_seconds, max(0.0, patience.clock() - settled))
    taken = take_export(
        client, store, wanted=Wanted(), patience=replace(patience, resumed_at_most_seconds=young)
    )
    return taken.taken_at.isoformat()


def _payloads(store: Store, sync: Sync) -> list[Payload]:
    deliveries = store.journal.deliveries(sync.name, latest=_DELIVERIES_LOOKED_AT)
    return [payload for each in deliveries for payload in store.journal.payloads(each)]


def _evidence(
    stack: contextlib.ExitStack, client: MailtrapClient, store: Store, sync: Sync, *, scratch: Path
) -> Evidence:
    lake = store.lake
    absent = set(json.loads(lake.metadata(LATEST).get("absent_fields", "[]")))
    theirs = scratch / "theirs.parquet"
    knows_lists = _write_theirs(lake, theirs, key=store.key)
    accepted = [stack.enter_context(lake.local(each)) for each in lake.list(f"{sync.name}/accepted_contacts")]
    return Evidence(
        told=stack.enter_context(ledger.told(store.journal, lake, sync.name)),
        accepted=tuple(each for each in accepted if _has_all(each, sync)),
        theirs=theirs,
        over_limit=_left_out(store, sync, scratch / "left_out.parquet"),
        fields=[rule for rule in sync.fields if rule.merge_tag not in absent],
        list_names={each.id: each.name for each in client.lists()} if knows_lists else None,
    )


def _write_theirs(lake: Lake, target: Path, *, key: bytes) -> bool:
    """The export with keyed hashes, for joining; says whether it knows who is in which list."""
    schema, knows_lists = lake.schema(LATEST), False
    with pq.ParquetWriter(
        target, schema.append(pa.field("address_hash", pa.uuid())), compression="lz4"
    ) as writer:
        for batch in lake.read(LATEST):
            hashes = hash_addresses(persons(cells.plain(batch["email"])), key)
            writer.write_batch(batch.append_column(pa.field("address_hash", pa.uuid()), hashes))
            knows_lists = knows_lists or batch["lists"].null_count < batch.num_rows
    return knows_lists


def _has_all(accepted: Path, sync: Sync) -> bool:
    """Whether accepted contacts were screened by the sync as it is: else their columns may be others."""
    names = set(pq.read_schema(accepted).names)
    return {"_address_hash", "_fingerprint", *(rule.merge_tag for rule in sync.fields)} <= names


def _left_out(store: Store, sync: Sync, target: Path) -> Path | None:
    """The people of imports that left some out because of the plan, as far as their files are kept."""
    schema = pa.schema([("address_hash", pa.uuid()), ("import_id", pa.int64())])
    tables: list[pa.Table] = []
    for delivery in store.journal.deliveries(sync.name, latest=_DELIVERIES_LOOKED_AT):
        for payload in store.journal.payloads(delivery):
            if payload.over_limit_count and store.lake.exists(delivery.path):
                rows = store.lake.read_slice(
                    delivery.path, ["address_hash"], first=payload.first_row, rows=payload.rows
                )
                ids = pa.repeat(pa.scalar(payload.import_id, pa.int64()), rows.num_rows)
                tables.append(rows.append_column("import_id", ids).cast(schema))
    if not tables:
        return None
    pq.write_table(pa.concat_tables(tables), target)
    return target


def _tee(batches: Iterator[pa.RecordBatch], write: Any) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        write(batch)
        yield batch
