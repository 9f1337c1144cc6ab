"""The store: the key, the lake and the journal of one installation, opened from the settings.

Only opening and closing. What lies in the lake and the journal belongs to the assets.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from resources.errors import SettingsError
from resources.home import Home, open_home, sign_of
from resources.journal import Journal, open_journal
from resources.lake import Lake
from resources.memory import allocate_sparingly
from resources.settings import Settings
from resources.tombstones import bring_together

KEEP_DAYS: Mapping[str, float] = {"extracts": 1.0, "rejections": 90.0, "exports": 90.0, "summaries": 365.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where we keep things, and how much goes into a payload."""

    home: Home
    lake: Lake
    journal: Journal
    rows_per_payload: int = 50_000
    bytes_per_payload: int = 20_000_000
    poll_seconds: float | None = None
    job_deadline_seconds: float = 3600.0
    keep_days: Mapping[str, float] = field(default_factory=lambda: KEEP_DAYS)
    """How long extracts, rejections, exports and summaries are kept."""
    elsewhere: tuple[Lake, ...] = ()
    """Where else the tombstones are kept, besides home, journal and lake."""

    @property
    def key(self) -> bytes:
        """The key of the keyed hashes."""
        return self.home.key

    def bring_tombstones_together(self) -> int:
        """Every place knows all erased people; says how many the journal had lost."""
        return bring_together(self.home, self.journal, (self.lake, *self.elsewhere))


@contextlib.contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open home, lake and journal, and give the journal's connections back at the end."""
    allocate_sparingly()
    opened = open_home(str(settings.home), settings.key)
    records = open_journal(settings.journal)
    try:
        check_key(opened, records)
        store = Store(
            home=opened,
            lake=Lake(settings.lake, scratch=opened.root / "scratch"),
            journal=records,
            rows_per_payload=settings.rows_per_payload,
            bytes_per_payload=settings.bytes_per_payload,
            poll_seconds=settings.poll_seconds,
            job_deadline_seconds=settings.job_deadline_seconds,
            keep_days=settings.keep_days,
            elsewhere=(Lake(settings.tombstones),) if settings.tombstones else (),
        )
        store.bring_tombstones_together()
        yield store
    finally:
        records.close()


def check_key(home: Home, journal: Journal) -> None:
    """Raise unless the key is the one that the journal's hashes were made with."""
    if journal.sign_of_key(sign_of(home.key)) != sign_of(home.key):
        raise SettingsError(
            "The key is not the one that this journal and its ledger were made with.",
            "Nobody in them would be recognised: everyone would be sent again, and erased people could come back.",
            "Give every machine the same CONTACTS_KEY, or restore the file `key` in CONTACTS_HOME. If the key is lost, "
            "begin with an empty CONTACTS_JOURNAL: every contact is then sent once more.",
        )
