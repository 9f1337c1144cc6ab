"""What a shell offers after Tab besides the words of the command: the names of the syncs.

Belongs here: answers that come at once, so nothing of Dagster and no judging of sync files; a file that nobody could
load has its name offered too. Not here: options and commands, which click knows.
"""

import re
from collections.abc import Mapping
from pathlib import Path

BESIDE = Path(__file__).parent / "syncs"
NAME = re.compile(r"""^sync:\s*(?P<quote>["']?)(?P<name>[\w-]+)(?P=quote)\s*(?:#.*)?$""", re.MULTILINE)


def names_of_syncs(environ: Mapping[str, str]) -> list[str]:
    """The names that stand in the files of CONTACTS_SYNCS."""
    given = environ.get("CONTACTS_SYNCS", "").strip()
    folder = Path(given) if given else BESIDE
    try:
        texts = [_begin(path) for path in folder.iterdir() if path.suffix in (".yaml", ".yml")]
    except OSError:
        return []
    return sorted(found["name"] for text in texts if (found := NAME.search(text)))


def _begin(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
