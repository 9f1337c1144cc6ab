"""One call as the nouns see it: the request, the account, the time, the knobs, and the faults that fired.

Belongs here: what every call needs, and reading its body. Not here: what a call does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from resources.local_mailtrap.accounts import Account, World
from resources.local_mailtrap.exchange import Answer, Request
from resources.local_mailtrap.faults import Effects
from resources.local_mailtrap.jobs import Queue
from resources.local_mailtrap.knobs import Knobs


class BadJSONError(ValueError):
    """The body is not JSON."""


@dataclass(slots=True)
class Call:
    """A request that is allowed in, with everything that answers it."""

    request: Request
    world: World
    knobs: Knobs
    queue: Queue
    now: float
    effects: Effects
    storage_origin: str
    args: tuple[str, ...] = ()
    reachable_account: Account | None = None
    parsed: Any = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        """The account that the call is about."""
        if self.reachable_account is None:
            raise LookupError("this call is about no account")
        return self.reachable_account

    @property
    def now_ms(self) -> int:
        """The time in milliseconds."""
        return round(self.now * 1000)

    def json(self) -> Any:
        """The body; an empty one is an empty object."""
        if not self.request.body.strip():
            return {}
        try:
            return msgspec.json.decode(self.request.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadJSONError from None

    def object(self) -> dict[str, Any]:
        """The body as an object; anything else that is JSON counts as an empty one."""
        content = self.json()
        return content if isinstance(content, dict) else {}

    def arg_as_id(self) -> int:
        """The number in the path; 0, which nothing has, when it is none."""
        return int(self.args[0]) if self.args and self.args[0].isdecimal() and len(self.args[0]) < 19 else 0


Handler = Callable[[Call], Answer]
