"""The world: accounts with their lists, fields, contacts, suppressions and jobs, and the tokens that reach them.

Belongs here: what is stored. Not here: contacts' parts (`contact_store.py`), what each call does (a file per noun).
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from resources.local_mailtrap.contact_store import ContactStore
from resources.local_mailtrap.jobs import Job
from resources.local_mailtrap.knobs import Knobs
from resources.local_mailtrap.limits import Limiter

FieldType = Literal["text", "integer", "float", "boolean", "date"]
FIELD_TYPES: tuple[FieldType, ...] = ("text", "integer", "float", "boolean", "date")
DEFAULT_ACCOUNT, DEFAULT_NAME = 2326475, "Local account"
OWNER, ADMIN, VIEWER = 1000, 100, 10


@dataclass(slots=True)
class ContactList:
    """A list."""

    id: int
    name: str

    def as_json(self) -> dict[str, Any]:
        """As Mailtrap shows it."""
        return {"id": self.id, "name": self.name}


@dataclass(slots=True)
class Field:
    """A custom field; `position` is where contacts keep its value, `usage` what keeps it from being deleted."""

    id: int
    name: str
    data_type: FieldType
    merge_tag: str
    position: int
    usage: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As Mailtrap shows it."""
        return {"id": self.id, "name": self.name, "data_type": self.data_type, "merge_tag": self.merge_tag}


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that must not be written to."""

    id: str
    email: str
    type: str
    created_at: float
    sending_stream: str
    domain_name: str = ""


@dataclass(slots=True)
class Account:
    """One account and all that it holds."""

    id: int
    name: str
    access_levels: tuple[int, ...] = (OWNER,)
    contact_limit: int | None = None
    lists: dict[int, ContactList] = field(default_factory=dict)
    fields: dict[int, Field] = field(default_factory=dict)
    fields_made: int = 0
    contacts: ContactStore = field(default_factory=ContactStore)
    unsubscribed: set[str] = field(default_factory=set)
    suppressions: dict[str, Suppression] = field(default_factory=dict)
    suppressed: dict[str, list[str]] = field(default_factory=dict)
    imports: dict[int, Job] = field(default_factory=dict)
    exports: dict[int, Job] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    contacts_limiter: Limiter = field(default_factory=Limiter)
    suppressions_limiter: Limiter = field(default_factory=Limiter)

    @property
    def may_write(self) -> bool:
        """Whether more than looking is allowed."""
        return any(level > VIEWER for level in self.access_levels)

    @property
    def room(self) -> int | None:
        """How many more contacts the plan allows; None without a limit."""
        return None if self.contact_limit is None else max(0, self.contact_limit - len(self.contacts))

    def field_by_tag(self, merge_tag: str) -> Field | None:
        """The field with this merge tag."""
        return next((each for each in self.fields.values() if each.merge_tag == merge_tag), None)

    def list_by_name(self, name: str) -> ContactList | None:
        """The list with this name, whatever its case."""
        return next((each for each in self.lists.values() if each.name.lower() == name.lower()), None)

    def suppress(self, suppression: Suppression) -> None:
        """Add a suppression."""
        self.suppressions[suppression.id] = suppression
        self.suppressed.setdefault(suppression.email, []).append(suppression.id)

    def release(self, suppression_id: str) -> Suppression | None:
        """Remove a suppression."""
        if (found := self.suppressions.pop(suppression_id, None)) is not None:
            self.suppressed[found.email].remove(suppression_id)
            if not self.suppressed[found.email]:
                del self.suppressed[found.email]
        return found

    def status(self, email: str, knobs: Knobs) -> str:
        """`unsubscribed` when the person said so or is suppressed, whatever was imported since."""
        if email in self.unsubscribed:
            return "unsubscribed"
        for each in self.suppressed.get(email, ()):
            stream = self.suppressions[each].sending_stream
            if knobs["suppressions_unsubscribe"] == "any" or stream in ("bulk", "any"):
                return "unsubscribed"
        return "subscribed"

    def contact(self, row: int, knobs: Knobs) -> dict[str, Any]:
        """A contact in Mailtrap's key order."""
        store, email = self.contacts, self.contacts.email(row) or ""
        values, (created, updated) = store.values(row), store.times(row)
        return {
            "id": store.id(row),
            "email": email,
            "created_at": created,
            "updated_at": updated,
            "list_ids": [*store.lists(row)],
            "status": self.status(email, knobs),
            "fields": self._fields_of(values, with_unset=knobs["unset_fields"] == "null"),
        }

    def _fields_of(self, values: list[Any], *, with_unset: bool) -> dict[str, Any]:
        padded = [*values, *[None] * (self.fields_made - len(values))]
        shown = {each.merge_tag: padded[each.position] for each in self.fields.values()}
        return shown if with_unset else {tag: value for tag, value in shown.items() if value is not None}


class World:
    """Everything there is: reset makes a new one."""

    def __init__(self, seed: int, token: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - the same script shall see the same ids
        self.accounts: dict[int, Account] = {}
        self.tokens: dict[str, tuple[int, ...]] = {}
        self.token_limiters: dict[str, Limiter] = {}
        self.leaks: list[dict[str, Any]] = []
        self._numbers = {"list": 26_729, "field": 6_729, "import": 0, "export": 651}
        self.add_account(DEFAULT_ACCOUNT, DEFAULT_NAME)
        self.tokens[token] = (DEFAULT_ACCOUNT,)

    def number(self, noun: str) -> int:
        """The next id of a list, field, import or export."""
        self._numbers[noun] += 1
        return self._numbers[noun]

    def uuid(self) -> str:
        """A random UUID, the same in every run of the same script."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add_account(self, account_id: int, name: str) -> Account:
        """A new account, with the two fields that every account starts with."""
        account = self.accounts[account_id] = Account(account_id, name)
        for label, tag in (("First name", "first_name"), ("Last name", "last_name")):
            self.add_field(account, label, data_type="text", merge_tag=tag)
        return account

    def add_field(self, account: Account, name: str, *, data_type: FieldType, merge_tag: str) -> Field:
        """A new field."""
        made = Field(self.number("field"), name, data_type, merge_tag, account.fields_made)
        account.fields_made += 1
        account.fields[made.id] = made
        return made

    def add_list(self, account: Account, name: str) -> ContactList:
        """A new list."""
        made = ContactList(self.number("list"), name)
        account.lists[made.id] = made
        return made

    def add_suppression(
        self, account: Account, email: str, *, now: float, kind: str, stream: str, domain: str = ""
    ) -> Suppression:
        """A new suppression."""
        made = Suppression(self.uuid(), email.strip().lower(), kind, now, stream, domain)
        account.suppress(made)
        return made

    def reachable(self, token: str | None) -> Iterator[Account]:
        """The accounts that a token has access to."""
        for each in self.tokens.get(token or "", ()):
            if each in self.accounts:
                yield self.accounts[each]
