"""What a program costs, from outside: seconds of wall and CPU, and the most memory it held.

The program is started by a small process of this module's own: the system counts what a program's starter held as
the program's own peak, so the starter must be small.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """One run of one program, with all processes that it waited for."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int


def run(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, log: Path) -> Cost:
    """Run it to its end; what it says goes to `log`."""
    starter = [sys.executable, "-I", "-S", __file__, str(log), *command]
    done = subprocess.run(starter, env=dict(environ), cwd=folder, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


def start_and_wait(log: str, command: Sequence[str]) -> dict[str, float]:
    """Start the program, wait for it, and ask the system what it used."""
    with open(log, "wb") as stream:  # noqa: PTH123
        began = time.monotonic()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_DUP2, stream.fileno(), descriptor) for descriptor in (1, 2)),
        ]
        process_id = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(process_id, 0)
    return {
        "wall_seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit_code": os.waitstatus_to_exitcode(status),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(start_and_wait(sys.argv[1], sys.argv[2:])))
