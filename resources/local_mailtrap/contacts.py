"""Single contacts: create, look up, update or create (PATCH), delete.

Belongs here: the calls on one contact. Not here: imports, events, and the rules for one value (`validation.py`).
"""

from typing import Any
from urllib.parse import unquote

from resources.local_mailtrap.accounts import Account
from resources.local_mailtrap.answers import (
    Errors,
    invalid,
    json_answer,
    no_contact,
    no_content,
    not_found,
    wrapper_missing,
)
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.contact_store import row_of_id
from resources.local_mailtrap.exchange import Answer
from resources.local_mailtrap.validation import (
    address_errors,
    canonical,
    field_changes,
    ids,
    known_only,
    list_errors,
)


def row_of(account: Account, identifier: str) -> int | None:
    """The contact with this id or address, as it stands in a path."""
    text = canonical(unquote(identifier))
    return account.contacts.row(text) if "@" in text else account.contacts.row_by_id(text)


def _note(call: Call, *emails: object) -> None:
    call.notes["emails"] = sorted(
        {canonical(each) for each in emails if isinstance(each, str) and "@" in each}
    )
    call.notes["rows"] = 1


def create(call: Call) -> Answer:
    """POST /contacts."""
    contact = call.object().get("contact")
    if not isinstance(contact, dict):
        return wrapper_missing("contact")
    account, knobs, email = call.account, call.knobs, contact.get("email")
    _note(call, email)
    changes, errors = field_changes(account, contact.get("fields"), knobs)
    if list_errors(contact.get("list_ids"), None, known=account.lists, knobs=knobs):
        errors["list_ids"] = ["contains invalid data"]
    if words := address_errors(email, knobs):
        errors = {"email": words, **errors}
    if errors:
        return invalid(errors, "contact_create", knobs=knobs)
    if (row := account.contacts.row(canonical(str(email)))) is not None:
        return _exists(call, row, contact, changes)
    if account.room == 0:
        return invalid({"base": ["contacts limit reached"]}, "contact_create", knobs=knobs)
    row = _create(call, canonical(str(email)), changes, lists=ids(contact.get("list_ids")))
    if contact.get("unsubscribed") is True:
        _unsubscribe(call, row)
    return json_answer(201, {"data": account.contact(row, knobs)})


def _exists(call: Call, row: int, contact: dict[str, Any], changes: dict[int, Any]) -> Answer:
    choice = call.knobs["dup_create"]
    if choice == 409:
        return json_answer(409, {"errors": "Contact exists"})
    if choice == 422:
        return invalid({"email": ["has already been taken"]}, "contact_create", knobs=call.knobs)
    _change(call, row, changes, included=ids(contact.get("list_ids")))
    return json_answer(201, {"data": call.account.contact(row, call.knobs)})


def _create(call: Call, email: str, changes: dict[int, Any], *, lists: tuple[int, ...]) -> int:
    values: list[Any] = [None] * (max(changes, default=-1) + 1)
    for position, value in changes.items():
        values[position] = value
    known = known_only(lists, call.account.lists)
    return call.account.contacts.create(email, values, lists=known, now_ms=call.now_ms)


def _change(
    call: Call,
    row: int,
    changes: dict[int, Any],
    *,
    included: tuple[int, ...] = (),
    excluded: tuple[int, ...] = (),
) -> None:
    store, known = call.account.contacts, call.account.lists
    changed = store.change_values(row, changes)
    changed |= store.change_lists(row, included=known_only(included, known), excluded=excluded)
    if changed:
        store.touch(row, call.now_ms)


def show(call: Call) -> Answer:
    """GET /contacts/{id or address}."""
    _note(call, unquote(call.args[0]))
    row = row_of(call.account, call.args[0])
    return not_found() if row is None else json_answer(200, {"data": call.account.contact(row, call.knobs)})


def update(call: Call) -> Answer:
    """PATCH /contacts/{id or address}: changes the contact, or creates it."""
    identifier = canonical(unquote(call.args[0]))
    if "@" not in identifier and row_of_id(identifier) is None:
        return not_found()
    contact = call.object().get("contact")
    if not isinstance(contact, dict):
        return wrapper_missing("contact")
    row = row_of(call.account, identifier)
    email = contact.get("email", identifier if row is None else call.account.contacts.email(row))
    _note(call, email, identifier)
    if row is None and "@" not in identifier:
        return not_found()
    changes, errors = _judge(call, contact, email=email, row=row)
    if errors:
        return invalid(errors, "contact_update", knobs=call.knobs)
    return _apply(call, contact, changes=changes, email=canonical(str(email)), row=row)


def _judge(
    call: Call, contact: dict[str, Any], *, email: object, row: int | None
) -> tuple[dict[int, Any], Errors]:
    account, knobs, errors = call.account, call.knobs, Errors()
    if words := address_errors(email, knobs):
        errors["email"] = words
    elif (
        (owner := account.contacts.row(canonical(str(email)))) is not None
        and row is not None
        and owner != row
    ):
        errors["email"] = ["has already been taken"]
    included, excluded = contact.get("list_ids_included"), contact.get("list_ids_excluded")
    errors |= list_errors(included, excluded, known=account.lists, knobs=knobs)
    changes, wrong = field_changes(account, contact.get("fields"), knobs)
    errors |= wrong
    if contact.get("unsubscribed") not in (None, True, False):
        errors["unsubscribed"] = ["is invalid"]
    if contact.get("unsubscribed") is False and knobs["resubscribe"] == "reject":
        errors["unsubscribed"] = ["can't be changed to false"]
    return changes, errors


def _apply(
    call: Call, contact: dict[str, Any], *, changes: dict[int, Any], email: str, row: int | None
) -> Answer:
    account, knobs, store = call.account, call.knobs, call.account.contacts
    included, excluded = ids(contact.get("list_ids_included")), ids(contact.get("list_ids_excluded"))
    row = store.row(email) if row is None else row
    action = "created" if row is None else "updated"
    if row is None:
        if account.room == 0:
            return invalid({"base": ["contacts limit reached"]}, "contact_update", knobs=knobs)
        row = _create(call, email, changes, lists=tuple(each for each in included if each not in excluded))
    else:
        if store.email(row) != email:
            store.rename(row, email)
            store.touch(row, call.now_ms)
        if knobs["patch_list_ids"] == "replace" and isinstance(contact.get("list_ids"), list):
            wanted = ids(contact["list_ids"])
            included, excluded = wanted, tuple(set(store.lists(row)) - set(wanted))
        _change(call, row, changes, included=included, excluded=excluded)
    if contact.get("unsubscribed") is True:
        _unsubscribe(call, row)
    elif contact.get("unsubscribed") is False:
        call.notes["resubscribe"] = True
        if knobs["resubscribe"] == "allow":
            account.unsubscribed.discard(email)
    return json_answer(200, {"action": action, "data": account.contact(row, knobs)})


def _unsubscribe(call: Call, row: int) -> None:
    account, email = call.account, call.account.contacts.email(row) or ""
    if email in account.unsubscribed:
        return
    account.unsubscribed.add(email)
    account.contacts.touch(row, call.now_ms)
    if call.knobs["unsubscribe_adds_suppression"]:
        call.world.add_suppression(account, email, now=call.now, kind="unsubscription", stream="bulk")


def put(call: Call) -> Answer:
    """PUT, which old clients used."""
    return update(call) if call.knobs["put_contact"] == "as_patch" else not_found()


def delete(call: Call) -> Answer:
    """DELETE /contacts/{id or address}: for good; that the person unsubscribed is still known."""
    _note(call, unquote(call.args[0]))
    if (row := row_of(call.account, call.args[0])) is None:
        return no_contact()
    call.account.contacts.delete(row)
    return no_content()


def index(call: Call) -> Answer:
    """GET /contacts, which may exist or not: a page of contacts and a token for the next."""
    if not call.knobs["contacts_index"]:
        return not_found()
    query = call.request.parameters
    size = min(100, int(query["per_page"])) if query.get("per_page", "").isdecimal() else 50
    start = row_of_id(query["token"]) if query.get("token") else 0
    rows = [row for row in call.account.contacts if row >= (start or 0)]
    more = call.account.contacts.id(rows[size]) if len(rows) > size else None
    data = [call.account.contact(row, call.knobs) for row in rows[:size]]
    return json_answer(200, {"data": data, "pagination": {"next_token": more}})
