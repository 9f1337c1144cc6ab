"""What a sync is: rows of this table become contacts in these lists, under this consent.

Belongs here: the frozen facts of a sync, and the errors of its file. Not here: how the file is read
(`sync_file`), how its rows are judged (`screening`), what Mailtrap must have for it (`preflight`).

    sync = parse_sync(text, path="pipelines/syncs/newsletter.yaml")     # assets.rules.sync_file
    sync.columns            # every source column it reads, each once
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from typing import Literal

FieldType = Literal["text", "integer", "float", "boolean", "date"]
Mode = Literal["insert", "update", "upsert", "mirror"]
WhenGone = Literal["keep", "unlist", "unsubscribe", "delete"]
Nulls = Literal["omit", "clear"]
Verify = Literal["none", "export"]
Action = Literal["unsubscribe", "delete"]
Kind = Literal["contacts", "events", "unsubscribes"]
Scalar = str | int | float | bool | date


@dataclass(frozen=True, slots=True)
class DayPartition:
    """One partition per day of `source.updated_at`, in UTC, from `start` on."""

    start: date


@dataclass(frozen=True, slots=True)
class BucketPartition:
    """`count` partitions by a hash of the address: one person stays in one bucket."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """How the CSV files of a source are written; nothing about them is guessed."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[tuple[str, str], ...] = ()
    """(name in the file, our name); without a header, our names by position, as ("", name)."""
    null_values: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows come from: exactly one of table, query and file, or the rows of an asset."""

    table: str | None = None
    query: str | None = None
    file: str | None = None
    asset: tuple[str, ...] | None = None
    csv: CsvDialect | None = None
    key: str | None = None
    updated_at: str | None = None
    partition: DayPartition | BucketPartition | None = None
    warehouse: str | None = None
    """The name of the environment variable that holds the warehouse URL; none: CONTACTS_WAREHOUSE."""

    @property
    def is_asset(self) -> bool:
        """Whether the rows are those of the asset, instead of a table that the asset makes."""
        return self.asset is not None and self.table is self.query is self.file is None


@dataclass(frozen=True, slots=True)
class Consent:
    """Which columns say that a person agreed; whatever is not a clear yes is a no."""

    granted: str
    _: KW_ONLY
    withdrawn: str | None = None
    granted_at: str | None = None
    evidence: str | None = None
    max_age_days: int | None = None
    truthy: tuple[str, ...] = ()


NOBODY = Consent("")
"""The consent of a table of requests: it grants nothing, so none of its rows can become a contact."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One merge tag at Mailtrap: the column it is filled from, its type, and what is refused."""

    merge_tag: str
    column: str
    _: KW_ONLY
    type: FieldType = "text"
    required: bool = False
    min: int | float | date | None = None
    max: int | float | date | None = None
    one_of: tuple[Scalar, ...] = ()
    default: Scalar | None = None
    nulls: Nulls = "omit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Mailtrap lists that contacts enter and leave: names, or ids as numbers."""

    include: tuple[str | int, ...] = ()
    exclude: tuple[str | int, ...] = ()
    from_column: str | None = None
    known: frozenset[str] | None = None
    """The names and ids that a row may give, once Mailtrap was asked; before that, any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much is too much: a count of rows, or a share of the whole (0.05 is 5 %)."""

    count: int | None = None
    share: float | None = None

    def exceeded(self, part: int, whole: int) -> bool:
        """Whether `part` of `whole` is more than this limit allows."""
        if self.count is not None and part > self.count:
            return True
        return self.share is not None and part > self.share * whole

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share is not None else str(self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What stops a run before anything is sent."""

    max_rejected: Limit = Limit(share=0.05)
    max_gone: Limit = Limit(share=0.10)
    min_rows: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row and what must become of it: a contact, or a rejection by its reason code."""

    row: Mapping[str, object] = field(repr=False, hash=False)
    contact: Mapping[str, object] | None = field(default=None, repr=False, hash=False)
    rejected: str | None = None
    now: datetime | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Each row is one custom event; its key keeps it from being sent twice."""

    key: str
    name: str | None = None
    name_column: str | None = None
    params: tuple[FieldRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsubscribes:
    """Each row is a person's request to be left alone; the table grants nothing."""

    action: Action = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One intent, read from one file."""

    name: str
    source: Source
    email: str
    consent: Consent
    fields: tuple[FieldRule, ...] = ()
    lists: Lists = Lists()
    mode: Mode = "upsert"
    when_gone: WhenGone = "keep"
    nulls: Nulls = "omit"
    schedule: str | None = None
    guards: Guards = Guards()
    create: bool = False
    verify: Verify = "none"
    examples: tuple[Example, ...] = ()
    events: Events | None = None
    unsubscribes: Unsubscribes | None = None
    owners: tuple[str, ...] = ()
    description: str = ""
    version: str = ""
    """12 hex digits that change with whatever changes the outcome (examples and words do not)."""
    file: str = field(default="", compare=False)

    @property
    def kind(self) -> Kind:
        """What a row of this sync becomes."""
        if self.events is not None:
            return "events"
        return "contacts" if self.unsubscribes is None else "unsubscribes"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every source column the sync reads, each once, in a fixed order."""
        source, consent = self.source, self.consent
        events = self.events or Events(key="")
        named = (
            *(source.key, source.updated_at, self.email),
            *(consent.granted, consent.withdrawn, consent.granted_at, consent.evidence),
            *(rule.column for rule in self.fields),
            *(self.lists.from_column, events.key, events.name_column),
            *(rule.column for rule in events.params),
        )
        return tuple(dict.fromkeys(column for column in named if column))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a sync: where (line 0: in no line of its own), what happened, what to do."""

    file: str
    line: int
    key: str
    happened: str
    remedy: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {key}{self.happened} {self.remedy}".rstrip()


_SHOWN = 50


class SyncFileError(ValueError):
    """Sync files cannot be used; all their problems, in the order of the files and their lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        more = [f"And {len(problems) - _SHOWN} more."] if len(problems) > _SHOWN else []
        super().__init__("\n".join([*map(str, problems[:_SHOWN]), *more]))
