"""Answers in the shapes of Mailtrap's published contract, from a small table of our own.

Each line is a call, the status that the contract names for it, and the types of its answer; a call that answers with a
status that is not in its line fails here.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

ISO, UUID = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"),
    re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
)
CONTACT = {
    "id": UUID, "email": str, "created_at": int, "updated_at": int, "list_ids": [int],
    "status": ("subscribed", "unsubscribed"), "fields": Mapping,
}  # fmt: skip
LIST, FIELD = (
    {"id": int, "name": str},
    {"id": int, "name": str, "data_type": ("text", "integer", "float", "boolean", "date"), "merge_tag": str},
)
IMPORT = {"id": int, "status": ("created", "started", "finished", "failed")}
EXPORT = {
    "id": int,
    "created_at": ISO,
    "updated_at": ISO,
    "status": ("created", "started", "finished"),
    "url": (str, None),
}
EVENT = {"contact_id": UUID, "contact_email": str, "name": str, "params": Mapping}
SUPPRESSION = {
    "id": UUID, "type": ("hard bounce", "unsubscription", "spam complaint", "manual import"), "created_at": ISO, "email": str,
    "sending_stream": ("transactional", "bulk", "any"),
}  # fmt: skip
NOT_FOUND, REFUSED, ROWS = (
    {"error": ("Not Found",)},
    {"errors": Mapping},
    {"errors": [{"email": str, "errors": Mapping}]},
)
A, B = {"email": "a@example.com"}, {"email": "b@example.com"}
CALLS = [
    ("POST", "/contacts", {"contact": A}, 201, {"data": CONTACT}),
    ("POST", "/contacts", {"contact": {"email": "x"}}, 422, REFUSED),
    ("GET", "/contacts/a@example.com", None, 200, {"data": CONTACT}),
    ("GET", "/contacts/x@example.com", None, 404, NOT_FOUND),
    ("PATCH", "/contacts/a@example.com", {"contact": A}, 200, {"action": ("updated",), "data": CONTACT}),
    ("PATCH", "/contacts/b@example.com", {"contact": B}, 200, {"action": ("created",), "data": CONTACT}),
    ("PATCH", "/contacts/b@example.com", {"contact": {"email": "x"}}, 422, REFUSED),
    ("POST", "/contacts/a@example.com/events", {"name": "x", "params": {"a": None}}, 201, EVENT),
    ("POST", "/contacts/a@example.com/events", {}, 422, REFUSED),
    ("POST", "/contacts/x@example.com/events", {"name": "x"}, 404, NOT_FOUND),
    ("POST", "/contacts/lists", {"name": "L"}, 200, LIST),
    ("GET", "/contacts/lists", None, 200, [LIST]),
    ("GET", "/contacts/lists/26730", None, 200, LIST),
    ("PATCH", "/contacts/lists/26730", {"name": "M"}, 200, LIST),
    ("GET", "/contacts/lists/1", None, 404, NOT_FOUND),
    ("POST", "/contacts/fields", {"name": "F", "data_type": "float", "merge_tag": "f"}, 201, FIELD),
    ("POST", "/contacts/fields", {"name": "F"}, 422, REFUSED),
    ("GET", "/contacts/fields", None, 200, [FIELD]),
    ("GET", "/contacts/fields/6732", None, 200, FIELD),
    ("PATCH", "/contacts/fields/6732", {"name": "G"}, 200, FIELD),
    ("GET", "/contacts/fields/1", None, 404, NOT_FOUND),
    ("POST", "/contacts/imports", {"contacts": [A, B]}, 201, IMPORT),
    ("POST", "/contacts/imports", {"contacts": [{"email": "x"}]}, 422, ROWS),
    ("GET", "/contacts/imports/1", None, 200, IMPORT),
    ("GET", "/contacts/imports/9", None, 404, NOT_FOUND),
    ("POST", "/contacts/exports", {"filters": []}, 201, EXPORT),
    ("POST", "/contacts/exports", {"filters": "x"}, 422, {"errors": {"filters": ("invalid",)}}),
    ("GET", "/contacts/exports/652", None, 200, EXPORT),
    ("GET", "/contacts/exports/9", None, 404, NOT_FOUND),
    ("DELETE", "/contacts/a@example.com", None, 204, None),
    ("DELETE", "/contacts/a@example.com", None, 404, {"errors": ("Contact(s) not found",)}),
    ("DELETE", "/contacts/lists/26730", None, 204, None),
    ("DELETE", "/contacts/lists/26730", None, 404, NOT_FOUND),
    ("DELETE", "/contacts/fields/6732", None, 204, None),
    ("DELETE", "/contacts/fields/6732", None, 404, NOT_FOUND),
    ("POST", "/suppressions", {"email": "s@example.com", "domain_id": 1, "sending_stream": "bulk"}, 201, {"data": SUPPRESSION}),
    ("GET", "/suppressions", None, 200, [SUPPRESSION]),
    ("GET", "/suppressions?last_id=x", None, 400, {"error": ("Bad Request",)}),
]  # fmt: skip


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape: a type, a pattern, a choice, a list of shapes, or at least these keys."""
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(key in value and fits(value[key], shape[key]) for key in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(each, shape[0]) for each in value)
    if isinstance(shape, tuple):
        return any(fits(value, each) if isinstance(each, type) else value == each for each in shape)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and bool(shape.fullmatch(value))
    return isinstance(value, shape) and not (shape is int and isinstance(value, bool))


@pytest.mark.parametrize("style", ["/api/accounts/2326475", "/api"], ids=["account", "plain"])
def test_every_call_answers_as_the_contract_says(
    mailtrap: LocalMailtrap, api: httpx.Client, style: str
) -> None:
    """In order, as a story; in both path styles."""
    for method, path, body, status, shape in CALLS:
        answer = api.request(method, f"{mailtrap.api_origin}{style}{path}", json=body)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        assert (answer.content == b"") if shape is None else fits(answer.json(), shape), (
            f"{method} {path}: {answer.text}"
        )
    mailtrap.advance(10)
    assert fits(api.get("/contacts/exports/652").json(), {**EXPORT, "url": str})
    counts = {"created_contacts_count": int, "updated_contacts_count": int, "contacts_over_limit_count": int}
    assert fits(api.get("/contacts/imports/1").json(), IMPORT | counts)
