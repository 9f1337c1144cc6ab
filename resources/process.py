"""Which process this is, in words that another one can check: host, process id, and when it started.

A process id alone is given to somebody else after a while; host and start make it one process for good. Containers may
share a host's name and yet not see each other's processes, so the host's name goes with the namespace of its ids.
"""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """This process, as text."""
    return f"{this_host()}:{os.getpid()}:{started(os.getpid())}"


def this_host() -> str:
    """Where process ids mean what they mean here."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def is_dead(process: str) -> bool:
    """Whether it was a process of this machine that is no more; nothing is known about other machines."""
    parts = process.split(":")
    if len(parts) < 3 or parts[0] != this_host() or not parts[1].isdigit():
        return False
    return started(int(parts[1])) != parts[2]


def started(process_id: int) -> str:
    """When a process started, in a form that differs for the next one with its id; empty when there is none."""
    try:
        after_name = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        return "" if after_name[0] == "Z" else after_name[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "other"
    return "alive"


def started_at(process_id: int) -> float | None:
    """The moment when a process started; none when there is no such process. Where nobody says when: long ago."""
    ticks = started(process_id)
    if not ticks:
        return None
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, ValueError):
        return 0.0
