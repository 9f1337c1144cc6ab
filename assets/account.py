"""The account as Mailtrap has it: its lists, its fields, and the people who must not be written to.

Belongs here: keeping these as tables under `mailtrap/`, and `refresh_knowledge`, which every sync asks before it plans
anything. Not here: what a sync does with it (`changes`), and how exports are had (`export_jobs`).

    mailtrap/suppressions/latest.parquet    by cursor, only what is new; everything once a day
    mailtrap/unsubscribed/latest.parquet    an export filtered by status, each time
    mailtrap/people/latest.parquet          everyone, as keyed hashes; only for syncs that insert or update
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field as Described

from assets import metadata
from assets.export_jobs import ExportJobs, Patience, Ready
from assets.failures import told_to_dagster
from assets.rules import cells, comparison, hash_text
from assets.rules.address import hash_addresses, persons
from assets.rules.exported import open_export
from assets.rules.traces import People, is_of
from resources.errors import HeldError, UnavailableError, UnfinishedError
from resources.journal import Journal
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import Suppression, export_filters
from resources.store.store import Store

ACCOUNT = dg.AssetKey(["mailtrap", "account"])
"""Mailtrap's side in the graph: every run asks it anew, so no table of it has to be made before a sync."""
SUPPRESSIONS = "mailtrap/suppressions/latest.parquet"
UNSUBSCRIBED = "mailtrap/unsubscribed/latest.parquet"
PEOPLE = "mailtrap/people/latest.parquet"
OPT_OUTS_BY_US = "mailtrap/opt_outs/by_us"
"""People whose no went when their contact was deleted: keyed hashes."""
OPT_OUTS_REQUESTED = "mailtrap/opt_outs/requested"
"""People who asked to be left alone, in tables of such requests: keyed hashes."""
MAX_AGE_SECONDS = 86_400.0
PROMPT = Patience(wait_seconds=600.0, resumed_at_most_seconds=300.0)
"""For a sync that waits: an export asked for by a dead run must be young, or it would miss who left since."""
_WHOLE_AFTER_SECONDS = 86_400.0  # suppressions that were lifted are noticed only when all are read
_OVERLAP = timedelta(hours=1)  # created_at is no cursor: rows may appear a little late
_LEASE_SECONDS = 900.0
_CANNOT_REFRESH = (UnavailableError, UnfinishedError, HeldError)

SUPPRESSIONS_SCHEMA = pa.schema(
    [
        ("address_hash", hash_text.TEXT),
        ("id", pa.string()),
        ("email", pa.string()),
        ("type", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("sending_stream", pa.string()),
        ("domain_name", pa.string()),
    ]
)
PEOPLE_SCHEMA = pa.schema([("address_hash", pa.uuid()), ("email", pa.string()), ("status", pa.string())])
UNSUBSCRIBED_SCHEMA = PEOPLE_SCHEMA.set(0, pa.field("address_hash", hash_text.TEXT))
_LISTS_SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
_FIELDS_SCHEMA = pa.schema(
    [("id", pa.int64()), ("name", pa.string()), ("merge_tag", pa.string()), ("data_type", pa.string())]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Tables in the lake, each with a column `address_hash`, and when the oldest of them was true."""

    suppressions: str
    unsubscribed: str
    contacts: str | None
    """Everyone Mailtrap has, when it was asked for."""
    taken_at: datetime


FORMER = Knowledge(
    suppressions=SUPPRESSIONS,
    unsubscribed=UNSUBSCRIBED,
    contacts=None,
    taken_at=datetime.min.replace(tzinfo=UTC),
)
"""What was known before, of whatever time and account: good for work that is looked through again."""


@dataclass(frozen=True, slots=True)
class _Freshness:
    """When a table was true as a whole; kept beside it, written after it, so that it never promises too much."""

    taken_at: datetime
    newest: datetime | None = None
    whole_at: datetime | None = None


def refresh_knowledge(
    client: MailtrapClient,
    lake: Lake,
    journal: Journal,
    *,
    key: bytes,
    now: datetime,
    max_age_seconds: float = MAX_AGE_SECONDS,
    contacts: bool = False,
    patience: Patience | None = None,
) -> Knowledge:
    """Who must not be written to, as of now; when Mailtrap cannot say, as of at most `max_age_seconds` ago."""
    erased = People.of_hashes(journal.tombstones(), key=key)
    account = _Account(client, lake, journal, key, now, patience or PROMPT, erased)
    times = [
        account.within(max_age_seconds, SUPPRESSIONS, account.refresh_suppressions),
        account.within(max_age_seconds, UNSUBSCRIBED, account.refresh_unsubscribed),
    ]
    if contacts:
        times.append(account.within(max_age_seconds, PEOPLE, account.refresh_people))
    return Knowledge(
        suppressions=SUPPRESSIONS,
        unsubscribed=UNSUBSCRIBED,
        contacts=PEOPLE if contacts else None,
        taken_at=min(times),
    )


def refresh_people(client: MailtrapClient, store: Store, *, now: datetime) -> str:
    """Everyone Mailtrap has, as of now: the table's path."""
    account = _account_of(client, store, now=now)
    account.within(MAX_AGE_SECONDS, PEOPLE, account.refresh_people)
    return PEOPLE


@dataclass(frozen=True, slots=True)
class _Account:
    client: MailtrapClient
    lake: Lake
    journal: Journal
    key: bytes
    now: datetime
    patience: Patience
    erased: People

    def within(
        self, max_age_seconds: float, path: str, refresh: Callable[[_Freshness | None], _Freshness]
    ) -> datetime:
        """Refresh a table, unless another run has just done so; else the former one, if it is young enough."""
        former = self._freshness(path)
        if former is not None and former.taken_at >= self.now:
            return former.taken_at
        try:
            with self.journal.lease(f"refresh:{path}", wait_seconds=_LEASE_SECONDS):
                former = self._freshness(path)  # another run may have refreshed it while we waited
                if former is None or former.taken_at < self.now:
                    former = refresh(former)
                    self._stamp(path, former)
                return former.taken_at
        except _CANNOT_REFRESH as error:
            if former is not None and (self.now - former.taken_at).total_seconds() <= max_age_seconds:
                return former.taken_at
            raise _too_old(path, former, self.now, str(error)) from None

    def refresh_suppressions(self, former: _Freshness | None) -> _Freshness:
        """Only what is new; everything when that was never read, or a day ago."""
        if former is None or former.newest is None or self._is_due(former.whole_at):
            newest = self._write_suppressions(self.client.suppressions(), SUPPRESSIONS)
            return _Freshness(self.now, newest, self.now)
        with self.lake.scratch() as scratch:
            fresh = Lake(scratch)
            pages = self.client.suppressions(start_time=former.newest - _OVERLAP)
            newest = self._write_suppressions(pages, "fresh.parquet", lake=fresh)
            self._merge_suppressions(scratch / "fresh.parquet", scratch)
        return _Freshness(self.now, max(former.newest, newest or former.newest), former.whole_at)

    def _is_due(self, whole_at: datetime | None) -> bool:
        return whole_at is None or (self.now - whole_at).total_seconds() > _WHOLE_AFTER_SECONDS

    def refresh_unsubscribed(self, _former: _Freshness | None) -> _Freshness:
        """Everyone whom Mailtrap calls anything but subscribed, by an export filtered by status."""
        return self._write_people(UNSUBSCRIBED, status="unsubscribed")

    def refresh_people(self, _former: _Freshness | None) -> _Freshness:
        """Everyone Mailtrap has."""
        return self._write_people(PEOPLE, status=None)

    def _write_people(self, target: str, *, status: Literal["unsubscribed"] | None) -> _Freshness:
        fields = self.client.fields()
        schema = UNSUBSCRIBED_SCHEMA if status else PEOPLE_SCHEMA

        def read(path: Path, ready: Ready) -> _Freshness:
            facts = {"taken_at": ready.asked_at.isoformat(), "export_id": str(ready.id)}
            with path.open("rb") as stream, self.lake.writer(target, schema, metadata=facts) as sink:
                for batch in open_export(stream, fields, status=status).batches():
                    rows = self._people(batch, status=status)
                    sink.write(_with_text(rows) if status else rows)
            return _Freshness(ready.asked_at)

        jobs = ExportJobs(self.client, self.lake, self.journal, self.patience)
        return jobs.take(export_filters(status=status), read)

    def _people(self, batch: pa.RecordBatch, *, status: str | None) -> pa.Table:
        rows = pa.Table.from_batches([batch.select(["email", "status"])])
        rows = rows.filter(pc.is_valid(rows["email"]))
        if status == "unsubscribed":  # a filter that was not obeyed must not withhold everybody
            rows = rows.filter(pc.not_equal(pc.fill_null(rows["status"], ""), "subscribed"))
        hashes = self._hashes(rows["email"])
        return self._without_erased(pa.table([hashes, rows["email"], rows["status"]], schema=PEOPLE_SCHEMA))

    def _hashes(self, emails: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Of the person, however Mailtrap spells the address: a suppression of JO@x.org is one of jo@x.org."""
        return hash_addresses(persons(cells.plain(emails)), self.key)

    def _without_erased(self, rows: pa.Table) -> pa.Table:
        """Mailtrap keeps suppressions of people whom we have forgotten: they are withheld by their tombstones."""
        theirs = is_of(rows, self.erased)
        return rows.filter(pa.array(~theirs)) if theirs.any() else rows

    def _write_suppressions(
        self, pages: Iterable[tuple[Suppression, ...]], target: str, *, lake: Lake | None = None
    ) -> datetime | None:
        newest: datetime | None = None
        facts = {"taken_at": self.now.isoformat()}
        with (lake or self.lake).writer(target, SUPPRESSIONS_SCHEMA, metadata=facts) as sink:
            for page in pages:
                sink.write(self._suppressions(page))
                newest = max((each.created_at for each in page if each.created_at), default=newest)
        return newest

    def _suppressions(self, page: Sequence[Suppression]) -> pa.Table:
        emails = pa.array([each.email for each in page], pa.string())
        others = SUPPRESSIONS_SCHEMA.names[3:]
        return self._without_erased(
            pa.table(
                [
                    hash_text.as_text(self._hashes(emails)),
                    pa.array([each.id for each in page], pa.string()),
                    emails,
                    *(
                        pa.array([getattr(each, n) for each in page], SUPPRESSIONS_SCHEMA.field(n).type)
                        for n in others
                    ),
                ],
                schema=SUPPRESSIONS_SCHEMA,
            )
        )

    def _merge_suppressions(self, fresh: Path, scratch: Path) -> None:
        """Former ones that were not read again, and those that were; nothing is written when nothing is new."""
        with self.lake.local(SUPPRESSIONS) as former:
            connection = comparison.connect(scratch)
            try:
                old, new = (f"read_parquet({comparison.quoted(str(path))})" for path in (former, fresh))
                added = connection.sql(f"select count(*) from {new} where id not in (select id from {old})")
                if added.fetchall()[0][0] == 0:
                    return
                query = f"select * from {old} where id not in (select id from {new}) union all select * from {new}"
                facts = {"taken_at": self.now.isoformat()}
                with self.lake.writer(SUPPRESSIONS, SUPPRESSIONS_SCHEMA, metadata=facts) as sink:
                    for batch in connection.sql(query).to_arrow_reader(100_000):
                        sink.write(batch)
            finally:
                connection.close()

    def _freshness(self, path: str) -> _Freshness | None:
        stamp = _stamp_of(path)
        if not self.lake.exists(path) or not self.lake.exists(stamp):
            return None
        try:
            found = json.loads(self.lake.read_bytes(stamp))
        except ValueError:
            return None
        if found.get("account") != self.client.account_id:
            return None  # of another account: worthless
        moments = {name: _moment(found.get(name)) for name in ("taken_at", "newest", "whole_at")}
        if moments["taken_at"] is None:
            return None
        return _Freshness(moments["taken_at"], moments["newest"], moments["whole_at"])

    def _stamp(self, path: str, fresh: _Freshness) -> None:
        facts = {
            "account": self.client.account_id,
            "taken_at": fresh.taken_at.isoformat(),
            "newest": fresh.newest.isoformat() if fresh.newest else None,
            "whole_at": fresh.whole_at.isoformat() if fresh.whole_at else None,
        }
        self.lake.write_bytes(_stamp_of(path), json.dumps(facts).encode())


def _with_text(rows: pa.Table) -> pa.Table:
    """What people read with tools of their own has its hashes as text."""
    return rows.set_column(0, UNSUBSCRIBED_SCHEMA.field(0), hash_text.as_text(rows["address_hash"]))


def _account_of(client: MailtrapClient, store: Store, *, now: datetime | None = None) -> _Account:
    erased = People.of_hashes(store.journal.tombstones(), key=store.key)
    return _Account(client, store.lake, store.journal, store.key, now or datetime.now(UTC), PROMPT, erased)


def _stamp_of(path: str) -> str:
    return path.removesuffix("latest.parquet") + "freshness.json"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _too_old(path: str, former: _Freshness | None, now: datetime, why: str) -> UnavailableError:
    age = (
        "there is none yet"
        if former is None
        else f"it is {(now - former.taken_at).total_seconds() / 3600:,.1f} hours old"
    )
    return UnavailableError(
        f"The table {path} could not be refreshed, and {age}. {why}",
        "Without it nobody knows whom not to write to, so nothing is sent.",
        "Run again when Mailtrap can be reached and no other export is under way.",
    )


def account(*, owners: Sequence[str] = ()) -> dg.AssetSpec:
    """The account itself, which nobody here makes."""
    return dg.AssetSpec(
        ACCOUNT,
        group_name="mailtrap",
        owners=list(owners),
        kinds={"mailtrap"},
        tags=metadata.tags_of(None, personal_data="addresses"),
        description="What Mailtrap has: lists, fields, contacts, who unsubscribed and who is suppressed. Every run asks "
        "for what it needs; the tables after it keep answers for people to look at.",
    )


def lists(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The lists of the account."""

    @_mailtrap_asset("lists", owners, "The lists of the account: at most 50, each with its id.")
    def _lists(
        mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult[None]:
        found = [{"id": each.id, "name": each.name} for each in mailtrap.lists()]
        return _kept(
            store.lake, "mailtrap/lists/latest.parquet", pa.Table.from_pylist(found, schema=_LISTS_SCHEMA)
        )

    return _lists


def fields(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The custom fields of the account."""

    @_mailtrap_asset("fields", owners, "The custom fields of the account: merge tag, name and type.")
    def _fields(
        mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult[None]:
        found = [{name: getattr(each, name) for name in _FIELDS_SCHEMA.names} for each in mailtrap.fields()]
        return _kept(
            store.lake, "mailtrap/fields/latest.parquet", pa.Table.from_pylist(found, schema=_FIELDS_SCHEMA)
        )

    return _fields


def suppressions(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The addresses that the sending side blocks."""

    @_mailtrap_asset(
        "suppressions", owners, "Addresses that the sending side blocks; nobody here is written to."
    )
    def _suppressions(
        config: SuppressionsConfig, mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult[None]:
        if config.whole:
            store.lake.delete(_stamp_of(SUPPRESSIONS))
        account = _account_of(mailtrap, store)
        account.within(0.0, SUPPRESSIONS, account.refresh_suppressions)
        return dg.MaterializeResult(metadata=_counts(store.lake, SUPPRESSIONS, by="type"))

    return _suppressions


def unsubscribed(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The people who are not subscribed any more."""

    @_mailtrap_asset(
        "unsubscribed", owners, "People whom Mailtrap does not call subscribed; nobody here is written to."
    )
    def _unsubscribed(
        mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult[None]:
        account = _account_of(mailtrap, store)
        account.within(0.0, UNSUBSCRIBED, account.refresh_unsubscribed)
        return dg.MaterializeResult(metadata=_counts(store.lake, UNSUBSCRIBED, by="status"))

    return _unsubscribed


class SuppressionsConfig(dg.Config):
    """What a run can be told in the launchpad."""

    whole: bool = Described(
        default=False,
        description="Read all of them, not only new ones (1,000 each request, 10 requests a minute).",
    )


def _mailtrap_asset(
    name: str, owners: Sequence[str], description: str
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    def decorate(body: Callable[..., Any]) -> dg.AssetsDefinition:
        return dg.asset(
            name=name,
            key_prefix="mailtrap",
            group_name="mailtrap",
            deps=[ACCOUNT],
            owners=list(owners) or None,
            kinds={"parquet", "mailtrap"},
            tags=metadata.tags_of(None, personal_data="none" if name in ("lists", "fields") else "addresses"),
            description=description,
        )(told_to_dagster(body))

    return decorate


def _kept(lake: Lake, path: str, table: pa.Table) -> dg.MaterializeResult[None]:
    with lake.writer(path, table.schema) as sink:
        sink.write(table)
    return dg.MaterializeResult(metadata={"dagster/row_count": table.num_rows, "path": path})


def _counts(lake: Lake, path: str, *, by: str) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for batch in lake.read(path, [by]):
        for each in pc.value_counts(pc.fill_null(batch[by], "unknown")).to_pylist():
            counts[each["values"]] += each["counts"]
    return {
        "dagster/row_count": lake.rows(path),
        "dagster/column_schema": dg.MetadataValue.table_schema(metadata.columns(lake.schema(path))),
        "path": path,
        f"by {by}": metadata.table(sorted(counts.items()), head=(by, "people")),
    }
