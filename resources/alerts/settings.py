"""The webhook as a Dagster resource: its URL as a described field, and a plain `Webhook` at run time."""

import dagster as dg
from pydantic import Field

from resources import settings
from resources.alerts.webhook import Webhook


class AlertsResource(dg.ConfigurableResource[Webhook]):
    """Where alerts go; sensors receive a plain `Webhook`. Give the URL by `EnvVar` only."""

    webhook: str | None = Field(
        default=None, repr=False, description=settings.describe("CONTACTS_ALERT_WEBHOOK")
    )

    def create_resource(self, context: dg.InitResourceContext) -> Webhook:  # noqa: ARG002
        """The webhook, checked."""
        given = {} if self.webhook is None else {"CONTACTS_ALERT_WEBHOOK": self.webhook}
        return Webhook(settings.read(given).alert_webhook)
