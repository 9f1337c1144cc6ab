"""Mailtrap's contacts API as facts: its paths, its bodies, and the reading of every answer. Pure, stdlib only.

Nulls and unknown keys are tolerated; an unknown status is kept and means "not done". What must be there and is not
raises `MalformedError`, which never carries what was read. Complaints are read in `complaints.py`; requests are made in
`client.py`. Reference: https://github.com/mailtrap/mailtrap-openapi/blob/main/specs/contacts.openapi.yml
"""

import contextlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

from resources.mailtrap.complaints import Problem, RowProblem

PathStyle = Literal["account", "plain"]
Scalar = str | int | float | bool | None
DataType = Literal["text", "integer", "float", "boolean", "date"]
DATA_TYPES: tuple[DataType, ...] = ("text", "integer", "float", "boolean", "date")
ROWS_PER_IMPORT = 50_000
SUPPRESSIONS_PER_PAGE = 1000
_JOB_STATUSES = frozenset({"created", "started", "finished", "failed"})
_STATUS_WORD = re.compile(r"[a-z][a-z _-]{0,31}\Z")
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class MalformedError(ValueError):
    """An answer that is not what Mailtrap documents; says what was expected, never what was there."""


# ── facts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Account:
    """An account that the token can see."""

    id: int
    name: str
    access_levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list of contacts."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A custom field of the account; `data_type` is one of DATA_TYPES, or what Mailtrap may add to them."""

    id: int
    name: str
    data_type: str
    merge_tag: str


@dataclass(frozen=True, slots=True)
class Contact:
    """A person as Mailtrap knows them; only the id shows in a repr."""

    id: str
    email: str = field(repr=False)
    status: str
    list_ids: tuple[int, ...] = ()
    fields: Mapping[str, Scalar] = field(default_factory=dict, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def unsubscribed(self) -> bool:
        """True unless Mailtrap says plainly that the contact is subscribed."""
        return self.status != "subscribed"


@dataclass(frozen=True, slots=True)
class Upserted:
    """What a PATCH did: `action` is "created", "updated" or "unknown"."""

    action: str
    contact: Contact


@dataclass(frozen=True, slots=True)
class ImportJob:
    """Mailtrap's work on one payload. The counts exist only when it is finished, and not always then."""

    id: int
    status: str
    created_count: int | None = None
    updated_count: int | None = None
    over_limit_count: int | None = None

    @property
    def done(self) -> bool:
        """Finished, and nothing else: an unknown status means "not yet"."""
        return self.status == "finished"

    @property
    def failed(self) -> bool:
        """Mailtrap gave up on it."""
        return self.status == "failed"

    @property
    def accounted(self) -> int | None:
        """How many contacts the counts speak of; None when created or updated is not told (over the limit may be)."""
        if self.created_count is None or self.updated_count is None:
            return None
        return self.created_count + self.updated_count + (self.over_limit_count or 0)

    def adds_up(self, rows: int) -> bool | None:
        """Whether a finished job's counts speak of exactly the rows that were sent; None when they are not told."""
        if not self.done:
            return False
        return None if self.accounted is None else self.accounted == rows


@dataclass(frozen=True, slots=True)
class Export:
    """Mailtrap's work on one export. The URL is signed, so it never shows in a repr."""

    id: int
    status: str
    url: str | None = field(default=None, repr=False)
    created_at: datetime | None = None

    @property
    def done(self) -> bool:
        """Finished, with a file to fetch."""
        return self.status == "finished" and bool(self.url)

    @property
    def failed(self) -> bool:
        """Mailtrap gave up on it (undocumented, and possible)."""
        return self.status == "failed"


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that the sending side blocks; the address never shows in a repr."""

    id: str
    email: str = field(repr=False)
    type: str | None = None
    created_at: datetime | None = None
    sending_stream: str | None = None
    domain_name: str | None = None


# ── outcomes of requests that must not be repeated blindly ─────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The request may or may not have been carried out: look before you ask again. `reason` holds no data."""

    reason: str


@dataclass(frozen=True, slots=True)
class ImportAccepted:
    """Mailtrap took the payload and gave its job."""

    job: ImportJob


@dataclass(frozen=True, slots=True)
class ImportRefused:
    """Mailtrap took nothing of the payload. `rows` name contacts; `base` is about the payload as a whole."""

    rows: tuple[RowProblem, ...] = field(repr=False)
    base: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BodyTooLarge:
    """Mailtrap took nothing of the payload because of its size (413): send it in halves."""


@dataclass(frozen=True, slots=True)
class ExportStarted:
    """Mailtrap is at work on the export."""

    export: Export


@dataclass(frozen=True, slots=True)
class ExportBusy:
    """Another export of the account is under way: wait, then ask again."""


@dataclass(frozen=True, slots=True)
class ExportRefused:
    """Mailtrap does not take these filters."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class EventAccepted:
    """Mailtrap recorded the event."""

    contact_id: str | None


@dataclass(frozen=True, slots=True)
class EventRefused:
    """Mailtrap did not record the event: 404 (no such contact) or 422 (with its complaints)."""

    status: int
    problems: tuple[Problem, ...]


ImportOutcome = ImportAccepted | ImportRefused | BodyTooLarge | OutcomeUnknown
ExportOutcome = ExportStarted | ExportBusy | ExportRefused | OutcomeUnknown
EventOutcome = EventAccepted | EventRefused | OutcomeUnknown


# ── paths ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are. Mailtrap serves both styles; with "plain" the token alone says which account."""

    account_id: int
    style: PathStyle = "account"

    def contacts(self) -> str:
        """All contacts."""
        return self._of("contacts")

    def contact(self, identifier: str) -> str:
        """One contact, by id or address."""
        return f"{self.contacts()}/{segment(identifier)}"

    def events(self, identifier: str) -> str:
        """The events of one contact."""
        return f"{self.contact(identifier)}/events"

    def imports(self, import_id: int | None = None) -> str:
        """All import jobs, or one."""
        return self._numbered("contacts/imports", import_id)

    def exports(self, export_id: int | None = None) -> str:
        """All exports, or one."""
        return self._numbered("contacts/exports", export_id)

    def lists(self, list_id: int | None = None) -> str:
        """All lists, or one."""
        return self._numbered("contacts/lists", list_id)

    def fields(self, field_id: int | None = None) -> str:
        """All fields, or one."""
        return self._numbered("contacts/fields", field_id)

    def suppressions(self) -> str:
        """The suppressions of the account."""
        return self._of("suppressions")

    def usage(self) -> str:
        """The usage of the billing cycle."""
        return self._of("billing/usage")

    def _of(self, what: str) -> str:
        return f"/api/{what}" if self.style == "plain" else f"/api/accounts/{self.account_id:d}/{what}"

    def _numbered(self, what: str, number: int | None) -> str:
        return self._of(what) if number is None else f"{self._of(what)}/{number:d}"


ACCOUNTS_PATH = "/api/accounts"


def segment(identifier: str) -> str:
    """A contact's id or address as one path segment, percent-encoded.

    Anything else is refused: `lists` would name another resource, and `..` another path.
    """
    if "@" not in identifier and not _is_uuid(identifier):
        raise ValueError("A contact is named by its id (a UUID) or by its address; this is neither.")
    return quote(identifier, safe="")


def _is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


# ── bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────


def to_json(value: object) -> bytes:
    """A body; NaN and what JSON cannot hold are refused without being quoted."""
    with contextlib.suppress(TypeError, ValueError):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    # Raised out here, because the error of the encoder carries the whole body with it.
    raise ValueError(
        "A value cannot be written as JSON (NaN, infinity, a lone surrogate, or a type of its own)."
    )


def create_contact_body(email: str, *, fields: Mapping[str, Scalar] | None, list_ids: Sequence[int]) -> bytes:
    """POST /contacts: wrapped in `contact`, or Mailtrap answers 422."""
    contact: dict[str, Any] = {"email": email}
    if fields:
        contact["fields"] = dict(fields)
    if list_ids:
        contact["list_ids"] = list(list_ids)
    return to_json({"contact": contact})


def upsert_contact_body(
    email: str,
    *,
    fields: Mapping[str, Scalar] | None,
    list_ids_included: Sequence[int],
    list_ids_excluded: Sequence[int],
    unsubscribed: bool,
) -> bytes:
    """PATCH /contacts/{id}. `unsubscribed` is sent only when true: nobody is ever resubscribed by us."""
    contact: dict[str, Any] = {"email": email}
    if fields:
        contact["fields"] = dict(fields)
    if list_ids_included:
        contact["list_ids_included"] = list(list_ids_included)
    if list_ids_excluded:
        contact["list_ids_excluded"] = list(list_ids_excluded)
    if unsubscribed:
        contact["unsubscribed"] = True
    return to_json({"contact": contact})


def export_filters(
    *, list_ids: Sequence[int] = (), status: Literal["subscribed", "unsubscribed"] | None = None
) -> tuple[dict[str, object], ...]:
    """The two filters that Mailtrap documents; none means everyone."""
    filters: list[dict[str, object]] = []
    if list_ids:
        filters.append({"name": "list_id", "operator": "equal", "value": list(list_ids)})
    if status:
        filters.append({"name": "subscription_status", "operator": "equal", "value": status})
    return tuple(filters)


def moment_text(moment: datetime) -> str:
    """A moment as a query takes it, in UTC and whole seconds, rounded down; one without a zone is taken as UTC."""
    in_utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return in_utc.strftime("%Y-%m-%dT%H:%M:%SZ")


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────


def from_json(body: bytes) -> object:
    """A body as JSON; `MalformedError` for anything else, HTML, cut-off and absurdly deep JSON included."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    # Raised out here, because the error of the decoder carries the whole body with it.
    raise MalformedError("the answer is not JSON")


def read_accounts(body: bytes) -> tuple[Account, ...]:
    """GET /api/accounts."""
    return tuple(
        Account(_id(item), _text(item.get("name")) or "", _integers(item.get("access_levels")))
        for item in _items(body, "accounts")
    )


def read_usage(body: bytes) -> dict[str, Any]:
    """GET billing/usage: plans and counts, as Mailtrap gives them (its shape differs from account to account)."""
    return _mapping(from_json(body), "the usage")


def read_lists(body: bytes) -> tuple[ContactList, ...]:
    """GET /contacts/lists."""
    return tuple(_list(item) for item in _items(body, "lists"))


def read_list(body: bytes) -> ContactList:
    """One list."""
    return _list(_mapping(from_json(body), "a list"))


def read_fields(body: bytes) -> tuple[Field, ...]:
    """GET /contacts/fields."""
    return tuple(_field(item) for item in _items(body, "fields"))


def read_field(body: bytes) -> Field:
    """One field."""
    return _field(_mapping(from_json(body), "a field"))


def read_contact(body: bytes) -> Contact:
    """A contact, which stands under `data`."""
    return _contact(_mapping(from_json(body), "a contact"))


def read_upserted(body: bytes) -> Upserted:
    """PATCH /contacts/{id}."""
    answer = _mapping(from_json(body), "a contact")
    action = answer.get("action")
    return Upserted(action if action in ("created", "updated") else "unknown", _contact(answer))


def read_import(body: bytes, *, import_id: int | None = None) -> ImportJob:
    """An import job; `import_id` is the one that was asked for, and another one's answer is no answer."""
    answer = _mapping(from_json(body), "an import job")
    return ImportJob(
        id=_job_id(answer, import_id),
        status=_status(answer),
        created_count=_count(answer.get("created_contacts_count")),
        updated_count=_count(answer.get("updated_contacts_count")),
        over_limit_count=_count(answer.get("contacts_over_limit_count")),
    )


def read_export(body: bytes, *, export_id: int | None = None) -> Export:
    """An export; `export_id` is the one that was asked for."""
    answer = _mapping(from_json(body), "an export")
    url = _text(answer.get("url"))
    return Export(_job_id(answer, export_id), _status(answer), url or None, _moment(answer.get("created_at")))


def read_event(body: bytes) -> EventAccepted:
    """POST events: an echo."""
    return EventAccepted(_text(_mapping(from_json(body), "an event").get("contact_id")))


def read_suppressions(body: bytes) -> tuple[Suppression, ...]:
    """One page of suppressions; `""` and null both mean "not given"."""
    return tuple(_suppression(item) for item in _items(body, "suppressions"))


def is_last_page(found: int, *, fresh: int, of_one: bool, doubtful: bool) -> bool:
    """Whether a page of suppressions is the last.

    Overlooking somebody who is suppressed is worse than a request too many, so that the end is an empty page: a short
    one is trusted only when one address was asked for, or when it repeats what is known. An empty page that comes
    first, or right after a full one, is doubtful and asked for once more.
    """
    if found == 0:
        return of_one or not doubtful
    short = found < SUPPRESSIONS_PER_PAGE
    return short and (of_one or fresh == 0)


def _no_constant(_name: str) -> object:
    raise ValueError


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"the answer is not {what}")
    return value


def _items(body: bytes, what: str) -> list[dict[str, Any]]:
    """A bare array, or one under `data`; an entry that is no object would be a person overlooked."""
    value = from_json(body)
    if isinstance(value, dict):
        value = value.get("data")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"the answer is not an array of {what}")
    return value


def _list(item: dict[str, Any]) -> ContactList:
    return ContactList(_id(item), _needed(item, "name"))


def _field(item: dict[str, Any]) -> Field:
    merge_tag = _needed(item, "merge_tag")
    return Field(
        _id(item), _text(item.get("name")) or merge_tag, _text(item.get("data_type")) or "unknown", merge_tag
    )


def _contact(answer: dict[str, Any]) -> Contact:
    data = _mapping(answer.get("data", answer), "a contact")
    fields = data.get("fields")
    return Contact(
        id=_needed(data, "id"),
        email=_needed(data, "email"),
        status=_text(data.get("status")) or "unknown",
        list_ids=_integers(data.get("list_ids")),
        fields=fields if isinstance(fields, dict) else {},
        created_at=_moment(data.get("created_at")),
        updated_at=_moment(data.get("updated_at")),
    )


def _suppression(item: dict[str, Any]) -> Suppression:
    return Suppression(
        id=_needed(item, "id"),
        email=_needed(item, "email"),
        type=_text(item.get("type")) or None,
        created_at=_moment(item.get("created_at")),
        sending_stream=_text(item.get("sending_stream")) or None,
        domain_name=_text(item.get("domain_name")) or None,
    )


def _job_id(answer: dict[str, Any], asked: int | None) -> int:
    if asked is not None and answer.get("id") is None:
        return asked
    found = _id(answer)
    if asked is not None and found != asked:
        raise MalformedError("the answer is about another job")
    return found


def _status(answer: dict[str, Any]) -> str:
    """One of the four words, else `unknown:` and a harmless form of what was said."""
    said = answer.get("status")
    if isinstance(said, str) and said in _JOB_STATUSES:
        return said
    return f"unknown:{said}" if isinstance(said, str) and _STATUS_WORD.match(said) else "unknown:"


def _id(item: dict[str, Any]) -> int:
    found = _count(item.get("id"))
    if found is None:
        raise MalformedError("the answer has no id")
    return found


def _needed(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    if not found:
        raise MalformedError(f"the answer has no {key}")
    return found


def _text(value: object) -> str | None:
    """Text that can be written again: a lone surrogate is legal in JSON and nowhere else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _count(value: object) -> int | None:
    """A whole number from 0 to 2^63-1, also as text; None for everything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def _integers(value: object) -> tuple[int, ...]:
    found = [_count(item) for item in value] if isinstance(value, list) else []
    return tuple(number for number in found if number is not None)


def _moment(value: object) -> datetime | None:
    """Contacts carry epoch milliseconds, jobs and suppressions ISO 8601."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return _UNIX + timedelta(milliseconds=value)
        if isinstance(value, str) and value:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None
