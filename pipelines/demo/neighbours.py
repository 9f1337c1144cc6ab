"""Whom the local Mailtrap knows before the demo begins, told through its admin interface.

The one place of the demo that knows how the local Mailtrap is filled.
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
    _post(f"{admin}/seed", admin_token, {"contacts": contacts, "suppressions": suppressions})


def _post(url: str, token: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()
