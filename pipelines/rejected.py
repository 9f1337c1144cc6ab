"""`mailtrap-contacts rejections`: which rows were refused and why, in counts, and as a file for a spreadsheet."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from assets import rejected_rows
from pipelines import printing
from pipelines.definitions import read_syncs
from pipelines.syncing import sync_named
from resources import settings
from resources.errors import SettingsError
from resources.lake import Lake


def rejections(
    environ: Mapping[str, str],
    *,
    sync: str,
    since: str | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Count the rejections of a sync, and hand them out where asked to; reads the lake, asks nobody."""
    known, moment = settings.read(environ), _moment(since)
    chosen, lake = sync_named(read_syncs(environ), sync), Lake(known.lake)
    found = rejected_rows.counted(lake, chosen.name, since=moment)
    if out is not None:
        rejected_rows.hand_out(lake, chosen.name, out, since=moment)
    rows = sum(each.rows for each in found)
    if as_json:
        by_reason = [asdict(each) for each in found]
        printing.print_json({"schema": 1, "sync": chosen.name, "rows": rows, "by_reason": by_reason})
        return 0
    printing.show(
        f"{chosen.name}: rows refused: {rows:,}",
        [(f"{each.column or '-'}: {each.reason}\n  {each.remedy}", f"{each.rows:,}") for each in found],
    )
    return 0


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        found = datetime.fromisoformat(since)
    except ValueError:
        raise SettingsError(
            "--since holds no day.", "Nothing was read.", "Write it as yyyy-mm-dd, or with a time in UTC."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
