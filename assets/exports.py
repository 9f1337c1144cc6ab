"""mailtrap/exported_contacts: Mailtrap's contacts as typed Parquet, a version per taking, the latest at a fixed path.

Belongs here: what can be asked for, where a taking lies, and which one is the latest. Not here: how the file is had
(`export_jobs`), read (`rules/exported`), and who is in which list when the file does not say (`membership`).

    mailtrap/exported_contacts/latest.parquet                      everyone, all columns
    mailtrap/exported_contacts/versions/20260814T091500Z-652.parquet
    mailtrap/exported_contacts/filtered/status-unsubscribed/...    the same, per filter: never in place of everyone
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
from pydantic import Field as Described

from assets import metadata
from assets.account import ACCOUNT
from assets.export_jobs import PATIENT, ExportJobs, Patience, Ready
from assets.failures import told_to_dagster
from assets.freshness import freshness_of_takings
from assets.membership import Membership, listed
from assets.people.cleaning import Places, clean_file
from assets.rules.export_layout import MISFITS
from assets.rules.exported import Export, Seen, ahead, open_export, worth_a_dictionary
from assets.rules.sync_file.problems import nearest
from assets.rules.traces import People, is_of
from assets.steady import ERASURE, WAIT_SECONDS
from resources.errors import LakeError, SettingsError
from resources.journal import Journal
from resources.lake import Lake
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import ContactList, Field, export_filters
from resources.store.store import Store

FOLDER = "mailtrap/exported_contacts"
LATEST = f"{FOLDER}/latest.parquet"
KEEP_VERSIONS = 30
LEFT_AFTER_SECONDS = 86_400.0
"""What a killed process of this machine left is removed by the next taking; of another machine, after a day."""
ROWS_PER_GROUP = 1_000_000
"""More than a batch has: each batch, which is sorted, becomes one row group; cut in two it would leave a scrap."""
Status = Literal["subscribed", "unsubscribed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an export shall hold: lists by name or id (any of them), one status, some columns; nothing: everything."""

    lists: tuple[str | int, ...] = ()
    status: Status | None = None
    columns: tuple[str, ...] = ()
    membership: bool = True
    """Where the file does not say who is in which list, take one more export per list of the account."""


EVERYONE = Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One taking: where it is and what was seen; numbers and names of columns only."""

    path: str
    latest: str
    export_id: int
    taken_at: datetime
    schema: pa.Schema
    rows: int
    bytes: int
    exports: int
    """How many exports it took: one, or one more per list."""
    resumed: bool
    absent_fields: tuple[str, ...]
    seen: Seen = field(default_factory=Seen)


def take_export(
    client: MailtrapClient,
    store: Store,
    *,
    wanted: Wanted = EVERYONE,
    out: Path | None = None,
    keep_versions: int = KEEP_VERSIONS,
    patience: Patience = PATIENT,
) -> Taken:
    """Have Mailtrap export its contacts and keep them as Parquet; a failure leaves the former taking as it was."""
    fields, lists = client.fields(), client.lists()
    list_ids = _ids_of(wanted.lists, lists)
    folder = folder_of(wanted, list_ids)
    jobs = ExportJobs(client, store.lake, store.journal, patience)
    before = store.journal.erasures()
    erased = People.of_hashes(store.journal.tombstones(), key=store.key)
    reading = _Reading(jobs, store.lake, wanted, fields, lists, folder, erased)
    taken = jobs.take(export_filters(list_ids=list_ids, status=wanted.status), reading.keep)
    with store.journal.lease(ERASURE, wait_seconds=WAIT_SECONDS):
        if store.journal.erasures() != before:  # somebody was erased while Mailtrap made the file
            erased = People.of_hashes(store.journal.tombstones(), key=store.key)
            clean_file(store.lake, taken.path, erased, email="email", places=Places())
        _publish(store.journal, store.lake, taken)
    if out is not None:
        hand_out(store.lake, taken.path, out)
    for path in versions(store.lake, folder)[: -max(1, keep_versions)]:
        store.lake.delete(path)
    store.lake.sweep(now=time.time(), older_than_seconds=LEFT_AFTER_SECONDS)
    return taken


def versions(lake: Lake, folder: str = FOLDER) -> list[str]:
    """The takings that are kept, oldest first."""
    return lake.list(f"{folder}/versions")


def folder_of(wanted: Wanted, list_ids: Sequence[int]) -> str:
    """Where such takings lie; only everyone with all columns lies at the top."""
    parts = [
        "lists-" + "-".join(map(str, sorted(set(list_ids)))) if list_ids else "",
        f"status-{wanted.status}" if wanted.status else "",
        "columns-" + _short(sorted(wanted.columns)) if wanted.columns else "",
    ]
    name = "_".join(part for part in parts if part)
    if len(name) > 100:
        name = _short([name, name])
    return f"{FOLDER}/filtered/{name}" if name else FOLDER


@dataclass(frozen=True, slots=True)
class _Reading:
    """From a downloaded file to a version in the lake."""

    jobs: ExportJobs
    lake: Lake
    wanted: Wanted
    fields: Sequence[Field]
    lists: Sequence[ContactList]
    folder: str
    erased: People | None = None

    def keep(self, path: Path, ready: Ready) -> Taken:
        """Read the file once, and write it down once (twice where lists have to be added)."""
        names = {each.id: each.name for each in self.lists}
        with path.open("rb") as stream:
            export = open_export(stream, self.fields, lists=names, status=self.wanted.status)
            schema = self._schema(export)
            target = f"{self.folder}/versions/{ready.asked_at:%Y%m%dT%H%M%SZ}-{ready.id}.parquet"
            adds_lists = self.wanted.membership and not export.layout.has_lists and "lists" in schema.names
            with contextlib.ExitStack() as stack:
                batches: Iterator[pa.RecordBatch] = stack.enter_context(
                    ahead(_without(export.batches(), self.erased))
                )
                if adds_lists:
                    batches = stack.enter_context(listed(batches, export.schema, self._membership()))
                rows = self._write(target, schema, batches, export, ready)
        return Taken(
            path=target,
            latest=f"{self.folder}/latest.parquet",
            export_id=ready.id,
            taken_at=ready.asked_at,
            schema=schema,
            rows=rows,
            bytes=self.lake.size(target),
            exports=1 + (len(self.lists) if adds_lists else 0),
            resumed=ready.resumed,
            absent_fields=export.layout.absent_fields,
            seen=export.seen,
        )

    def _membership(self) -> Membership:
        return Membership(self.jobs, self.lists, self.fields, self.wanted.status)

    def _write(
        self, target: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch], export: Export, ready: Ready
    ) -> int:
        first = next(batches, None)
        facts = {
            "taken_at": ready.asked_at.isoformat(),
            "export_id": str(ready.id),
            "filters": self.folder.removeprefix(FOLDER).removeprefix("/filtered/") or "none",
            "headers": json.dumps(export.layout.headers),
            "absent_fields": json.dumps(export.layout.absent_fields),
        }
        with self.lake.writer(
            target,
            schema,
            metadata=facts,
            page_index=True,
            rows_per_group=ROWS_PER_GROUP,
            dictionary=worth_a_dictionary(first) if first is not None else True,
        ) as sink:
            for batch in [] if first is None else [first]:
                sink.write(batch.select(schema.names))
            for batch in batches:
                sink.write(batch.select(schema.names))
            sink.note("misfits", json.dumps(export.seen.misfits))
            return sink.rows

    def _schema(self, export: Export) -> pa.Schema:
        known = export.schema.names
        if missing := [name for name in self.wanted.columns if name not in known]:
            raise SettingsError(
                f"The export has no column {', '.join(map(repr, missing))}.",
                f"It has: {', '.join(known)}.",
                f"{_meant(missing[0], known)}Name columns by merge tag, as they are listed here.",
            )
        names = [name for name in known if name in {"email", *(self.wanted.columns or known)}]
        return pa.schema([export.schema.field(name) for name in names])


def _without(batches: Iterator[pa.RecordBatch], erased: People | None) -> Iterator[pa.RecordBatch]:
    """Nobody who was erased comes back by an export that Mailtrap had begun before."""
    for batch in batches:
        if not erased:
            yield batch
        else:
            yield batch.filter(pa.array(~is_of(pa.Table.from_batches([batch]), erased, email="email")))


def _publish(journal: Journal, lake: Lake, taken: Taken) -> None:
    """The newest taking becomes the latest; one that began earlier and came later does not."""
    with journal.lease(f"latest:{taken.latest}"[:120], wait_seconds=600.0):
        if lake.exists(taken.latest) and _taken_at(lake, taken.latest) > taken.taken_at.isoformat():
            return
        lake.copy(taken.path, taken.latest)


def _taken_at(lake: Lake, path: str) -> str:
    try:
        return lake.metadata(path).get("taken_at", "")
    except LakeError:  # damaged from outside: to be replaced
        return ""


def hand_out(lake: Lake, path: str, out: Path) -> None:
    """A copy for a person, 0600, whole or not at all."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
        try:
            with lake.local(path) as source, source.open("rb") as content, os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(content, target, 1 << 20)
            Path(partial).replace(out)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The export could not be written where --out points ({error.strerror or type(error).__name__}).",
            "It is in the lake all the same.",
            f"Mend the path, or read {path} in the lake.",
        ) from None


def _ids_of(wanted: Sequence[str | int], lists: Sequence[ContactList]) -> list[int]:
    """Lists by name, else by id."""
    by_name: Mapping[str, int] = {each.name: each.id for each in lists}
    ids = {each.id for each in lists}
    found: list[int] = []
    for each in wanted:
        number = by_name.get(str(each))
        if number is None and str(each).isdigit() and int(each) in ids:
            number = int(each)
        if number is None:
            raise SettingsError(
                f"The account has no list {str(each)!r}.",
                f"Its lists are: {', '.join(repr(name) for name in by_name) or 'none'}.",
                f"{_meant(str(each), by_name)}Name a list exactly as Mailtrap does, or by its id.",
            )
        found.append(number)
    return found


def _meant(word: str, known: Iterable[str]) -> str:
    found = nearest(word, known)
    return f"Did you mean {found!r}? " if found else ""


def _short(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


class ExportConfig(dg.Config):
    """What an analyst can ask for in the launchpad."""

    lists: list[str] = Described(
        default=[], description="Only people in any of these lists, by name or id. Empty: everyone."
    )
    status: Literal["all", "subscribed", "unsubscribed"] = Described(
        default="all", description="Only people with this status: all, subscribed or unsubscribed."
    )
    columns: list[str] = Described(
        default=[], description="Only these columns, by merge tag; email is always there. Empty: all columns."
    )
    membership: bool = Described(
        default=True,
        description="Where Mailtrap's file does not say who is in which list, take one more export per list "
        "(each some seconds to minutes, and 3 requests or more).",
    )
    keep_versions: int = Described(
        default=KEEP_VERSIONS, ge=1, description="How many takings with the same filters are kept."
    )
    wait_minutes: int = Described(
        default=60, ge=0, description="How long to wait for other exports of the account to end."
    )

    def wanted(self) -> Wanted:
        """The same as plain facts."""
        return Wanted(
            lists=tuple(self.lists),
            status=None if self.status == "all" else self.status,
            columns=tuple(self.columns),
            membership=self.membership,
        )


def exported_contacts(*, owners: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset that analysts materialize."""

    @dg.asset(
        name="exported_contacts",
        key_prefix="mailtrap",
        group_name="mailtrap",
        deps=[ACCOUNT],
        freshness_policy=freshness_of_takings(),
        owners=list(owners) or None,
        kinds={"parquet", "mailtrap"},
        tags=metadata.tags_of(None, personal_data="addresses"),
        description="Mailtrap's contacts as typed Parquet. A filtered one has its own place and never replaces "
        "everyone; cells that do not fit their field's type are null, and kept as text in `misfits`.",
    )
    @told_to_dagster
    def _exported_contacts(
        config: ExportConfig, mailtrap: dg.ResourceParam[MailtrapClient], store: dg.ResourceParam[Store]
    ) -> dg.MaterializeResult[None]:
        taken = take_export(
            mailtrap,
            store,
            wanted=config.wanted(),
            keep_versions=config.keep_versions,
            patience=Patience(wait_seconds=config.wait_minutes * 60.0),
        )
        return dg.MaterializeResult(metadata=facts_of(taken, store.lake))

    return _exported_contacts


def facts_of(taken: Taken, lake: Lake) -> dict[str, Any]:
    """What the UI shows of a taking: numbers that plot, names and types of columns, a chart; never a cell."""
    seen = taken.seen
    counts = {
        "without_email": seen.without_email,
        "misfits": sum(seen.misfits.values()),
        "not_utf8": seen.not_utf8,
        "odd_rows": seen.odd_rows,
        "absent_fields": len(taken.absent_fields),
    }
    chart = metadata.bars(sorted(seen.by_status.items()), whole=seen.rows)
    misfits = ", ".join(f"`{name}` {count:,}" for name, count in sorted(seen.misfits.items())) or "none"
    absent = ", ".join(f"`{name}`" for name in taken.absent_fields) or "none"
    return {
        **metadata.of_file(lake, taken.path, described=described(taken.schema)),
        **{f"rows_{status}": seen.by_status.get(status, 0) for status in ("subscribed", "unsubscribed")},
        **counts,
        "who_is_there": dg.MetadataValue.md(
            f"**{taken.rows:,} contacts**, as of {taken.taken_at:%Y-%m-%d %H:%M} UTC.\n\n```text\n{chart}\n```\n\n"
            f"Cells that do not fit their type: {misfits}. Fields that the file lacks: {absent}."
        ),
        "latest": taken.latest,
        "export_id": taken.export_id,
        "exports_it_took": taken.exports,
        "taken_at": dg.MetadataValue.timestamp(taken.taken_at),
    }


def described(schema: pa.Schema) -> dict[str, str]:
    """What each column holds; all but those of every account are its fields."""
    return {name: _OF_EVERY_ACCOUNT.get(name, f"Field {name}, by its merge tag.") for name in schema.names}


_OF_EVERY_ACCOUNT = {
    "email": "The address, as Mailtrap has it.",
    "status": "subscribed or unsubscribed.",
    "lists": "Names of the lists; null where it is not known.",
    "created_at": "When the contact was made at Mailtrap.",
    "updated_at": "When the contact last changed at Mailtrap.",
    MISFITS: "Texts that do not fit the type of their column, by column.",
}
