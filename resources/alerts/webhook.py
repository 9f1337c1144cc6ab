"""A webhook that takes Slack's JSON: `{"text": …, "blocks": […]}`; Mattermost, Rocket.Chat and others take it too.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

Belongs here: one message, one request. Not here: what is worth a message (`pipelines/alerts.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from resources.errors import UnavailableError

TIMEOUT_SECONDS = 10.0
LONGEST_TEXT = 3000
"""Slack refuses longer texts in a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people read: one line, then facts as pairs."""

    title: str
    text: str
    facts: Sequence[tuple[str, str]] = ()

    @property
    def body(self) -> dict[str, object]:
        """The message as Slack's JSON."""
        details = "\n".join(f"*{_plain(name)}:* {_plain(value)}" for name, value in self.facts)
        texts = [f"*{_plain(self.title)}*\n{_plain(self.text)}", *([details] if details else [])]
        return {
            "text": f"{_plain(self.title)}: {_plain(self.text)}"[:LONGEST_TEXT],
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": text[:LONGEST_TEXT]}} for text in texts
            ],
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go; nowhere, when there is no URL. The URL is a secret: whoever has it can post."""

    url: str | None = field(repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    transport: httpx.BaseTransport | None = field(default=None, repr=False)

    def post(self, message: Message) -> bool:
        """Send a message; says whether there was anywhere to send it to."""
        if self.url is None:
            return False
        try:
            with httpx.Client(
                transport=self.transport, timeout=self.timeout_seconds, follow_redirects=False, trust_env=True
            ) as client:
                status = client.post(self.url, json=message.body).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _not_taken(type(error).__name__) from None
        if not 200 <= status < 300:
            raise _not_taken(f"HTTP {status}")
        return True


def _not_taken(why: str) -> UnavailableError:
    return UnavailableError(
        f"The webhook of CONTACTS_ALERT_WEBHOOK did not take an alert ({why}).",
        "Nobody was told; the run itself is not affected.",
        "Check the URL, and whether this machine may reach it.",
    )


def _plain(text: str) -> str:
    """Text that Slack shows as it is: & < > have a meaning there."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
