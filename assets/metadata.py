"""What the Dagster UI shows of a table: numbers, ids and plots; the one place where metadata is made.

Nothing here ever takes a row of people's data: only counts, ids, schemas and words of our own. Numbers keep their name
from run to run, so that the UI plots them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.partitions import WHOLE
from assets.rules import guards
from assets.rules.rejection import Reason
from assets.rules.sync import Sync
from resources.lake import Lake

Number = int | float
Facts = Mapping[str, Any]
PERSONAL_DATA = "contacts/personal_data"
BAR_WIDTH, NARROWEST_BAR, LINE_WIDTH = 16, 4, 50
"""So that a chart fits in the table of a page without being cut off, in a window of 1,440 pixels."""
MOST_REASONS = 8
"""Longer texts are hidden behind a link by Dagster's UI."""


def of_partitions(
    context: dg.AssetExecutionContext,
    facts: Mapping[str, Facts],
    *,
    key: dg.AssetKey | None = None,
    of_run: Facts | None = None,
) -> dg.MaterializeResult[None]:
    """The result of an asset whose partitions have numbers of their own; `of_run` holds for all of them together."""
    asset_key = key or context.asset_key
    for partition, each in facts.items():
        if partition != WHOLE:
            context.add_asset_metadata(_of_one(each), asset_key=asset_key, partition_key=partition)
    total = facts[WHOLE] if set(facts) == {WHOLE} else {}
    return dg.MaterializeResult(asset_key=asset_key, metadata={**total, **(of_run or {})})


def _of_one(facts: Facts) -> dict[str, Any]:
    """What is said of one partition: its row count is not that of the table."""
    return {
        "dagster/partition_row_count" if name == "dagster/row_count" else name: value
        for name, value in facts.items()
    }


def of_file(lake: Lake, path: str, *, described: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What there is to say of a Parquet file: rows, bytes, columns, and where in the lake it lies."""
    return {
        "dagster/row_count": lake.rows(path),
        "dagster/column_schema": columns(lake.schema(path), described=described),
        "bytes": lake.size(path),
        "path": path,
    }


def of_rows(rows: Mapping[str, int]) -> dict[str, Any]:
    """Counts by outcome, as numbers that plot; and the share that was rejected."""
    shown: dict[str, Any] = {f"rows_{name}": count for name, count in rows.items()}
    return {**shown, "rejected_share": share(rows.get("rejected", 0), rows.get("read", 0))}


def share(part: int, whole: int) -> float:
    """Part of the whole, from 0 to 1."""
    return round(part / whole, 6) if whole else 0.0


def tags_of(sync: Sync | None, *, personal_data: str) -> dict[str, str]:
    """Tags of a table: its sync, and what it holds about people (`addresses`, `source-keys`, `none`)."""
    own = {} if sync is None else {"contacts/sync": sync.name}
    return {**own, PERSONAL_DATA: personal_data}


def columns(schema: pa.Schema, *, described: Mapping[str, str] | None = None) -> dg.TableSchema:
    """A schema for the UI; Arrow's names of types are what an analyst reads in Parquet."""
    described = described or {}
    return dg.TableSchema(
        [
            dg.TableColumn(each.name, _type_name(each.type), description=described.get(each.name))
            for each in schema
        ]
    )


def _type_name(type_: pa.DataType) -> str:
    return "uuid" if isinstance(type_, pa.UuidType) else str(type_)


def table(rows: Sequence[tuple[str, Number | str]], *, head: tuple[str, str]) -> dg.MarkdownMetadataValue:
    """A small markdown table."""
    lines = [
        f"| {head[0]} | {head[1]} |",
        "|---|---:|",
        *(
            f"| {name} | {value:,} |" if isinstance(value, int) else f"| {name} | {value} |"
            for name, value in rows
        ),
    ]
    return dg.MetadataValue.md("\n".join(lines))


def where_rows_went(rows: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """A chart of text: where every row that was read has ended."""
    read = rows.get("read", 0)
    ended = [(name, rows.get(name, 0)) for name in guards.OUTCOMES if rows.get(name, 0)]
    counted = sum(count for _, count in ended)
    verdict = "every row is counted once" if counted == read else f"{read - counted:,} rows are not counted"
    return dg.MetadataValue.md(
        f"**{read:,} rows read**; {verdict}.\n\n```text\n{bars(ended, whole=read)}\n```"
    )


def by_reason(counts: Mapping[str, int], *, read: int) -> dg.MarkdownMetadataValue:
    """Rejections by reason, the most frequent first; few enough to be shown on the page itself."""
    if not counts:
        return dg.MetadataValue.md("No row was rejected.")
    ordered = _most_first(counts)
    shown, rest = ordered[:MOST_REASONS], ordered[MOST_REASONS:]
    if rest:
        shown = [*shown, (f"{len(rest)} more", sum(count for _, count in rest))]
    rejected = sum(counts.values())
    return dg.MetadataValue.md(
        f"**{rejected:,} of {read:,} rows rejected** ({share(rejected, read):.1%}).\n\n"
        f"```text\n{bars(shown, whole=rejected)}\n```"
    )


def remedies(counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """What to do about each reason, the most frequent first."""
    lines = (f"* `{name}` ({count:,}): {_remedy(name)}" for name, count in _most_first(counts))
    return dg.MetadataValue.md("\n".join(lines))


def one_run(run: Mapping[str, Any], *, partitions: int) -> dg.MarkdownMetadataValue:
    """What a run of several partitions cost: numbers that belong to none of them alone."""
    return dg.MetadataValue.md(
        f"One run of {partitions:,} partitions: {run['rows']['read']:,} rows read, {run['payloads']:,} payloads, "
        f"{run['requests']:,} requests, {run['seconds']:,.1f} s."
    )


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def counts(rows: Mapping[str, int], *, nothing: str) -> dg.MarkdownMetadataValue:
    """Counts by name, the largest first, as a chart of text."""
    ordered = _most_first(rows)
    chart = bars(ordered, whole=sum(rows.values()))
    return dg.MetadataValue.md(f"```text\n{chart}\n```" if ordered else nothing)


def bars(rows: Sequence[tuple[str, int]], *, whole: int) -> str:
    """Lines of name, count, share and bar, in columns."""
    if not rows:
        return "no rows"
    name_width = max(len(name) for name, _ in rows)
    count_width = max(len(f"{count:,}") for _, count in rows)
    most = max(count for _, count in rows)
    left = LINE_WIDTH - name_width - count_width - len("    100.0%  ")
    width = min(max(left, NARROWEST_BAR), BAR_WIDTH)
    return "\n".join(
        f"{name:<{name_width}}  {count:>{count_width},}  {share(count, whole):>6.1%}  {_bar(count, most, width=width)}"
        for name, count in rows
    )


def _bar(count: int, most: int, *, width: int) -> str:
    """At least a sliver for whatever is there."""
    whole, eighths = divmod(max(1, round(count / most * width * 8)) if count else 0, 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def _remedy(reason: str) -> str:
    if reason in Reason.__members__:
        return str(Reason[reason].value.remedy)
    return "See `mailtrap_says` in the rejections."
