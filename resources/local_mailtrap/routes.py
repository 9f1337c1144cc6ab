"""Which call a method and a path mean, and which limit it counts against.

Belongs here: the table of routes. Not here: what the calls do. What is not in the table is answered 404.
"""

import re
from dataclasses import dataclass

from resources.local_mailtrap import contacts, events, exports, fields, imports, lists, overview, suppressions
from resources.local_mailtrap.call import Handler
from resources.local_mailtrap.limits import Pool

_SCOPED = re.compile(r"/api/accounts/([^/]+)(/.+)")


@dataclass(frozen=True, slots=True)
class Route:
    """One call."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    pool: Pool


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request, the account id in its path (None: not said), and the other parts of the path."""

    route: Route
    account_id: str | None
    args: tuple[str, ...]


def _route(method: str, pattern: str, handler: Handler, *, pool: Pool = "contacts") -> Route:
    return Route(method, re.compile(pattern), handler, pool)


_ACCOUNTS = _route("GET", r"/api/accounts", overview.index, pool="token")
_ROUTES = (
    _route("GET", r"/billing/usage", overview.usage, pool="token"),
    _route("GET", r"/suppressions", suppressions.index, pool="suppressions"),
    _route("POST", r"/suppressions", suppressions.create, pool="suppressions"),
    _route("DELETE", r"/suppressions/([^/]+)", suppressions.delete, pool="suppressions"),
    _route("GET", r"/contacts/lists", lists.index),
    _route("POST", r"/contacts/lists", lists.create),
    _route("GET", r"/contacts/lists/([^/]+)", lists.show),
    _route("PATCH", r"/contacts/lists/([^/]+)", lists.update),
    _route("DELETE", r"/contacts/lists/([^/]+)", lists.delete),
    _route("GET", r"/contacts/fields", fields.index),
    _route("POST", r"/contacts/fields", fields.create),
    _route("GET", r"/contacts/fields/([^/]+)", fields.show),
    _route("PATCH", r"/contacts/fields/([^/]+)", fields.update),
    _route("DELETE", r"/contacts/fields/([^/]+)", fields.delete),
    _route("POST", r"/contacts/imports", imports.create),
    _route("GET", r"/contacts/imports/([^/]+)", imports.show),
    _route("POST", r"/contacts/exports", exports.create),
    _route("GET", r"/contacts/exports/([^/]+)", exports.show),
    _route("POST", r"/contacts/([^/]+)/events", events.create),
    _route("POST", r"/contacts", contacts.create),
    _route("GET", r"/contacts", contacts.index),
    _route("GET", r"/contacts/([^/]+)", contacts.show),
    _route("PATCH", r"/contacts/([^/]+)", contacts.update),
    _route("PUT", r"/contacts/([^/]+)", contacts.put),
    _route("DELETE", r"/contacts/([^/]+)", contacts.delete),
)


def find(method: str, path: str) -> Found | None:
    """The route of a request in either path style: /api/accounts/{id}/contacts… or /api/contacts…"""
    path = path.rstrip("/") or "/"
    if path == "/api/accounts":
        return Found(_ACCOUNTS, None, ()) if method == "GET" else None
    scoped = _SCOPED.fullmatch(path)
    account_id, rest = (scoped[1], scoped[2]) if scoped else (None, path.removeprefix("/api"))
    if not path.startswith("/api/"):
        return None
    for route in _ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(rest)):
            return Found(route, account_id, match.groups())
    return None


def is_import(method: str, path: str) -> bool:
    """Whether this is the one call whose body is so large that it is read beside the others."""
    found = find(method, path)
    return found is not None and found.route.handler is imports.create
