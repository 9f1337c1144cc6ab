"""`mailtrap-contacts export` and `drift`: Mailtrap's contacts back as Parquet, and against what Mailtrap was told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from assets.drift import counted
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
    """Compare what Mailtrap has with what it was told; drift that no next sync will mend by itself is no success."""
    known, syncs = settings.read(environ), read_syncs(environ)
    chosen = sync_named(syncs, sync)
    definitions = build_definitions(syncs, environ=environ)
    table = dg.AssetKey([chosen.name, "drift"])

    def look(*, heal: bool, only: Sequence[dg.AssetKey] | None = None) -> Ran:
        config = {"ops": {f"{chosen.name}__drift": {"config": {"heal": heal}}}}
        return run_job(
            definitions, f"drift_{chosen.name}", instance=instance, config=config, logs=known.logs, only=only
        )

    with instance_of(known) as instance:
        ran = look(heal=False)
        found = _facts(ran, table)
        if heal and ran.outcome == "ok" and found["would_offer_again"]:
            printing.say(
                f"{chosen.name}: {counted(found['people_missing'], found['people_differs'])}. They are offered again now; "
                "the next sync sends them."
            )
            ran = look(heal=True, only=[table])
    ran = judged(ran, _facts(ran, table), sync=chosen.name)
    facts = dict(_facts(ran, table))
    if facts.get("offered_again") and not as_json:
        del facts["would_offer_again"]  # it has been done
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
}
WHERE_AND_WHEN = {"exported_at": "As Mailtrap was at", "path": "In the lake"}
"""What stands before each number on a terminal; numbers that are always small are shown only where there are some."""
ONLY_IF_ANY = ("offered_again", "without_email", "misfits", "not_utf8", "odd_rows", "absent_fields")


def judged(ran: Ran, facts: Mapping[str, Any], *, sync: str) -> Ran:
    """Drift that was found and not offered again is a finding: exit code 3, with what it means and what to do."""
    left = int(facts.get("would_offer_again", 0)) - int(facts.get("offered_again", 0))
    if ran.outcome != "ok" or left <= 0:
        return ran
    return replace(
        ran,
        outcome="data",
        sentence=f"{counted(facts['people_missing'], facts['people_differs'])} from what {sync} told Mailtrap. No sync mends this by itself, because Mailtrap was told already. "
        f"Look at {sync}/drift/latest.parquet, then run mailtrap-contacts drift {sync} --heal.",
    )


def _facts(ran: Ran, table: dg.AssetKey) -> Mapping[str, Any]:
    return ran.materialized.get("/".join(table.path), {})


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
        printing.say(*(f"{words}: {facts[name]}" for name, words in WHERE_AND_WHEN.items() if name in facts))
    printing.warn(ran.sentence)
    return ran.exit_code
