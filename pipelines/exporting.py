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
        )
    facts = ran.materialized.get("mailtrap/exported_contacts", {})
    if out is not None and ran.outcome == "ok":
        hand_out(Lake(known.lake), str(facts["path"]), out)
    return _report("export", ran, facts, as_json=as_json)


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
        )
    return _report(
        f"drift of {chosen.name}", ran, ran.materialized.get(f"{chosen.name}/drift", {}), as_json=as_json
    )


def _report(title: str, ran: Ran, facts: Mapping[str, Any], *, as_json: bool) -> int:
    numbers = {
        name: value
        for name, value in facts.items()
        if isinstance(value, int | float | str) and "\n" not in str(value)
    }
    if as_json:
        printing.print_json({"schema": 1, "run_id": ran.run_id, "outcome": ran.outcome, **numbers})
    elif numbers:
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in numbers.items()
        ]
        printing.show(f"{title}: {ran.outcome}", shown)
    printing.say(ran.sentence)
    return ran.exit_code
