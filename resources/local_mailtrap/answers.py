"""What Mailtrap says: its statuses, its error bodies in all their shapes, the headers that it always sends.

Belongs here: the wording of answers. Not here: when one is due (the nouns), how bytes travel (`server.py`).
"""

import hashlib
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Any, Literal

import msgspec

from resources.local_mailtrap.exchange import Answer, Header
from resources.local_mailtrap.knobs import Knobs

JSON = ("Content-Type", "application/json; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=UTF-8")
Errors = dict[str, list[str]]
Call = Literal["contact_create", "contact_update", "event", "field", "list", "suppression"]
# The documents nest the errors of these calls (https://docs.mailtrap.io, Contacts, 422); live answers of events are flat
NESTED: frozenset[Call] = frozenset({"contact_update", "field"})


def json_answer(status: int, content: Any, *headers: Header) -> Answer:
    """An answer with a JSON body, keys in the order given."""
    return Answer(status, msgspec.json.encode(content), (JSON, *headers))


def no_content() -> Answer:
    """204, which has no body."""
    return Answer(204)


def bad_request(knobs: Knobs) -> Answer:
    """400 in one of its two forms."""
    if knobs["bad_json"] == "empty_html":
        return Answer(400, b"", (HTML,), limits_shown=False)
    return json_answer(400, {"error": "Bad Request"})


def unauthorized() -> Answer:
    """401: the token is missing or wrong."""
    return json_answer(
        401,
        {"error": "Incorrect API token"},
        ("WWW-Authenticate", 'Token realm="Application"'),
        ("Cache-Control", "no-cache"),
    )


def forbidden(words: str = "Account access forbidden") -> Answer:
    """403: the token may not do this."""
    return json_answer(403, {"errors": words})


def not_found() -> Answer:
    """404 of everything but the deletion of a contact."""
    return json_answer(404, {"error": "Not Found"})


def no_contact() -> Answer:
    """404 of a deletion: `errors`, not `error`."""
    return json_answer(404, {"errors": "Contact(s) not found"})


def too_many_requests(knobs: Knobs, *, now: float, wait_seconds: float) -> Answer:
    """429; no header tells how long to wait, unless a knob says so."""
    headers: tuple[Header, ...] = ()
    if knobs["retry_after"] == "seconds":
        headers = (("Retry-After", str(max(1, round(wait_seconds + 0.5)))),)
    elif knobs["retry_after"] == "http_date":
        headers = (("Retry-After", formatdate(now + wait_seconds + 1, usegmt=True)),)
    return json_answer(429, {"errors": "Rate limit exceeded"}, *headers)


def too_large() -> Answer:
    """413."""
    return json_answer(413, {"error": "Payload Too Large"})


def invalid(errors: Mapping[str, Iterable[str]], call: Call, *, knobs: Knobs) -> Answer:
    """422 with errors by attribute, flat or nested as the documents show for this call."""
    style = knobs["error_nesting"]
    nested = call in NESTED if style == "documented" else style == "nested"
    shaped = {key: [list(words)] if nested else list(words) for key, words in errors.items()}
    return json_answer(422, {"errors": shaped})


def wrapper_missing(key: str) -> Answer:
    """422 of a body without its top-level key."""
    return json_answer(422, {"errors": f"Please, provide top level key: {key}"})


def dressed(
    answer: Answer, *, date: float, request_id: str, runtime: float, limit: int, remaining: int
) -> Answer:
    """The answer with the headers that Mailtrap sends with every one."""
    if answer.bare:
        return answer
    given = {name.lower() for name, _ in answer.headers}
    usual: list[Header] = [
        ("Date", formatdate(date, usegmt=True)),
        ("Server", "cloudflare"),
        ("X-Mailtrap-Version", "v2"),
    ]
    if answer.limits_shown:
        usual += [("X-Ratelimit-Limit", str(limit)), ("X-Ratelimit-Remaining", str(remaining))]
    if answer.body:
        usual.append(("Etag", f'W/"{hashlib.md5(answer.body, usedforsecurity=False).hexdigest()}"'))
    usual += [
        ("Cache-Control", "max-age=0, private, must-revalidate" if answer.body else "no-cache"),
        ("X-Request-Id", request_id),
        ("X-Runtime", f"{runtime:.6f}"),
        ("Cf-Cache-Status", "DYNAMIC"),
        ("Strict-Transport-Security", "max-age=2592000; includeSubDomains; preload"),
    ]
    return answer.but(headers=(*answer.headers, *(pair for pair in usual if pair[0].lower() not in given)))
