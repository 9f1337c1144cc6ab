"""Mailtrap as a Dagster resource: its settings as described fields, and a plain `MailtrapClient` at run time.

Values stay text and are checked together with all the others (`resources/settings.py`), so that the command and
Dagster refuse the same things in the same words.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from resources import settings
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.session import open_client


def _field(name: str, *, repr: bool = True) -> str | None:  # noqa: A002 - pydantic's word
    described: str | None = Field(default=None, repr=repr, description=settings.describe(name))
    return described


class MailtrapResource(dg.ConfigurableResource[MailtrapClient]):
    """Mailtrap's contacts API; assets receive a plain `MailtrapClient`. Give the token by `EnvVar` only."""

    api_token: str | None = _field("MAILTRAP_API_TOKEN", repr=False)
    account_id: str | None = _field("MAILTRAP_ACCOUNT_ID")
    api_url: str | None = _field("MAILTRAP_API_URL")
    path_style: str | None = _field("MAILTRAP_PATH_STYLE")
    auth: str | None = _field("MAILTRAP_AUTH")
    download_hosts: str | None = _field("MAILTRAP_DOWNLOAD_HOSTS")
    contacts_limit: str | None = _field("MAILTRAP_CONTACTS_LIMIT")
    token_limit: str | None = _field("MAILTRAP_TOKEN_LIMIT")
    suppressions_limit: str | None = _field("MAILTRAP_SUPPRESSIONS_LIMIT")
    timeout_seconds: str | None = _field("CONTACTS_TIMEOUT_SECONDS")
    poll_seconds: str | None = _field("CONTACTS_POLL_SECONDS")
    job_deadline_seconds: str | None = _field("CONTACTS_JOB_DEADLINE_SECONDS")
    home: str | None = _field("CONTACTS_HOME")
    journal: str | None = _field("CONTACTS_JOURNAL", repr=False)

    def given(self) -> dict[str, str]:
        """The settings that were given, under the names of their environment variables."""
        values = {
            "MAILTRAP_API_TOKEN": self.api_token,
            "MAILTRAP_ACCOUNT_ID": self.account_id,
            "MAILTRAP_API_URL": self.api_url,
            "MAILTRAP_PATH_STYLE": self.path_style,
            "MAILTRAP_AUTH": self.auth,
            "MAILTRAP_DOWNLOAD_HOSTS": self.download_hosts,
            "MAILTRAP_CONTACTS_LIMIT": self.contacts_limit,
            "MAILTRAP_TOKEN_LIMIT": self.token_limit,
            "MAILTRAP_SUPPRESSIONS_LIMIT": self.suppressions_limit,
            "CONTACTS_TIMEOUT_SECONDS": self.timeout_seconds,
            "CONTACTS_POLL_SECONDS": self.poll_seconds,
            "CONTACTS_JOB_DEADLINE_SECONDS": self.job_deadline_seconds,
            "CONTACTS_HOME": self.home,
            "CONTACTS_JOURNAL": self.journal,
        }
        return {name: value for name, value in values.items() if value is not None}

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[MailtrapClient]:  # noqa: ARG002
        """A client for as long as the step takes."""
        with open_client(settings.read(self.given())) as client:
            yield client
