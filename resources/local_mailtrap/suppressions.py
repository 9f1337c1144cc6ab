"""Suppressions: people who must not be written to; a product of its own beside contacts.

Belongs here: the calls on suppressions, and pages that misbehave (fault F-21). Not here: what a suppression does to
a contact's status (`accounts.py`).
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from resources.local_mailtrap.accounts import Suppression
from resources.local_mailtrap.answers import Errors, bad_request, invalid, json_answer, not_found
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.clock import iso_seconds
from resources.local_mailtrap.exchange import Answer
from resources.local_mailtrap.knobs import Knobs
from resources.local_mailtrap.validation import address_errors, canonical

TYPES = ("hard bounce", "unsubscription", "spam complaint", "manual import")
STREAMS = ("transactional", "bulk")
UNSET = (
    "message_bounce_category", "message_category", "message_client_ip", "message_created_at", "message_esp_response",
    "message_esp_server_type", "message_outgoing_ip", "message_recipient_mx_name", "message_sender_email", "message_subject",
)  # fmt: skip


def index(call: Call) -> Answer:
    """GET /suppressions: at most a thousand, then on with `last_id`."""
    query = call.request.parameters
    if query.get("email"):
        call.notes |= {"emails": [canonical(query["email"])], "rows": 1}
    try:
        start, end = _moment(query.get("start_time")), _moment(query.get("end_time"))
        last = str(uuid.UUID(query["last_id"])) if query.get("last_id") else None
    except ValueError:
        return bad_request(call.knobs)
    found = [
        each
        for each in _ordered(call)
        if (start is None or each.created_at >= start)
        and (end is None or each.created_at <= end)
        and (not query.get("email") or each.email == canonical(query["email"]))
    ]
    return json_answer(200, [shown(each, call.knobs) for each in _page(call, found, last)])


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ordered(call: Call) -> list[Suppression]:
    newest = call.knobs["suppressions_order"] == "newest"
    return sorted(
        call.account.suppressions.values(),
        key=lambda each: ((-1 if newest else 1) * each.created_at, each.id),
    )


def _page(call: Call, found: list[Suppression], last: str | None) -> list[Suppression]:
    size, effect = call.knobs["suppressions_page"], call.effects.of("suppressions") or {}
    size = effect.get("page", size)
    if effect.get("kind") == "empty_page":
        return []
    if effect.get("kind") == "insert":
        made = call.world.add_suppression(
            call.account,
            f"inserted-{len(call.account.suppressions)}@example.com",
            now=call.now,
            kind="hard bounce",
            stream="any",
        )
        found = [made, *found]
    start = 0
    if last is not None and effect.get("kind") != "repeat_page":
        start = next((at + 1 for at, each in enumerate(found) if each.id == last), len(found))
    page = found[start : start + size]
    if effect.get("kind") == "same_last" and page:
        page = [*page[:-1], found[0]]
    return page


def shown(suppression: Suppression, knobs: Knobs) -> dict[str, Any]:
    """As Mailtrap shows it; what is not known is an empty string."""
    unset = "" if knobs["suppression_unset"] == "empty" else None
    return {
        "id": suppression.id,
        "type": suppression.type,
        "created_at": iso_seconds(suppression.created_at),
        "email": suppression.email,
        "sending_stream": suppression.sending_stream,
        "domain_name": suppression.domain_name or unset,
        **dict.fromkeys(UNSET, unset),
    }


def create(call: Call) -> Answer:
    """POST /suppressions."""
    body = call.object()
    email, stream, kind = body.get("email"), body.get("sending_stream"), body.get("type", "manual import")
    errors: Errors = {}
    if words := address_errors(email, call.knobs):
        errors["email"] = words
    if stream not in STREAMS:
        errors["sending_stream"] = [f"is invalid. Allowed values: {', '.join(STREAMS)}."]
    if kind not in TYPES:
        errors["type"] = [f"is invalid. Allowed values: {', '.join(TYPES)}."]
    if errors:
        return invalid(errors, "suppression", knobs=call.knobs)
    made = call.world.add_suppression(call.account, str(email), now=call.now, kind=kind, stream=str(stream))
    return json_answer(201, {"data": shown(made, call.knobs)})


def delete(call: Call) -> Answer:
    """DELETE /suppressions/{id}."""
    call.notes["released"] = True
    found = call.account.release(call.args[0].lower())
    return not_found() if found is None else json_answer(200, shown(found, call.knobs))
