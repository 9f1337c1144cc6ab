"""Tombstones: the keyed hashes of people who were erased, so that nothing brings them back.

They are kept in several places: in the journal, where every process reads them; in a file in CONTACTS_HOME; in the
lake; and in CONTACTS_TOMBSTONES, where that is set. A place that is lost, or restored from a backup, gets them back
from the others whenever a store is opened. Belongs here: writing them, and bringing the places together. Not here: what
else an erasure does (`assets/people/erasure.py`), and who is left out because of them.
"""

import hmac
import os
import re
from collections.abc import Mapping, Sequence

from resources.errors import SettingsError
from resources.home import Home, sign_of
from resources.journal import Journal
from resources.lake import Lake

FILE = "tombstones"
COPY = "tombstones.txt"
_STATES = ("begun", "deleted", "erased")
_LINE = re.compile(f"[0-9a-f]{{32}} (?:{'|'.join(_STATES)})")


def bury(home: Home, journal: Journal, hashes: Sequence[bytes], *, state: str) -> None:
    """These people are being erased, or are: in the file first, so that it never knows less than the journal."""
    if hashes:
        _append(home, hashes, state)
        journal.bury(hashes, state=state)


def bring_together(home: Home, journal: Journal, copies: Sequence[Lake] = ()) -> int:
    """Whatever any place knows, all know from here on; says how many people the journal had lost.

    Whichever of the places is lost, or goes back to a backup: as long as one of them is left, nobody comes back.
    """
    in_file = _read(_file_of(home), home.key)
    in_copies = [_read_copy(each, home.key) for each in copies]
    known = journal.tombstones()
    every = _furthest(in_file, *in_copies) | known
    for state in _STATES:
        lost = [each for each, found in every.items() if found == state and each not in known]
        if lost:
            journal.bury(lost, state=state)
        _append(
            home, [each for each, found in every.items() if found == state and each not in in_file], state
        )
    for copy, kept in zip(copies, in_copies, strict=True):
        if kept != every:
            text = "".join(f"{each.hex()} {every[each]}\n" for each in sorted(every))
            copy.write_bytes(COPY, f"key {sign_of(home.key)}\n{text}".encode())
    return len(every.keys() - known.keys())


def _append(home: Home, hashes: Sequence[bytes], state: str) -> None:
    if not hashes:
        return
    lines = [f"{each.hex()} {state}\n" for each in hashes]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        descriptor = os.open(home.root / FILE, flags, 0o600)
    except OSError as error:
        raise _unusable(error) from None
    try:
        os.fchmod(descriptor, 0o600)
        # A line that a power cut has left without its end must not swallow the next one.
        lines.insert(0, "\n" if os.fstat(descriptor).st_size else f"key {sign_of(home.key)}\n")
        os.write(descriptor, "".join(lines).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _furthest(*places: Mapping[bytes, str]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for place in places:
        for each, state in place.items():
            found[each] = max(state, found.get(each, state), key=_STATES.index)
    return found


def _file_of(home: Home) -> str:
    try:
        descriptor = os.open(home.root / FILE, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unusable(error) from None


def _unusable(error: OSError) -> SettingsError:
    return SettingsError(
        f"The file {FILE} in CONTACTS_HOME cannot be used ({error.strerror or type(error).__name__}).",
        "It remembers who was erased, and must be a file of its own: through a link, or unread, it could be lost unseen.",
        "If it is a link, put the file itself in its place. Else give the user that runs this the right to read and "
        "write it. Then run again.",
    )


def _read_copy(copy: Lake, key: bytes) -> dict[bytes, str]:
    return _read(copy.read_bytes(COPY).decode("ascii", "replace") if copy.exists(COPY) else "", key)


def _read(text: str, key: bytes) -> dict[bytes, str]:
    """The people of one place. A key that is not the one they were made with would recognise none of them: that is an
    error, not a fresh start."""
    found: dict[bytes, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "key" and not hmac.compare_digest(value, sign_of(key)):
            raise SettingsError(
                "The key is not the one that the erased people are remembered by.",
                "With this key none of them would be recognised, and a sync would bring them back.",
                "Restore the former key (CONTACTS_KEY, or the file `key` in CONTACTS_HOME).",
            )
        if _LINE.fullmatch(line):  # one cut short by a power cut is in the journal, or was not begun
            found[bytes.fromhex(name)] = value
    return found
