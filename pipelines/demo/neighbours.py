"""Whom the local Mailtrap knows, before the demo begins and at its end, through its admin interface.

The one place of the demo that knows how to fill the local Mailtrap and to look into it.
"""

import json
import urllib.request
from typing import Any

from pipelines.sample import KnownAtMailtrap


def seed(admin: str, admin_token: str, *, known: KnownAtMailtrap) -> None:
    """Make these people known there: unsubscribed, suppressed, or plain contacts already."""
    contacts = [{"email": email, "status": "unsubscribed"} for email in known.unsubscribed]
    contacts += [{"email": email} for email in known.subscribed]
    suppressions = [{"email": email, "type": kind} for email, kind in known.suppressed]
    _ask(f"{admin}/seed", admin_token, {"contacts": contacts, "suppressions": suppressions})


def told(admin: str, admin_token: str) -> frozenset[str]:
    """The addresses of all contacts that hold anything of ours: a field, or a list."""
    accounts = _ask(f"{admin}/state", admin_token)["accounts"]
    return frozenset(
        contact["email"]
        for account in accounts
        for contact in account["contacts"]
        if contact["list_ids"] or any(value is not None for value in contact["fields"].values())
    )


def _ask(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)
