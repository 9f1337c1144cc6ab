"""Exports: one at a time per account, filtered, written as csv.gz for the storage host to hand out.

Belongs here: the two calls and the job. Not here: the columns (`layouts.py`), the download (`storage.py`).
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from resources.local_mailtrap.accounts import Account
from resources.local_mailtrap.answers import json_answer, not_found
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.clock import iso_milliseconds
from resources.local_mailtrap.exchange import Answer
from resources.local_mailtrap.jobs import NEVER, Job
from resources.local_mailtrap.knobs import Knobs
from resources.local_mailtrap.layouts import parts
from resources.local_mailtrap.storage import signed_url

BUSY = "There is a previous export initiated. You will be notified by email once it is completed."
Filter = Callable[[int], bool]


class BadFilterError(ValueError):
    """A filter that Mailtrap does not know."""


def create(call: Call) -> Answer:
    """POST /contacts/exports."""
    account = call.account
    try:
        filters = _filters(call.json(), account, call.knobs)
    except BadFilterError:
        return json_answer(422, {"errors": {"filters": "invalid"}})
    unfinished = (
        job for job in account.exports.values() if job.status(call.now) not in ("finished", "failed")
    )
    if call.effects.of("export_busy") is not None or any(unfinished):
        return json_answer(422, {"errors": {"base": [BUSY]}})
    return json_answer(201, _shown(_enqueue(call, filters), call, new=True))


def _filters(content: Any, account: Account, knobs: Knobs) -> list[Filter]:
    given = content.get("filters") if isinstance(content, dict) else None
    if given is None or given == []:
        if knobs["empty_filters"] == "reject":
            raise BadFilterError
        return []
    if not isinstance(given, list):
        raise BadFilterError
    return [_filter(each, account, knobs) for each in given]


def _filter(given: Any, account: Account, knobs: Knobs) -> Filter:
    if not isinstance(given, dict) or given.get("operator") != "equal":
        raise BadFilterError
    name, value, store = given.get("name"), given.get("value"), account.contacts
    if name == "list_id" and isinstance(value, list) and value and all(type(each) is int for each in value):
        wanted = frozenset(value)
        return lambda row: not wanted.isdisjoint(store.lists(row))
    if name == "subscription_status" and value in ("subscribed", "unsubscribed"):
        return lambda row: account.status(store.email(row) or "", knobs) == value
    raise BadFilterError


def _enqueue(call: Call, filters: list[Filter]) -> Job:
    account, knobs, number = call.account, call.knobs, call.world.number("export")
    fault, drift = call.effects.of("job") or {}, call.effects.of("csv") or {}
    starts = call.now + knobs["export_start_seconds"]
    ends = (
        starts
        + knobs["export_seconds_per_1000_rows"] * len(account.contacts) / 1000
        + fault.get("slow_seconds", 0)
    )
    if fault.get("stuck") == "created":
        starts = ends = NEVER
    elif fault.get("stuck") == "started":
        ends = NEVER

    def work(job: Job) -> Iterator[None]:
        packed, packer = bytearray(), zlib.compressobj(1, wbits=31)
        rows = [row for row in account.contacts.rows() if all(each(row) for each in filters)]
        job.details["rows"] = len(rows)
        for part in parts(account, rows, knobs=knobs, drift=drift):
            packed += packer.compress(part)
            yield
        job.content = bytes(packed + packer.flush())

    works = starts if knobs["export_snapshot"] == "start" else ends
    job = Job(number, call.now, starts, ends, works, work, fails=bool(fault.get("fails")))
    secret = call.world.random.getrandbits(128).to_bytes(16, "big")
    job.details |= {
        "secret": secret,
        "file": call.effects.of("file"),
        "name": f"export-{number}.csv.gz",
        **fault,
    }
    account.exports[number] = job
    call.queue.add(job)
    return job


def show(call: Call) -> Answer:
    """GET /contacts/exports/{id}: the URL is null until it is finished, and signed anew each time."""
    job = call.account.exports.get(call.arg_as_id())
    return not_found() if job is None else json_answer(200, _shown(job, call, new=False))


def _shown(job: Job, call: Call, *, new: bool) -> dict[str, Any]:
    status = "created" if new else job.status(call.now)
    url = None
    if status == "finished":
        url = signed_url(
            job, origin=call.storage_origin, now=call.now, seconds=call.knobs["export_url_seconds"]
        )
    return {
        "id": job.id,
        "created_at": iso_milliseconds(job.created_at),
        "updated_at": iso_milliseconds(job.created_at if new else job.updated_at(call.now)),
        "status": status,
        "url": url,
    }
