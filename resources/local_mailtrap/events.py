"""Custom events of a contact: taken, echoed and noted; no event can be read back through the API.

Belongs here: the one call on events. Not here: what automations would do with them.
"""

from typing import Any

from resources.local_mailtrap.answers import Errors, invalid, json_answer, not_found
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.contacts import row_of
from resources.local_mailtrap.exchange import Answer

MAX_LENGTH = 255


def create(call: Call) -> Answer:
    """POST /contacts/{id or address}/events."""
    if (row := row_of(call.account, call.args[0])) is None:
        return not_found()
    store, body = call.account.contacts, call.object()
    call.notes |= {"rows": 1, "emails": [store.email(row)]}
    if errors := _errors(body):
        return invalid(errors, "event", knobs=call.knobs)
    event = {
        "contact_id": store.id(row),
        "contact_email": store.email(row),
        "name": body["name"],
        "params": body.get("params") or {},
    }
    call.account.events.append({"at": call.now, **event})
    return json_answer(201, event)


def _errors(body: dict[str, Any]) -> Errors:
    errors: Errors = {}
    name, params = body.get("name"), body.get("params")
    if name is None or name == "":
        errors["name"] = ["can't be blank", "must be a string"] if name is None else ["can't be blank"]
    elif not isinstance(name, str):
        errors["name"] = ["must be a string"]
    elif len(name) > MAX_LENGTH:
        errors["name"] = ["is too long"]
    if params is not None and not isinstance(params, dict):
        errors["params"] = ["must be a hash"]
    elif params and (words := _words(params)):
        errors["params"] = words
    return errors


def _words(params: dict[str, Any]) -> list[str]:
    words = [f"key '{key}' is too long" for key in params if len(key) > MAX_LENGTH]
    words += [
        f"value for '{key}' is too long"
        for key, value in params.items()
        if isinstance(value, str) and len(value) > MAX_LENGTH
    ]
    words += [
        f"value for '{key}' is invalid" for key, value in params.items() if isinstance(value, dict | list)
    ]
    return words
