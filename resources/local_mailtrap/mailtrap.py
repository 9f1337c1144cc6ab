"""The way in: a local Mailtrap and the two ways to reach it, in process and over loopback.

Belongs here: `LocalMailtrap`. Not here: how it answers (`engine.py`), how bytes travel (`transport.py`, `server.py`).
"""

from contextlib import AbstractContextManager

import httpx

from resources.local_mailtrap.engine import Engine
from resources.local_mailtrap.server import running
from resources.local_mailtrap.transport import LocalTransport


class LocalMailtrap(Engine):
    """A Mailtrap in memory. Without a clock it runs on virtual time, which each request moves by a millisecond."""

    def transport(self) -> httpx.BaseTransport:
        """For `httpx.Client(transport=…)`: no sockets; the storage origin's host is the storage host."""
        return LocalTransport(self)

    def running(self, *, port: int = 0, storage_port: int = 0) -> AbstractContextManager[Engine]:
        """Serve over loopback from a thread while the block runs; give it `clock=real_clock()`."""
        return running(self, port=port, storage_port=storage_port)
