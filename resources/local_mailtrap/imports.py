"""Imports: a body of up to 50,000 contacts is judged as a whole, then applied later by a job.

Belongs here: reading, judging and applying an import, and its answers. Not here: rules for one value
(`validation.py`), how contacts are kept (`contact_store.py`).

A good body is read by a decoder made for the account's fields, so that only refused ones pay for the words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from resources.local_mailtrap.accounts import Account
from resources.local_mailtrap.answers import Errors, bad_request, json_answer, not_found, wrapper_missing
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.clock import iso_milliseconds
from resources.local_mailtrap.exchange import Answer
from resources.local_mailtrap.jobs import NEVER, Job
from resources.local_mailtrap.knobs import Knobs
from resources.local_mailtrap.validation import (
    address_errors,
    canonical,
    field_changes,
    ids,
    is_plain,
    known_only,
    list_errors,
)

ROWS_PER_STEP = 1000
_NO_IDS = msgspec.Raw(b"null")


class Row(msgspec.Struct, gc=False):
    """One contact of an import, ready to be applied; not tracked by the garbage collector, which halves the time."""

    email: str
    changes: Any  # a Fields struct of the decoder, or values by position
    included: tuple[int, ...]
    excluded: tuple[int, ...]


@dataclass(slots=True)
class Parsed:
    """A body that was read: its rows, the addresses it named, and every reason to refuse it."""

    rows: list[Row] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    refused: list[tuple[str, Errors]] = field(default_factory=list)
    base: list[str] = field(default_factory=list)
    answer: Answer | None = None

    def refuse(self, email: object, errors: Errors) -> None:
        """Note why a row is refused; a row that is refused twice keeps all reasons."""
        self.refused.append((email if isinstance(email, str) else "", errors))


def parse(body: bytes, account: Account, knobs: Knobs) -> Parsed:
    """Read and judge a whole body; nothing is changed by it."""
    try:
        contacts = _decoder(account, knobs).decode(body).contacts
        rows: list[Any] = contacts
        fast = True
    except (msgspec.ValidationError, _NotFastError):
        fast = False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Parsed(answer=bad_request(knobs))
    if not fast:
        found = _slow_rows(body)
        if isinstance(found, Answer):
            return Parsed(answer=found)
        rows = found
    parsed = Parsed(emails=[canonical(_email(row)) for row in rows])
    if refusal := _whole(len(rows), knobs):
        parsed.base.append(refusal)
        return parsed
    (_judge_fast if fast else _judge_slow)(rows, parsed, account=account, knobs=knobs)
    if knobs["import_duplicates"] == "reject" and len(set(parsed.emails)) < len(parsed.emails):
        _refuse_duplicates(parsed)
    return parsed


def _email(row: Any) -> str:
    email = row.get("email") if isinstance(row, Mapping) else getattr(row, "email", "")
    return email if isinstance(email, str) else ""


def _whole(count: int, knobs: Knobs) -> str | None:
    if count > knobs["import_max_contacts"]:
        return f"cannot import more than {knobs['import_max_contacts']} contacts at once"
    if not count and knobs["empty_import"] == "reject":
        return "contacts can't be blank"
    return None


class _NotFastError(Exception):
    """A knob asks for what the made-to-measure decoder cannot decide."""


def _decoder(account: Account, knobs: Knobs) -> "msgspec.json.Decoder[Any]":
    """A decoder that accepts exactly the fields and types of this account."""
    lenient = ("unknown_fields", "numbers_in_text", "text_numbers", "long_text", "null_values")
    if any(knobs[each] not in ("reject", "clear") for each in lenient):
        raise _NotFastError
    bits = 63 if knobs["integer_range"] == "int64" else 31
    kinds: dict[str, Any] = {
        "text": Annotated[str, Meta(max_length=knobs["text_max_length"])],
        "integer": Annotated[int, Meta(ge=-(1 << bits), le=(1 << bits) - 1)],
        "float": int | float,
        "boolean": bool,
        "date": date,
    }
    by_position = {each.position: each for each in account.fields.values()}
    names, rename = [], {}
    for position in range(account.fields_made):
        found = by_position.get(position)
        kind = kinds[found.data_type] if found else UnsetType
        names.append((f"at_{position}", kind | None | UnsetType if found else UnsetType, UNSET))
        rename[f"at_{position}"] = found.merge_tag if found else f" {position} "
    fields = msgspec.defstruct("Fields", names, rename=rename, forbid_unknown_fields=True, gc=False)
    contact = msgspec.defstruct(
        "Contact",
        [
            ("email", str),
            ("fields", fields | None, None),
            ("list_ids_included", msgspec.Raw, _NO_IDS),
            ("list_ids_excluded", msgspec.Raw, _NO_IDS),
        ],
        gc=False,
    )
    return msgspec.json.Decoder(msgspec.defstruct("Body", [("contacts", list[contact])]))  # type: ignore[valid-type]


def _slow_rows(body: bytes) -> list[Any] | Answer:
    content = msgspec.json.decode(body)
    if not isinstance(content, dict) or "contacts" not in content:
        return wrapper_missing("contacts")
    if not isinstance(content["contacts"], list):
        return json_answer(422, {"errors": {"contacts": ["must be an array"]}})
    return content["contacts"]


def _judge_fast(rows: list[Any], parsed: Parsed, *, account: Account, knobs: Knobs) -> None:
    lists, longest = _Lists(account, knobs), knobs["email_max_length"]
    for row, email in zip(rows, parsed.emails, strict=True):
        errors, kept = lists.as_sent(bytes(row.list_ids_included), bytes(row.list_ids_excluded))
        if not (is_plain(email) and len(email) <= longest) and (words := address_errors(email, knobs)):
            errors = {**errors, "email": words}
        if errors:
            parsed.refuse(row.email, errors)
            continue
        parsed.rows.append(Row(email, row.fields or {}, *kept))


def _judge_slow(rows: list[Any], parsed: Parsed, *, account: Account, knobs: Knobs) -> None:
    lists = _Lists(account, knobs)
    for row, email in zip(rows, parsed.emails, strict=True):
        if not isinstance(row, dict):
            parsed.refuse("", {"base": ["is invalid"]})
            continue
        changes, wrong = field_changes(account, row.get("fields"), knobs)
        errors = {**lists.errors(row.get("list_ids_included"), row.get("list_ids_excluded")), **wrong}
        if words := address_errors(row.get("email"), knobs):
            errors["email"] = words
        if errors:
            parsed.refuse(row.get("email"), errors)
            continue
        kept = lists.kept(row.get("list_ids_included"), row.get("list_ids_excluded"))
        parsed.rows.append(Row(email, changes, *kept))


Sides = tuple[tuple[int, ...], tuple[int, ...]]


class _Lists:
    """Judges list ids, each combination once."""

    def __init__(self, account: Account, knobs: Knobs) -> None:
        self._known, self._knobs = frozenset(account.lists), knobs
        self._seen: dict[tuple[bytes, bytes], tuple[Errors, Sides]] = {}

    def as_sent(self, included: bytes, excluded: bytes) -> tuple[Errors, Sides]:
        """Why they are refused, and the ids that are applied, from their JSON."""
        if (found := self._seen.get((included, excluded))) is None:
            both = msgspec.json.decode(included), msgspec.json.decode(excluded)
            found = self._seen[included, excluded] = self.errors(*both), self.kept(*both)
        return found

    def kept(self, included: object, excluded: object) -> Sides:
        """The ids that are applied."""
        return known_only(ids(included), self._known), known_only(ids(excluded), self._known)

    def errors(self, included: object, excluded: object) -> Errors:
        """Why they are refused, whatever was given for list ids."""
        return list_errors(included, excluded, known=self._known, knobs=self._knobs)


def _refuse_duplicates(parsed: Parsed) -> None:
    seen: set[str] = set()
    for email in parsed.emails:
        if email in seen:
            parsed.refuse(email, {"email": ["has already been taken"]})
        seen.add(email)


def create(call: Call) -> Answer:
    """POST /contacts/imports: refused as a whole, or a job."""
    account, knobs = call.account, call.knobs
    parsed: Parsed = call.parsed or parse(call.request.body, account, knobs)
    call.notes |= {"rows": len(parsed.emails), "emails": parsed.emails}
    if parsed.answer is not None:
        return parsed.answer
    _bend(call, parsed)
    if knobs["plan_limit"] == "refuse" and account.room is not None:
        _refuse_over_plan(parsed, account)
    refused = bool(parsed.refused or parsed.base)
    if refused and not (knobs["import_partial"] and not parsed.base):
        return refusal(parsed, knobs)
    job = _enqueue(call, parsed.rows)
    return refusal(parsed, knobs) if refused else json_answer(201, _shown(job, call, new=True))


def _bend(call: Call, parsed: Parsed) -> None:
    """Refuse good rows, because a fault says so."""
    if (effect := call.effects.of("refuse_rows")) is None or parsed.refused:
        return
    if effect.get("base"):
        parsed.base.append(str(effect["base"]))
        return
    words: Errors = effect.get("errors") or {"email": ["is invalid"]}
    named = {canonical(each) for each in effect.get("emails", ())}
    chosen = (
        [email for email in parsed.emails if email in named]
        if named
        else parsed.emails[: effect.get("rows", 1)]
    )
    for email in chosen:
        parsed.refuse(email.upper() if effect.get("other_case") else email, words)


def _refuse_over_plan(parsed: Parsed, account: Account) -> None:
    room = account.room or 0
    for row in parsed.rows:
        if account.contacts.row(row.email) is None:
            room -= 1
            if room < 0:
                parsed.refuse(row.email, {"base": ["contacts limit reached"]})


def refusal(parsed: Parsed, knobs: Knobs) -> Answer:
    """422: an array of {email, errors}; what concerns the whole import stands under `base`."""
    merged: dict[str, Errors] = {}
    for email, errors in parsed.refused:
        into = merged.setdefault(email, {})
        for key, words in errors.items():
            into[key] = [*into.get(key, []), *(word for word in words if word not in into.get(key, []))]
    items: list[dict[str, Any]] = [{"email": email, "errors": errors} for email, errors in merged.items()]
    if parsed.base:
        shape, base = knobs["import_base_error"], {"base": parsed.base}
        if shape == "object":
            return json_answer(422, {"errors": base})
        first = {"email": parsed.emails[0]} if shape == "first_email" and parsed.emails else {}
        items.insert(0, {**first, "errors": base})
    return json_answer(422, {"errors": items})


def _enqueue(call: Call, rows: list[Row]) -> Job:
    account, knobs, job_id = call.account, call.knobs, call.world.number("import")
    fault = call.effects.of("job") or {}
    starts = call.now + knobs["import_start_seconds"]
    ends = starts + knobs["import_seconds_per_1000_rows"] * len(rows) / 1000 + fault.get("slow_seconds", 0)
    if fault.get("stuck") == "created":
        starts = ends = NEVER
    elif fault.get("stuck") == "started":
        ends = NEVER

    def work(job: Job) -> Iterator[None]:
        yield from _apply(job, rows, account=account, now_ms=round(ends * 1000))
        rows.clear()

    job = Job(job_id, call.now, starts, ends, ends, work, fails=bool(fault.get("fails")))
    job.details = {"rows": len(rows), **fault}
    over = call.effects.of("over_limit")
    if over:
        job.details["over_limit"] = over.get("rows", 1)
    account.imports[job_id] = job
    call.queue.add(job)
    return job


def _apply(job: Job, rows: list[Row], *, account: Account, now_ms: int) -> Iterator[None]:
    counts = {"created": 0, "updated": 0, "over": 0}
    seen: set[str] = set()
    skipped = job.details.get("over_limit", 0)
    for number, row in enumerate(rows, start=1):
        done = "over" if number <= skipped else _apply_row(account, row, now_ms)
        if row.email not in seen:
            counts[done] += 1
            seen.add(row.email)
        if number % ROWS_PER_STEP == 0:
            yield
    job.counts = {
        "created_contacts_count": counts["created"],
        "updated_contacts_count": counts["updated"],
        "contacts_over_limit_count": counts["over"],
    }
    if job.details.get("counts_off"):
        job.counts["updated_contacts_count"] += job.details["counts_off"]


def _apply_row(account: Account, row: Row, now_ms: int) -> str:
    store = account.contacts
    at = store.row(row.email)
    if at is None:
        if account.room == 0:
            return "over"
        excluded = row.excluded
        lists = row.included if not excluded else tuple(each for each in row.included if each not in excluded)
        store.create(row.email, _values(row.changes), lists=lists, now_ms=now_ms)
        return "created"
    changed = store.change_values(at, _changes(row.changes))
    if row.included or row.excluded:
        changed |= store.change_lists(at, included=row.included, excluded=row.excluded)
    if changed:
        store.touch(at, now_ms)
    return "updated"


def _values(changes: Any) -> list[Any]:
    if not isinstance(changes, dict):
        return [None if value is UNSET else value for value in msgspec.structs.astuple(changes)]
    values: list[Any] = [None] * (max(changes, default=-1) + 1)
    for position, value in changes.items():
        values[position] = value
    return values


def _changes(changes: Any) -> dict[int, Any]:
    if isinstance(changes, dict):
        return changes
    values = msgspec.structs.astuple(changes)
    return {at: _plain(value) for at, value in enumerate(values) if value is not UNSET}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def show(call: Call) -> Answer:
    """GET /contacts/imports/{id}: counts only when it is finished."""
    job = call.account.imports.get(call.arg_as_id())
    return not_found() if job is None else json_answer(200, _shown(job, call, new=False))


def _shown(job: Job, call: Call, *, new: bool) -> dict[str, Any]:
    status = "created" if new else job.status(call.now)
    shown: dict[str, Any] = {"id": job.id, "status": status}
    if call.knobs["import_times"]:
        shown["created_at"] = iso_milliseconds(job.created_at)
        shown["updated_at"] = iso_milliseconds(job.created_at if new else job.updated_at(call.now))
    if status == "finished":
        shown |= job.counts
    return shown
