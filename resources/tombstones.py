"""Tombstones: the keyed hashes of people who were erased, so that nothing brings them back.

They are kept twice: in the journal, where every process reads them, and in a file in CONTACTS_HOME, from which a lost
or restored journal gets them back. Belongs here: writing both, in that order, and bringing them together again. Not
here: what else an erasure does (`assets/erasure.py`), and who is left out because of them.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from resources.errors import SettingsError
from resources.home import Home
from resources.journal import Journal

FILE = "tombstones"
_STATES = ("begun", "deleted", "erased")


def bury(home: Home, journal: Journal, hashes: Sequence[bytes], *, state: str) -> None:
    """These people are being erased, or are: in the file first, so that it never knows less than the journal."""
    if not hashes:
        return
    path = home.root / FILE
    lines = [f"{each.hex()} {state}\n" for each in hashes]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        if os.fstat(descriptor).st_size == 0:
            lines.insert(0, f"key {_sign_of(home.key)}\n")
        os.write(descriptor, "".join(lines).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    journal.bury(hashes, state=state)


def restore(home: Home, journal: Journal) -> int:
    """Give a journal back what it has lost; says how many people that were.

    A key that is not the one they were made with would recognise none of them: that is an error, not a fresh start.
    """
    path = home.root / FILE
    if not path.exists():
        return 0
    kept = _read(path, home.key)
    known = journal.tombstones()
    for state in _STATES:
        journal.bury(
            [each for each, found in kept.items() if found == state and each not in known], state=state
        )
    return len(kept.keys() - known.keys())


def _read(path: Path, key: bytes) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(" ")
        if name == "key":
            if not hmac.compare_digest(value, _sign_of(key)):
                raise SettingsError(
                    "The key is not the one that the erased people are remembered by.",
                    "With this key none of them would be recognised, and a sync would bring them back.",
                    f"Restore the former key (CONTACTS_KEY, or the file `key` beside {path.name} in CONTACTS_HOME).",
                )
        elif (
            len(name) == 32 and value in _STATES
        ):  # a line cut short by a power cut is in the journal, or was not begun
            found[bytes.fromhex(name)] = value
    return found


def _sign_of(key: bytes) -> str:
    """What tells one key from another, and says nothing about it."""
    return hmac.new(key, b"mailtrap-contacts: which key", hashlib.sha256).hexdigest()[:32]
