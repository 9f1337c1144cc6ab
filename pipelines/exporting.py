"""`mailtrap-contacts export` and `drift`: Mailtrap's contacts back as Parquet, and against what Mailtrap was told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.exports import hand_out
from pipelines import printing
from pipelines.definitions import build_definitions, read_syncs
from pipelines.runs import Ran, instance_of, run_job
from pipelines.syncing import sync_named
from resources import settings
from resources.lake import Lake


def export(
    environ: Mapping[str, str],
    *,
    lists: tuple[str, ...] = (),
    status: str | None = None,
    columns: str | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Take an export."""
    known = settings.read(environ)
    config = {
        "lists": list(lists),
        "status": status or "all",
        "columns": [each.strip() for each in (columns or "").split(",") if each.strip()],
    }
    definitions = build_definitions(read_syncs(environ), environ=environ)
    with instance_of(known) as instance:
        ran = run_job(
            definitions,
            "export_contacts",
            instance=instance,
            config={"ops": {"mailtrap__exported_contacts": {"config": config}}},
            logs=known.logs,
        )
    facts = ran.materialized.get("mailtrap/exported_contacts", {})
    if out is not None and ran.outcome == "ok":
        hand_out(Lake(known.lake), str(facts["path"]), out)
    code = _report("export", ran, facts, as_json=as_json, names=OF_EXPORT)
    if out is not None and ran.outcome == "ok" and not as_json:
        printing.say(f"Written to {out}.")
    return code


def drift(environ: Mapping[str, str], *, sync: str, heal: bool = False, as_json: bool = False) -> int:
    """Compare what Mailtrap has with what it was told."""
    known, syncs = settings.read(environ), read_syncs(environ)
    chosen = sync_named(syncs, sync)
    definitions = build_definitions(syncs, environ=environ)
    with instance_of(known) as instance:
        ran = run_job(
            definitions,
            f"drift_{chosen.name}",
            instance=instance,
            config={"ops": {f"{chosen.name}__drift": {"config": {"heal": heal}}}},
            logs=known.logs,
        )
    facts = ran.materialized.get(f"{chosen.name}/drift", {})
    return _report(f"drift of {chosen.name}", ran, facts, as_json=as_json, names=OF_DRIFT)


OF_EXPORT = {
    "dagster/row_count": "contacts",
    "rows_subscribed": "  subscribed",
    "rows_unsubscribed": "  unsubscribed",
    "without_email": "rows without an address, left out",
    "misfits": "cells that do not fit their column's type",
    "not_utf8": "lines that were not UTF-8",
    "odd_rows": "rows with too few or too many cells",
    "absent_fields": "fields that the file lacks",
    "export_id": "export id at Mailtrap",
    "exports_it_took": "exports it took",
    "path": "in the lake",
}
OF_DRIFT = {
    "dagster/row_count": "people whom Mailtrap was told about",
    "people_applied": "  there, as they were told",
    "people_differs": "  there, with other values",
    "people_missing": "  missing",
    "people_unsubscribed": "  unsubscribed since",
    "people_over_limit": "  left out: over the plan's limit",
    "would_offer_again": "would be offered again by --heal",
    "offered_again": "offered again to the next sync",
    "exported_at": "as of",
    "path": "in the lake",
}
"""What stands before each number on a terminal; numbers that are always small are shown only where there are some."""
ONLY_IF_ANY = ("without_email", "misfits", "not_utf8", "odd_rows", "absent_fields")


def _report(
    title: str, ran: Ran, facts: Mapping[str, Any], *, as_json: bool, names: Mapping[str, str]
) -> int:
    numbers = {
        name: value
        for name, value in facts.items()
        if isinstance(value, int | float | str) and "\n" not in str(value)
    }
    if as_json:
        printing.print_json({"schema": 1, "run_id": ran.run_id, "outcome": ran.outcome, **numbers})
    else:
        printing.title(f"{title}: {ran.outcome}", fine=ran.outcome == "ok")
        shown = [
            (words, f"{numbers[name]:,}" if isinstance(numbers[name], int) else str(numbers[name]))
            for name, words in names.items()
            if name in numbers and (numbers[name] or name not in ONLY_IF_ANY)
        ]
        if shown:
            printing.show("", shown)
    printing.warn(ran.sentence)
    return ran.exit_code
