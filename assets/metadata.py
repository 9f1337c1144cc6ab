"""What the Dagster UI shows of a table: numbers, ids and plots; the one place where metadata is made.

Nothing here ever takes a row of people's data: only counts, ids, schemas and words of our own.
"""

from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa

from assets.partitions import WHOLE

Number = int | float
Facts = Mapping[str, Number | str]


def of_partitions(
    context: dg.AssetExecutionContext, facts: Mapping[str, Facts], *, key: dg.AssetKey | None = None
) -> dg.MaterializeResult[None]:
    """The result of an asset whose partitions have numbers of their own."""
    asset_key = key or context.asset_key
    for partition, each in facts.items():
        if partition != WHOLE:
            context.add_asset_metadata(dict(each), asset_key=asset_key, partition_key=partition)
    total = facts[WHOLE] if set(facts) == {WHOLE} else {}
    return dg.MaterializeResult(asset_key=asset_key, metadata=dict(total))


def columns(schema: pa.Schema, *, described: Mapping[str, str] | None = None) -> dg.TableSchema:
    """A schema for the UI; Arrow's names of types are what an analyst reads in Parquet."""
    described = described or {}
    return dg.TableSchema(
        [dg.TableColumn(each.name, str(each.type), description=described.get(each.name)) for each in schema]
    )


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
