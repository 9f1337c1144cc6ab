"""Problems of one sync file, collected so that a person mends them in one go.

Belongs here: collecting, and finding the name that was probably meant. Not here: what is a problem.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from assets.rules.sync import Problem, SyncFileError

Fault = tuple[str, str]
"""What happened, and the remedy."""


class Report:
    """The problems found so far in one file."""

    def __init__(self, file: str, *, places: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.file = file
        self.places = places or {}
        self.problems: list[Problem] = []

    def add(self, line: int, key: str, fault: Fault) -> None:
        """Record one problem; two of them for the same key and line would only repeat it."""
        if not any((known.line, known.key) == (line, key) for known in self.problems):
            self.problems.append(Problem(self.file, line, key, *fault))

    def close(self) -> None:
        """Raise all problems, in the order of their lines, if there are any."""
        if self.problems:
            raise SyncFileError(tuple(sorted(self.problems, key=lambda problem: problem.line)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    by_lower_case = {name.lower(): name for name in known}
    found = get_close_matches(word.lower().replace("-", "_"), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[found[0]] if found else None


def listed(words: Iterable[object], *, last: str = "or") -> str:
    """`a, b or c`."""
    *head, tail = (str(word) for word in words)
    return f"{', '.join(head)} {last} {tail}" if head else tail
