"""No secret is in the repository: every tracked file is searched for what secrets look like."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "a Slack token or webhook": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T[A-Z0-9]{8,}/",
    "a Google key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "a token of a web service": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    # Mailtrap's tokens are 32 hexadecimal digits. What tests and docs invent counts to nine, so that everybody sees it.
    "a token or password": r"(?i)(?:token|secret|password|passwd|api[_-]?key)\b[\"']?\s*[:=]\s*[\"']?(?!\S*0123456789)(?=\S*[0-9])(?=\S*[a-z])[a-z0-9+/_-]{24,}",
    "a password in a URL": r"\b[a-z][a-z0-9+]+://[^\s/:@{}$<>\"'*]+:(?!pass|secret|x@|p@|pw|hunter2)[^\s/:@{}$<>\"'*]{8,}@",
}


def files() -> Iterator[Path]:
    """What is tracked, but for the lock file, which is full of hashes, and pictures."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("This is no git repository, so nothing says which files are part of the project.")
    for name in listed.stdout.decode().split("\0"):
        if name and name != "requirements.lock" and not name.endswith((".png", ".svg")):
            yield ROOT / name


def found_in(text: str) -> list[str]:
    """The kinds of secrets that a text seems to hold."""
    return [kind for kind, shape in SHAPES.items() if re.search(shape, text)]


def test_no_file_holds_a_secret() -> None:
    """A secret that was committed once is public: it must be revoked, not only removed."""
    held = {
        str(path.relative_to(ROOT)): kinds
        for path in files()
        if path.is_file() and path != Path(__file__) and (kinds := found_in(path.read_text(errors="replace")))
    }
    assert held == {}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a1" * 18,
        "MAILTRAP_API_TOKEN=" + "0f" * 16,
        '{"api_key": "' + "x9" * 14 + '"}',
        "postgresql://user:" + "correcthorse1@db.example/contacts",
    ],
)
def test_a_secret_would_be_found(text: str) -> None:
    """A search that finds nothing proves something only if it would have found it."""
    assert found_in(f"before {text} after")
