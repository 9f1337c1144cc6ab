"""The way from a file to a `Sync`: text, tree, shapes, mixes, and then the frozen facts.

Belongs here: reading files, and building the dataclasses from what was found valid. Not here: any rule.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from assets.rules.sync import (
    NOBODY,
    BucketPartition,
    Consent,
    CsvDialect,
    DayPartition,
    Events,
    Example,
    Guards,
    Lists,
    Problem,
    Source,
    Sync,
    SyncFileError,
    Unsubscribes,
)
from assets.rules.sync_file.fields import read_rules
from assets.rules.sync_file.keys import SYNC, places
from assets.rules.sync_file.mixes import report_mixes
from assets.rules.sync_file.problems import Report
from assets.rules.sync_file.shapes import Given
from assets.rules.sync_file.tree import read_tree


def load_syncs(folder: Path, *, today: date | None = None) -> tuple[Sync, ...]:
    """Every sync of a folder (`*.yaml`, `*.yml`), by file name; all problems of all files at once.

    `today` (in UTC) is what the start of a day partition is held against; a rule has no clock of its own.
    """
    if not folder.is_dir():
        remedy = "Create it, or point CONTACTS_SYNCS to the folder with the sync files."
        raise SyncFileError((Problem(str(folder), 0, "", "is no folder.", remedy),))
    syncs: list[Sync] = []
    problems: list[Problem] = []
    for path in sorted(
        path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file()
    ):
        try:
            syncs.append(parse_sync(_decoded(path), path=path, today=today))
        except SyncFileError as error:
            problems.extend(error.problems)
    problems.extend(_twins(syncs))
    if problems:
        raise SyncFileError(tuple(problems))
    return tuple(syncs)


def parse_sync(text: str, *, path: str | Path, today: date | None = None) -> Sync:
    """The sync in `text`, or a SyncFileError with all that is wrong; `path` is what messages call the file."""
    report = Report(str(path), places=places())
    tree = read_tree(text, report)
    given = SYNC.read(tree, "", report) if tree is not None else None
    if not isinstance(given, Given):
        report.close()
        raise AssertionError("a file without a tree has a problem")
    rules = read_rules(given.block("fields"), report, nulls=cast(Any, given["nulls"] or "omit"))
    params = read_rules(given.block("events").block("params"), report, nulls="omit")
    report_mixes(given, report, today=today)
    report.close()
    events = replace(_events(given.block("events")), params=params) if "events" in given else None
    sync = replace(_sync(given), fields=rules, events=events, file=str(path))
    return replace(sync, version=_version(sync))


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(str(path), line, "", "is not written in UTF-8.", "Save the file as UTF-8.")
        raise SyncFileError((problem,)) from None


def _twins(syncs: list[Sync]) -> list[Problem]:
    first: dict[str, Sync] = {}
    twins = [sync for sync in syncs if first.setdefault(sync.name, sync) is not sync]
    return [
        Problem(
            sync.file, 1, "sync", f"is the name that {first[sync.name].file} has too.", "Give each its own."
        )
        for sync in twins
    ]


def _sync(given: Given) -> Sync:
    keys = ("description", "email", "mode", "when_gone", "nulls", "schedule", "create", "verify")
    return Sync(
        name=cast(str, given["sync"]),
        source=_source(given.block("source")),
        consent=Consent(**_only(given.block("consent"))) if "consent" in given else NOBODY,
        lists=Lists(**_only(given.block("lists"))),
        guards=Guards(**_only(given.block("guards"))),
        examples=tuple(_example(cast(Given, example)) for example in given.items("examples")),
        unsubscribes=Unsubscribes(**_only(given.block("unsubscribes"))) if "unsubscribes" in given else None,
        owners=cast(tuple[str, ...], given.items("owners")),
        **{key: value for key, value in _only(given).items() if key in keys},
    )


def _only(given: Given) -> dict[str, Any]:
    return dict(given.values)


def _source(given: Given) -> Source:
    values = _only(given)
    asset, partition = given.text("asset"), given.block("partition")
    by_day = partition["by"] == "day"
    return Source(
        **{key: value for key, value in values.items() if key not in ("asset", "csv", "partition")},
        asset=tuple(asset.split("/")) if asset else None,
        csv=_csv(given.block("csv")) if "csv" in given else None,
        partition=None
        if "partition" not in given
        else DayPartition(cast(date, partition["start"]))
        if by_day
        else BucketPartition(cast(int, partition["count"])),
    )


def _csv(given: Given) -> CsvDialect:
    values, columns = _only(given), given["columns"]
    if isinstance(columns, Given):
        values["columns"] = tuple((name, cast(str, columns[name])) for name in columns)
    elif isinstance(columns, tuple):
        values["columns"] = tuple(("", cast(str, name)) for name in columns)
    if "quote" in values:
        values["quote"] = values["quote"] or None
    return CsvDialect(**values)


def _events(given: Given) -> Events:
    return Events(
        key=cast(str, given["key"]), name=given.text("name"), name_column=given.block("name").text("column")
    )


def _example(given: Given) -> Example:
    contact = _frozen(given.block("contact")) if "contact" in given else None
    now = cast(datetime | None, given["now"])
    row, rejected = _frozen(given.block("row")), given.text("rejected")
    return Example(row=row, contact=contact, rejected=rejected, now=now, line=given.line)


def _frozen(given: Given) -> Mapping[str, object]:
    return MappingProxyType(_only(given))


def _version(sync: Sync) -> str:
    """Changes with whatever changes the outcome: not with words, examples, owners or the hour."""
    content = asdict(
        replace(sync, description="", owners=(), examples=(), schedule=None, file="", version="")
    )
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
