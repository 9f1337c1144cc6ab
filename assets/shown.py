"""What the UI shows of each table of a sync: which numbers, which chart, which links.

Belongs here: one function per table. Not here: how metadata is made (`metadata`), and what columns mean (`columns`).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import columns, metadata
from assets.partitions import file_of
from assets.rules.sync import Sync
from resources.lake import Lake


def in_list_of_runs(context: dg.AssetExecutionContext, rows: Mapping[str, int]) -> None:
    """Two counts beside each run in the list of runs, where whoever looks for the odd one sees it."""
    tags = {
        f"contacts/{name}": f"{rows.get(name, 0):,} of {rows['read']:,}" for name in ("accepted", "rejected")
    }
    context.instance.add_run_tags(context.run.run_id, tags)


def of_source_rows(lake: Lake, sync: Sync, partition: str, *, rows: int) -> dict[str, Any]:
    """How many rows the warehouse gave, and the file that holds them."""
    path = file_of(sync, "source_rows", partition)
    return {"rows_read": rows, **metadata.of_file(lake, path, described=columns.of_source(sync))}


def of_accepted_contacts(
    lake: Lake, sync: Sync, partition: str, *, rows: Mapping[str, int], no_consent: Mapping[str, int]
) -> dict[str, Any]:
    """Where screening put every row."""
    path = file_of(sync, "accepted_contacts", partition)
    return {
        "where_every_row_went": metadata.where_rows_went(rows),
        "no_consent_by_reason": metadata.counts(no_consent, nothing="Every row has a clear, current yes."),
        **metadata.of_rows(rows),
        **metadata.of_file(lake, path, described=columns.of_accepted(sync)),
        "dagster/column_lineage": columns.lineage_of_accepted(sync),
        "rejections": dg.MetadataValue.asset(dg.AssetKey([sync.name, "rejections"])),
    }


def of_rejections(
    lake: Lake, sync: Sync, partition: str, *, rows: Mapping[str, int], reasons: Mapping[str, int]
) -> dict[str, Any]:
    """How often each reason was given, and its remedy; no row."""
    path = file_of(sync, "rejections", partition)
    rejected, read = rows.get("rejected", 0), rows.get("read", 0)
    return {
        "rejected_by_reason": metadata.by_reason(reasons, read=read),
        **({"what_to_do": metadata.remedies(reasons)} if reasons else {}),
        "rows_rejected": rejected,
        "rejected_share": metadata.share(rejected, read),
        **{f"rejected_{reason}": count for reason, count in sorted(reasons.items())},
        **metadata.of_file(lake, path, described=columns.REJECTIONS),
        "contact_imports": dg.MetadataValue.asset(dg.AssetKey([sync.name, "contact_imports"])),
    }


def of_pending_file(lake: Lake, path: str, *, gone: int) -> dict[str, Any]:
    """The file of what Mailtrap has not been told."""
    return {**metadata.of_file(lake, path, described=columns.PENDING), "rows_gone": gone}


def of_contact_imports(
    sync: Sync, partition: str, *, rows: Mapping[str, int], run: Mapping[str, Any], of: int = 1
) -> dict[str, Any]:
    """Where every row of a partition has ended, and what the run cost; `of` so many partitions in one run."""
    return {
        "where_every_row_went": metadata.where_rows_went(rows),
        **(_alone(run) if of == 1 else {"run": metadata.one_run(run, partitions=of)}),
        **metadata.of_rows(rows),
        "rejections": dg.MetadataValue.asset(dg.AssetKey([sync.name, "rejections"])),
        "rejected_rows_lie_in": file_of(sync, "rejections", partition),
        "summary": f"summaries/{sync.name}/{run['run_id']}.json",
    }


def _alone(run: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a run that was all about one partition: they plot."""
    numbers = ("requests", "retries", "payloads", "seconds", "ambiguous")
    return {
        "rejected_by_reason": metadata.by_reason(run["rejected_by_reason"], read=run["rows"]["read"]),
        **{name: run[name] for name in numbers},
    }


def of_people(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Where every row of a run that goes person by person has ended, and what it cost."""
    numbers = {name: summary[name] for name in ("requests", "retries", "seconds", "ambiguous")}
    return {
        "where_every_row_went": metadata.where_rows_went(summary["rows"]),
        "rejected_by_reason": metadata.by_reason(summary["rejected_by_reason"], read=summary["rows"]["read"]),
        **metadata.of_rows(summary["rows"]),
        **{f"people_{name}": count for name, count in summary["gone"].items()},
        **numbers,
        **({} if summary["partition"] is None else {"partitions": summary["partition"]}),
        "summary": f"summaries/{summary['sync']}/{summary['run_id']}.json",
    }
