"""CONTACTS_HOME: the one folder that holds what we keep, and the key that makes our hashes ours.

Folders are 0700, files 0600, whatever the umask. What lies in the folders belongs to `lake.py` and `journal.py`.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from resources.errors import SettingsError

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Home:
    """The root folder and the key of the keyed hashes."""

    root: Path
    key: bytes = field(repr=False)


def sign_of(key: bytes) -> str:
    """What tells one key from another, and says nothing about it."""
    return hmac.new(key, b"mailtrap-contacts: which key", hashlib.sha256).hexdigest()[:32]


def open_home(root: str | Path, key: str | None = None) -> Home:
    """The home folder, made if need be; the key comes from the setting, else from its file, else it is made once."""
    folder = Path(root).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return Home(folder, _parse_key(key) if key else _kept_key(folder / "key"))


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """A file for its owner alone, whole or not at all, whatever the umask; a link in its place is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _parse_key(text: str) -> bytes:
    key = text.strip().encode()
    if len(key) < 16:
        raise SettingsError(
            "CONTACTS_KEY is too short.",
            "Hashes made with it could be reversed by trying addresses.",
            "Use at least 32 random characters, or unset it and let the key file be made.",
        )
    return key


def _kept_key(path: Path) -> bytes:
    fresh = secrets.token_hex(KEY_BYTES).encode()
    partial = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(fresh + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(partial, path)  # the first of several processes wins; the others read its key
        except FileExistsError:
            pass
        finally:
            partial.unlink(missing_ok=True)
    kept = path.read_bytes().strip()
    if len(kept) < 16:
        raise SettingsError(
            f"The key file {path} is empty or cut short.",
            "Without the key nobody can be recognised: every contact would be sent again.",
            "Restore the file from a backup, or remove it to begin anew with a full resend.",
        )
    return kept
