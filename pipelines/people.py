"""`mailtrap-contacts access`, `explain` and `erase`: all about one person, on stdout and nowhere else; and erasure.

The first two start no Dagster run, because runs are kept. An address of `-` is read from stdin, so that it stays out of the
shell's history and the list of processes.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets.people import erasure
from assets.people.records import Person, Record, everything, explained
from assets.rules.traces import read_address
from pipelines import printing
from pipelines.definitions import build_definitions, read_syncs
from pipelines.erasing import JOB, STEP, checked_path, neither_or_both
from pipelines.planning import standing
from pipelines.runs import instance_of, run_job
from pipelines.sources import opened_source
from resources import settings
from resources.errors import EXIT_CODES, SettingsError
from resources.lake import Lake


def access(environ: Mapping[str, str], *, email: str) -> int:
    """Print all that we and Mailtrap hold about one person, as JSON."""
    known, syncs = settings.read(environ), read_syncs(environ)
    address = address_of(email)
    with standing(known) as ground:
        found = everything(ground.client, ground.store, Person.of(address, key=ground.store.key), syncs=syncs)
    _print(found)
    return 0


def explain(environ: Mapping[str, str], *, email: str, as_json: bool = False) -> int:
    """Say where one person's rows went, and why."""
    known, syncs = settings.read(environ), read_syncs(environ)
    address = address_of(email)
    with standing(known) as ground, ExitStack() as stack:
        pairs = [(sync, stack.enter_context(opened_source(sync, environ))) for sync in syncs]
        person = Person.of(address, key=ground.store.key)
        found = explained(ground.client, ground.store, person, syncs=pairs, now=datetime.now(UTC))
    if as_json:
        _print(found)
    else:
        sys.stdout.write("\n".join(told(found)) + "\n")
    return 0


def erase(
    environ: Mapping[str, str], *, file: Path | None = None, again: bool = False, as_json: bool = False
) -> int:
    """Erase the people of a file, or everybody once more, by the same job that the UI offers."""
    if again == (file is not None):
        raise neither_or_both()
    known, syncs = settings.read(environ), read_syncs(environ)
    path = checked_path(str(file.resolve())) if file else ""
    unreadable = erasure.read_file(path).unreadable_lines if file else ()
    told = {"ops": {STEP: {"config": {"file": path, "again": again}}}}
    definitions = build_definitions(syncs, environ=environ)
    with instance_of(known) as instance:
        ran = run_job(definitions, JOB, instance=instance, config=told, logs=known.logs)
    lake, kept = Lake(known.lake), erasure.receipt_path(ran.run_id)
    receipt = json.loads(lake.read_bytes(kept)) if lake.exists(kept) else {}
    left = unreadable or receipt.get("not_deleted_yet")
    outcome = "data" if ran.outcome == "ok" and left else ran.outcome
    if as_json:
        printing.print_json({"outcome": outcome, "unreadable_lines": list(unreadable), **receipt})
    elif receipt:
        show_receipt(receipt)
    printing.say(ran.sentence, *not_done(unreadable, receipt))
    return ran.exit_code if ran.outcome != "ok" else EXIT_CODES[outcome]


def not_done(unreadable: Sequence[int], receipt: Mapping[str, Any]) -> Iterator[str]:
    """Whom an erasure could not reach, and what to do about it."""
    if unreadable:
        lines = ", ".join(map(str, unreadable[:50]))
        yield f"No address could be read in {len(unreadable)} lines: {lines}. Mend them and run again."
    if begun := receipt.get("not_deleted_yet"):
        yield (
            f"The erasure of {begun} people was begun and never finished: nothing is sent to them, but Mailtrap may "
            "still have them. Run `erase --file` with their file again."
        )


def show_receipt(receipt: Mapping[str, Any]) -> None:
    """The receipt as tables."""
    at_mailtrap = receipt["at_mailtrap"]
    printing.show(
        "erased",
        [
            ("people", f"{receipt['people']:,}"),
            ("deleted at Mailtrap", f"{at_mailtrap['deleted']:,}"),
            ("not there", f"{at_mailtrap['not_there']:,}"),
            *((f"rows of {place}", f"{counts['rows']:,}") for place, counts in receipt["places"].items()),
            ("requests", f"{receipt['requests']:,}"),
        ],
    )
    printing.say(f"Receipt: receipts/erasure-{receipt['run_id']}.json in the lake.")
    printing.say(*(f"Stays with Mailtrap: {each}." for each in receipt["stays_with_mailtrap"]))
    printing.say(*(f"Stays elsewhere: {each}." for each in receipt["stays_elsewhere"]))


def address_of(text: str) -> str:
    """The canonical address that was typed, or came on stdin; an error never repeats it."""
    line = sys.stdin.readline() if text == "-" else text
    address = read_address(line)
    if address is None:
        raise SettingsError(
            "This is no address that Mailtrap would take.",
            "People are found by their address, so nobody can be looked for.",
            "Give one address; `-` reads it from standard input.",
        )
    return address


def told(found: Record) -> Iterator[str]:
    """The way of one person's rows in sentences."""
    yield f"{found['email']}"
    if found["erased"]:
        yield f"  erased ({found['erased']}): nothing is sent, whatever the source says"
    for each in found["suppressed"]:
        yield f"  suppressed at Mailtrap: {each.get('type')} since {each.get('created_at')}"
    if found["unsubscribed"]:
        yield "  unsubscribed at Mailtrap, as last seen: nothing is sent"
    for name, each in found["syncs"].items():
        yield f"{name}"
        yield from (f"  {line}" for line in _of_sync(each))
    yield from _at_mailtrap(found)


def _of_sync(found: Record) -> Iterator[str]:
    if "source" in found:
        yield f"source: {found['source']}"
    yield f"source: rows in the warehouse: {len(found['rows'])}"
    rules = found["rules"]
    for each in rules.get("accepted", ()):
        yield f"rule: accepted (row {each['_source_key']}, as of {each['_as_of'] or 'no date'})"
    for each in rules.get("rejected", ()):
        yield f"rule: rejected (row {each['source_key']}, column {each['column']}, {each['reason']}): {each['remedy']}"
    for each in rules.get("no_consent", ()):
        yield f"rule: no consent ({each['reason']})"
    for each in found["payloads"]:
        yield f"payload: {each['change']} in import {each['import_id']} at {each['told_at']}, consent: {each['consent_evidence'] or 'no evidence column'}"
    for each in found["refused_by_mailtrap"]:
        yield f"refused by Mailtrap: {each['column'] or 'the contact'}: {each['mailtrap_says']}"
    yield from _in_report(found["drift"])
    last = found["told"]
    if last is None:
        yield "ledger: Mailtrap was never told"
    elif last["fingerprint"] is None:
        yield "ledger: Mailtrap was told that this person left"
    else:
        yield f"ledger: last told by import {last['import_id']}, as of {last['as_of'] or 'no date'}, lists {last['list_ids']}"


def _at_mailtrap(found: Record) -> Iterator[str]:
    contact = found["mailtrap"]
    if contact is None:
        yield "Mailtrap has no such contact now"
    else:
        yield f"Mailtrap has the contact now: {contact['status']}, lists {list(contact['list_ids'])}"
    for each in found["status_changes"]:
        yield f"changed from {each['former_status']} to {each['status']} {_when(each)}"
    for each in found["exported"]:
        yield f"the latest export has it: {each.get('status')}"


def _in_report(drift: Record | None) -> Iterator[str]:
    if drift is not None:
        fields = f" in {', '.join(drift['differing'])}" if drift["differing"] else ""
        yield f"drift: {drift['state'].replace('_', ' ')}{fields}, in the export of {drift['exported_at']}"


def _when(change: Record) -> str:
    """Between which takings, in which lists they were, and after which import."""
    lists = ", ".join(change["former_lists"] or ()) or "none that is known"
    told = (
        f"last told by import {change['after_import']} of {change['of_sync']} at {change['told_at']}"
        if change["after_import"] is not None
        else "no import of ours told Mailtrap about them before"
    )
    return f"between the takings of {change['former_taken_at']} and {change['taken_at']}; lists before: {lists}; {told}"


def _print(found: Mapping[str, Any]) -> None:
    printing.print_json(json.loads(json.dumps(found, default=str)))
