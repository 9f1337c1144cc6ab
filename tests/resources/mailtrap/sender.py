"""One of several processes that share a budget: asks for the lists until its time is up.

python -m tests.resources.mailtrap.sender URL JOURNAL TOKEN CONTACTS_LIMIT TOKEN_LIMIT SECONDS [LANE]
"""

import sys
import time

from resources.mailtrap.budget import LANES, Limits, parse_limit
from resources.mailtrap.client import ClientSettings, MailtrapClient
from resources.mailtrap.meter import open_meter


def main(
    url: str, journal: str, token: str, contacts: str, per_token: str, seconds: str, lane: str = "import"
) -> None:
    """Send until the time is up, then say how many requests that were."""
    limits = Limits(contacts=parse_limit(contacts), token=parse_limit(per_token))
    settings = ClientSettings(token=token, account_id=1, url=url, limits=limits, timeout_seconds=10)
    meter = open_meter(journal)
    assert lane in LANES
    with MailtrapClient(settings, meter) as client:
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            client.get_contact("0199090c-b5ec-7be8-b18f-1a7c8a64f9fb", lane=lane)
        print(client.usage_counts.requests, client.usage_counts.retries)  # noqa: T201
    meter.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
