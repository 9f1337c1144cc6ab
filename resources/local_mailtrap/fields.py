"""Custom fields: five types, which never change, at most forty.

Belongs here: the calls on fields. Not here: what a field's values may be (`validation.py`).
"""

from typing import Any

from resources.local_mailtrap.accounts import FIELD_TYPES, Account, Field
from resources.local_mailtrap.answers import Errors, invalid, json_answer, no_content, not_found
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.exchange import Answer

MAX_LENGTH = 80


def index(call: Call) -> Answer:
    """GET /contacts/fields."""
    return json_answer(200, [each.as_json() for each in call.account.fields.values()])


def create(call: Call) -> Answer:
    """POST /contacts/fields."""
    body, account = call.object(), call.account
    errors = _errors(account, body, keys=("name", "merge_tag"))
    if body.get("data_type") not in FIELD_TYPES:
        errors["data_type"] = ["is not included in the list"]
    if not errors and len(account.fields) >= call.knobs["max_fields"]:
        errors = {"base": ["fields limit reached"]}
    if errors:
        return invalid(errors, "field", knobs=call.knobs)
    made = call.world.add_field(
        account, body["name"], data_type=body["data_type"], merge_tag=body["merge_tag"]
    )
    return json_answer(201, made.as_json())


def _errors(
    account: Account, body: dict[str, Any], *, keys: tuple[str, ...], but: Field | None = None
) -> Errors:
    errors: Errors = {}
    for key in keys:
        value = body.get(key)
        if not isinstance(value, str) or not value.strip():
            errors[key] = ["can't be blank"]
            continue
        words = [f"is too long (maximum is {MAX_LENGTH} characters)"] if len(value) > MAX_LENGTH else []
        others = (each for each in account.fields.values() if each is not but)
        if any(getattr(each, key).lower() == value.lower() for each in others):
            words.append("has already been taken")
        if words:
            errors[key] = words
    return errors


def show(call: Call) -> Answer:
    """GET /contacts/fields/{id}."""
    found = call.account.fields.get(call.arg_as_id())
    return not_found() if found is None else json_answer(200, found.as_json())


def update(call: Call) -> Answer:
    """PATCH /contacts/fields/{id}: a `data_type` in the body is passed over in silence."""
    if (found := call.account.fields.get(call.arg_as_id())) is None:
        return not_found()
    body = call.object()
    keys = tuple(key for key in ("name", "merge_tag") if key in body)
    if errors := _errors(call.account, body, keys=keys, but=found):
        return invalid(errors, "field", knobs=call.knobs)
    found.name, found.merge_tag = body.get("name", found.name), body.get("merge_tag", found.merge_tag)
    return json_answer(200, found.as_json())


def delete(call: Call) -> Answer:
    """DELETE /contacts/fields/{id}: its values are gone from every contact; refused while it is used."""
    found = call.account.fields.get(call.arg_as_id())
    if found is None:
        return not_found()
    if found.usage:
        return json_answer(422, {"errors": {"usage": [*found.usage]}})
    del call.account.fields[found.id]
    call.account.contacts.forget_position(found.position)
    return no_content()
