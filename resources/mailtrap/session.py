"""From settings to a client: the plain way, without Dagster.

The settings themselves are described and checked in `resources/settings.py`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import httpx

from resources.errors import SettingsError
from resources.mailtrap.budget import Limit, Limits
from resources.mailtrap.client import ClientSettings, MailtrapClient
from resources.mailtrap.meter import open_meter
from resources.settings import Rate, Settings


def client_settings(settings: Settings) -> ClientSettings:
    """What of the settings concerns the client; `SettingsError` when there is no token."""
    if settings.api_token is None:
        raise SettingsError(
            "MAILTRAP_API_TOKEN is not set.",
            "Mailtrap answers nothing without a token.",
            "Set it to an API token of the account, or start the local Mailtrap and use the one that it takes.",
        )
    return ClientSettings(
        token=settings.api_token,
        account_id=settings.account_id,
        url=settings.api_url,
        path_style=settings.path_style,
        auth=settings.auth,
        download_hosts=settings.download_hosts,
        limits=Limits(
            contacts=_limit(settings.contacts_limit),
            token=_limit(settings.token_limit),
            suppressions=_limit(settings.suppressions_limit),
        ),
        timeout_seconds=settings.timeout_seconds,
        poll_seconds=settings.poll_seconds,
        job_deadline_seconds=settings.job_deadline_seconds,
    )


@contextlib.contextmanager
def open_client(
    settings: Settings,
    *,
    transport: httpx.BaseTransport | None = None,
    download_transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[MailtrapClient]:
    """A client whose budget is shared with everyone who uses the same journal."""
    of_client = client_settings(settings)
    meter = open_meter(settings.journal, sleep=sleep)
    try:
        with MailtrapClient(
            of_client, meter, transport=transport, download_transport=download_transport, sleep=sleep
        ) as client:
            yield client
    finally:
        meter.dispose()


def _limit(rate: Rate) -> Limit:
    return Limit(rate.requests, rate.seconds)
