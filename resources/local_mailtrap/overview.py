"""The two calls that look at accounts as a whole: which there are, and what they have used.

Belongs here: `GET /api/accounts` and billing usage. Not here: what an account holds (`accounts.py`).
"""

from typing import Any

from resources.local_mailtrap.answers import json_answer
from resources.local_mailtrap.call import Call
from resources.local_mailtrap.clock import iso_milliseconds
from resources.local_mailtrap.exchange import Answer


def index(call: Call) -> Answer:
    """GET /api/accounts."""
    reachable = call.world.reachable(call.request.token)
    return json_answer(
        200,
        [{"id": each.id, "name": each.name, "access_levels": [*each.access_levels]} for each in reachable],
    )


def usage(call: Call) -> Answer:
    """GET billing/usage: nothing in it tells how many contacts there are or may be."""
    sent = {"current": 0, "limit": 10_000}
    content: dict[str, Any] = {
        "billing": {
            "cycle_start": iso_milliseconds(call.now - 864_000),
            "cycle_end": iso_milliseconds(call.now + 1_555_200),
        },
        "testing": {
            "plan": {"name": "Team"},
            "usage": {
                "sent_messages_count": {"current": 0, "limit": 5000},
                "forwarded_messages_count": {"current": 0, "limit": 500},
            },
        },
        "sending": {"plan": {"name": "Basic 10K"}, "usage": {"sent_messages_count": sent}},
    }
    if call.knobs["billing_marketing"]:
        content["marketing"] = {"plan": {"name": "Marketing Pro"}, "usage": {"sent_messages_count": sent}}
    return json_answer(200, content)
