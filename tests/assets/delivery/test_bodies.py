"""The same input gives the same bodies: in any time zone, locale and hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT

PROGRAM = """
import hashlib, sys
from pathlib import Path
from tests.assets.world import World, people
world = World(Path(sys.argv[1]), rows_per_payload=7)
world.run([*people(20, plan="Zoë ÿ \\\\ \\" ğ"), *people(5, first=3, plan="pro", day=2)])
delivery, = world.store.journal.deliveries("people")
print([payload.body_sha256 for payload in world.store.journal.payloads(delivery)])
"""


@pytest.mark.proof
def test_bodies_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    """Two processes that differ in all of them send the same bytes."""
    machines = (
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
    )
    running = []
    for number, machine in enumerate(machines):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(folder)]
        running.append(
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **machine}, stdout=subprocess.PIPE, text=True
            )
        )
    first, second = (process.communicate(timeout=120)[0] for process in running)
    assert first == second and first.count("'") == 2 * 3
