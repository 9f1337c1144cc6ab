"""The request journal: what arrived, without tokens and addresses, for assertions about a client.

Belongs here: entries, who was named in which request, and peaks. Not here: the calls that read it (`admin.py`).
"""

import hashlib
import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from resources.local_mailtrap.exchange import Answer, Request
from resources.local_mailtrap.limits import Pool, peak
from resources.local_mailtrap.validation import canonical

_SECRET_HEADERS = ("authorization", "api-token", "cookie")
_IN_PATH = re.compile(r"[^/?&=]*(?:@|%40)[^/?&=]*", re.IGNORECASE)


def mask_path(path: str) -> str:
    """The path with every address replaced by a short hash."""
    return _IN_PATH.sub(lambda match: f"<{digest([canonical(unquote(match[0]))])[:12]}>", path)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without secrets: of a token, only its hash's beginning is left."""
    return {
        name: f"<{hashlib.sha256(value.encode()).hexdigest()[:12]}>" if name in _SECRET_HEADERS else value
        for name, value in headers.items()
    }


def digest(emails: Iterable[str]) -> str:
    """SHA-256 of the sorted addresses, one a line."""
    return hashlib.sha256("\n".join(sorted(emails)).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class Entry:
    """One request and its answer."""

    number: int
    at: float
    origin: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body_bytes: int
    account_id: int | None
    pool: Pool | None
    status: int
    ending: str
    rows: int
    emails_sha256: str | None
    faults: tuple[int, ...]
    response_bytes: int
    response: str
    notes: dict[str, Any] = field(default_factory=dict)
    named: "array[int]" = field(default_factory=lambda: array("q"))

    def as_dict(self) -> dict[str, Any]:
        """As the admin API shows it."""
        left_out = ("named", "notes")
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}
        return {**shown, "faults": [*self.faults], **self.notes}


class RequestJournal:
    """Every request since the last reset, in the order of arrival."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(
        self, request: Request, answer: Answer, *, at: float, origin: str, account_id: int | None, pool: Pool | None,
        notes: Mapping[str, Any], faults: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Note a request."""
        emails = [each for each in notes.get("emails", ()) if each]
        self.entries.append(
            Entry(
                number=len(self.entries) + 1, at=at, origin=origin, method=request.method, path=mask_path(request.path),
                query=mask_path(request.query), headers=mask_headers(request.headers), body_bytes=len(request.body),
                account_id=account_id, pool=pool, status=answer.status, ending=answer.ending, rows=notes.get("rows", 0),
                emails_sha256=digest(emails) if emails else None, faults=faults, response_bytes=len(answer.body),
                response=_excerpt(request, answer), notes={key: value for key, value in notes.items() if key not in ("rows", "emails")},
                named=array("q", map(hash, emails)),
            )
        )  # fmt: skip

    def naming(self, email: str) -> list[Entry]:
        """The requests that named an address, in a body or a path."""
        wanted = hash(canonical(email))
        return [entry for entry in self.entries if wanted in entry.named]

    def times_sent(self, email: str) -> int:
        """How often an address stood in the body of an import, counted row by row."""
        wanted = hash(canonical(email))
        return sum(
            entry.named.count(wanted) for entry in self.entries if entry.path.endswith("/contacts/imports")
        )

    def peaks(self) -> dict[str, Any]:
        """The most requests in any window: all that arrived, and those that no limiter refused."""
        answered = [
            entry for entry in self.entries if entry.origin == "api" and not entry.notes.get("limited")
        ]
        arrived = [entry for entry in self.entries if entry.origin == "api"]
        return {"arrived": _peaks(arrived), "admitted": _peaks(answered)}

    def clear(self) -> None:
        """Forget all requests."""
        self.entries.clear()


def _peaks(entries: list[Entry]) -> dict[str, int]:
    accounts = {entry.account_id for entry in entries}
    tokens = {entry.headers.get("authorization", entry.headers.get("api-token")) for entry in entries}

    def most(pool: Pool, window: float) -> int:
        return max(
            (
                peak([e.at for e in entries if e.pool == pool and e.account_id == each], window)
                for each in accounts
            ),
            default=0,
        )

    def most_of_a_token(window: float) -> int:
        by_token = (
            [e.at for e in entries if e.headers.get("authorization", e.headers.get("api-token")) == each]
            for each in tokens
        )
        return max((peak(stamps, window) for stamps in by_token), default=0)

    return {
        "contacts_60s": most("contacts", 60),
        "contacts_10s": most("contacts", 10),
        "token_60s": most_of_a_token(60),
        "token_10s": most_of_a_token(10),
        "suppressions_60s": most("suppressions", 60),
        "suppressions_10s": most("suppressions", 10),
    }


_ADDRESS = re.compile(r"[^\s\"<>@,:]+@[^\s\"<>@,]+")
_IMPERSONAL = re.compile(r"/(?:imports|exports|lists|fields)(?:/\d+)?$|/api/accounts$")


def _excerpt(request: Request, answer: Answer) -> str:
    """The beginning of an answer that shows no person: jobs, lists, fields, errors with addresses left out."""
    if answer.body[:1] not in (b"{", b"[") or (answer.status < 400 and not _IMPERSONAL.search(request.path)):
        return ""
    return _ADDRESS.sub("<address>", answer.body[:2000].decode("utf-8", "replace"))[:500]
