"""What a program costs, from outside: seconds of wall and CPU, and the most memory it held; and how these grew meanwhile.

On a virtual machine also how much of its processors the host gave to others meanwhile.

The program is started by a small process of this module's own: the system counts what a program's starter held as
the program's own peak, so the starter must be small.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """One run of one program, with all processes that it waited for."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int
    looks: Sequence[tuple[float, float, int]]
    """Time, CPU seconds until then and memory just then, every so often, of the program without its children."""
    stolen: float
    """The share of the machine's processors that its host gave to others, from 0 to 1."""


def run(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, log: Path) -> Cost:
    """Run it to its end; what it says goes to `log`."""
    starter = [sys.executable, "-I", "-S", __file__, str(log), *command]
    stolen, every = _ticks()
    done = subprocess.run(starter, env=dict(environ), cwd=folder, stdout=subprocess.PIPE, check=True)
    stolen, every = (after - before for after, before in zip(_ticks(), (stolen, every), strict=True))
    return Cost(**json.loads(done.stdout), stolen=stolen / every if every else 0.0)


def _ticks() -> tuple[int, int]:
    """Those that the host kept, and all, since the machine began; none where the system does not say."""
    with suppress(OSError):
        ticks = [
            int(each) for each in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
        ]
        return ticks[7], sum(ticks)
    return 0, 0


def start_and_wait(log: str, command: Sequence[str]) -> dict[str, object]:
    """Start the program, wait for it, and ask the system what it used."""
    with open(log, "wb") as stream:  # noqa: PTH123
        began = time.monotonic()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_DUP2, stream.fileno(), descriptor) for descriptor in (1, 2)),
        ]
        process_id = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        looks: list[tuple[float, float, int]] = []
        ended = threading.Event()
        looking = threading.Thread(target=look, args=(process_id, looks, ended))
        looking.start()
        _, status, usage = os.wait4(process_id, 0)
        wall_seconds = time.monotonic() - began
        ended.set()
    looking.join()
    return {
        "wall_seconds": wall_seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit_code": os.waitstatus_to_exitcode(status),
        "looks": looks,
    }


def look(process_id: int, looks: list[tuple[float, float, int]], ended: threading.Event) -> None:
    """Look at a process until it ends; where there is no /proc nothing is seen."""
    with suppress(OSError):
        while not ended.wait(LOOK_SECONDS):
            with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123
                words = stat.read().rpartition(")")[2].split()
            cpu_seconds = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
            looks.append((time.time(), cpu_seconds, int(words[21]) * os.sysconf("SC_PAGE_SIZE")))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(start_and_wait(sys.argv[1], sys.argv[2:])))
