"""A Mailtrap contacts API in memory: for the demo, for our tests, for other people's pipelines in CI.

Belongs here: everything about it, a file per noun; the way in is `LocalMailtrap`. Not here: the client that talks to
Mailtrap (`resources/mailtrap/`), which knows nothing of this folder.
"""

from resources.local_mailtrap.clock import Clock, VirtualClock, real_clock
from resources.local_mailtrap.engine import LOCAL_TOKEN
from resources.local_mailtrap.mailtrap import LocalMailtrap

__all__ = ["LOCAL_TOKEN", "Clock", "LocalMailtrap", "VirtualClock", "real_clock"]
