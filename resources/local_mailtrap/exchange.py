"""A request as it arrived and an answer as it will leave: the same over a socket and in process.

Belongs here: the two facts and what can be read off them. Not here: what Mailtrap's answers say (`answers.py`), how
bytes travel (`server.py`, `transport.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qsl

Header = tuple[str, str]
# How an answer can go wrong on its way: not sent and the connection reset; never sent; cut and closed; cut and reset
Ending = Literal["whole", "reset", "hang", "cut", "cut_reset", "drip"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` is as it was on the wire, with its percent signs."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, str]:
        """The query; of a repeated key, the last one."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def token(self) -> str | None:
        """The token, from either of the two headers that Mailtrap takes."""
        scheme, _, credential = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and credential.strip():
            return credential.strip()
        return self.headers.get("api-token") or None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and how it ends on the wire."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    ending: Ending = "whole"
    wait_seconds: float = 0.0
    cut_at: int = 0
    limits_shown: bool = True
    bare: bool = False

    def but(self, **changes: Any) -> "Answer":
        """The same answer with some parts changed."""
        return replace(self, **changes)

    def header(self, name: str) -> str | None:
        """One header's value."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)
