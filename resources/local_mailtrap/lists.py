"""Lists: bodies without a wrapper, answers without one, 200 also for a new one.

Belongs here: the calls on lists. Not here: who is on them (`contact_store.py`).
"""

from resources.local_mailtrap.accounts import Account, ContactList
from resources.local_mailtrap.answers import Errors, invalid, json_answer, no_content, not_found
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.exchange import Answer
from resources.local_mailtrap.knobs import Knobs

NAME_MAX_LENGTH = 255


def index(call: Call) -> Answer:
    """GET /contacts/lists, all or those whose name begins with `search`."""
    prefix = call.request.parameters.get("search", "").lower()
    found = (each for each in call.account.lists.values() if each.name.lower().startswith(prefix))
    return json_answer(200, [each.as_json() for each in found])


def create(call: Call) -> Answer:
    """POST /contacts/lists."""
    name = call.object().get("name")
    errors = _errors(call.account, name, knobs=call.knobs)
    if not errors and len(call.account.lists) >= call.knobs["max_lists"]:
        errors = {"base": ["lists limit reached"]}
    if errors:
        return invalid(errors, "list", knobs=call.knobs)
    return json_answer(200, call.world.add_list(call.account, str(name).strip()).as_json())


def _errors(account: Account, name: object, *, knobs: Knobs, but: ContactList | None = None) -> Errors:
    if not isinstance(name, str) or not name.strip():
        return {"name": ["can't be blank"]}
    if len(name) > NAME_MAX_LENGTH:
        return {"name": [f"is too long (maximum is {NAME_MAX_LENGTH} characters)"]}
    if knobs["unique_lists"] and account.list_by_name(name.strip()) not in (None, but):
        return {"name": ["has already been taken"]}
    return {}


def show(call: Call) -> Answer:
    """GET /contacts/lists/{id}."""
    found = call.account.lists.get(call.arg_as_id())
    return not_found() if found is None else json_answer(200, found.as_json())


def update(call: Call) -> Answer:
    """PATCH /contacts/lists/{id}."""
    if (found := call.account.lists.get(call.arg_as_id())) is None:
        return not_found()
    name = call.object().get("name")
    if errors := _errors(call.account, name, knobs=call.knobs, but=found):
        return invalid(errors, "list", knobs=call.knobs)
    found.name = str(name).strip()
    return json_answer(200, found.as_json())


def delete(call: Call) -> Answer:
    """DELETE /contacts/lists/{id}: its contacts stay."""
    if call.account.lists.pop(call.arg_as_id(), None) is None:
        return not_found()
    call.account.contacts.forget_list(call.arg_as_id())
    return no_content()
