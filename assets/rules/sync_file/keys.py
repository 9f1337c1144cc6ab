"""Every key of a sync file: its shape, its default and its meaning. The one place that lists them.

The parser, the JSON schema for editors (`schema`) and the tables of docs/syncs.md are made from it.
Not here: which keys cannot go together (`mixes`).
"""

from collections.abc import Iterator
from typing import Final

from assets.rules.account_limits import MAX_FIELDS, MAX_LISTS, merge_tag_fault, param_fault
from assets.rules.sync_file.shapes import (
    AnyScalar,
    Block,
    Character,
    Day,
    Either,
    Flag,
    Key,
    ListName,
    Many,
    Moment,
    Named,
    OneOf,
    RowValue,
    Share,
    Text,
    Whole,
)

NAME_PATTERN: Final = "[a-z][a-z0-9_]*"
COLUMN: Final = Text("a column's name")
WORDS: Final = Text("text", several_lines=True, max_length=20_000)

_PARTITION = Block(
    (
        Key(
            "by",
            OneOf(("day", "bucket")),
            "`day`: by the UTC day of `updated_at`; `bucket`: by a hash of the address.",
            required=True,
        ),
        Key("start", Day(), "With `by: day`: the first day."),
        Key("count", Whole(1, 1000), "With `by: bucket`: how many buckets."),
    )
)
_CSV = Block(
    (
        Key("delimiter", Character(), "What stands between two values.", default='`","`'),
        Key(
            "quote",
            Character('one character, or `""` for none', or_none=True),
            "What encloses a value.",
            default="`'\"'`",
        ),
        Key(
            "escape", Character(), "What stands before a quote inside a value; without it a quote is doubled."
        ),
        Key("encoding", Text("the name of an encoding"), "How characters are written.", default="`utf-8`"),
        Key("header", Flag(), "Whether the first line names the columns.", default="`true`"),
        Key(
            "columns",
            Either(Many(COLUMN, least=1), Named(COLUMN, name="name in the file")),
            "Names to use instead: `{name in the file: our name}`; without a header the names in their order.",
        ),
        Key(
            "null_values",
            Many(Text("text", may_be_empty=True)),
            "What stands for no value.",
            default='`[""]`',
        ),
    )
)
_SOURCE = Block(
    (
        Key("table", Text("a table's name, `schema.table`"), "A table or view of the warehouse."),
        Key("query", WORDS, "A SELECT to run in the warehouse."),
        Key(
            "file",
            Text("a path or URL", max_length=2000),
            "CSV, Parquet or JSON-lines files, by pattern: `exports/*.csv`.",
        ),
        Key(
            "asset",
            Text("an asset key, `dbt/model`", pattern=r"[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*"),
            "The Dagster asset that makes the table: shown upstream, and run after. Alone: its rows are the source.",
        ),
        Key(
            "warehouse",
            Text(
                "the name of an environment variable",
                pattern="[A-Z][A-Z0-9_]*",
                remedy="Put the URL in an environment variable and write its name: `CRM_WAREHOUSE`.",
            ),
            "Which environment variable holds the warehouse's URL.",
            default="`CONTACTS_WAREHOUSE`",
        ),
        Key("csv", _CSV, "With CSV files: how they are written."),
        Key("key", COLUMN, "Names the row in rejections.", default="its position"),
        Key("updated_at", COLUMN, "When the row last changed: the newest row of a person wins."),
        Key(
            "partition",
            _PARTITION,
            "How the table is cut into parts that run on their own.",
            default="not at all",
        ),
    )
)
_CONSENT = Block(
    (
        Key("granted", COLUMN, "A boolean, or the time at which consent was given.", required=True),
        Key("withdrawn", COLUMN, "`true`, or a time after `granted_at`, means no."),
        Key("granted_at", COLUMN, "When consent was given: evidence, and what `max_age_days` looks at."),
        Key("evidence", COLUMN, "Where consent came from; kept with what is sent."),
        Key("max_age_days", Whole(1, 36_500), "Consent older than this is a no."),
        Key(
            "truthy",
            Many(Text("a spelling of yes, in quotes")),
            "Spellings that count as yes besides `true`.",
            default="none",
        ),
    )
)
_RULE_KEYS = (
    Key("column", COLUMN, "The column that the value comes from.", required=True),
    Key(
        "type",
        OneOf(("text", "integer", "float", "boolean", "date")),
        "The type of the Mailtrap field.",
        default="`text`",
    ),
    Key("required", Flag(), "Refuse rows without a value.", default="`false`"),
    Key("min", AnyScalar(), "The least value (integer, float, date)."),
    Key("max", AnyScalar(), "The greatest value (integer, float, date)."),
    Key("one_of", Many(AnyScalar(), least=1, unique=False), "The only values that are accepted."),
    Key("default", AnyScalar(), "The value of rows without one."),
    Key(
        "nulls",
        OneOf(("omit", "clear")),
        "As the sync's `nulls`, for this field alone.",
        default="the sync's",
    ),
)
_RULE = Either(COLUMN, Block(_RULE_KEYS))
_LISTS = Block(
    (
        Key("include", Many(ListName()), "Lists that every contact enters.", default="`[]`"),
        Key("exclude", Many(ListName()), "Lists that every contact leaves.", default="`[]`"),
        Key("from_column", COLUMN, "A column with further lists for this row."),
    )
)
_GUARDS = Block(
    (
        Key("max_rejected", Share(), "Stop when more rows than this are refused.", default="`5%`"),
        Key("max_gone", Share(), "Stop when more contacts than this would be removed.", default="`10%`"),
        Key("min_rows", Whole(0, 10**12), "Stop when the source has fewer rows.", default="`1`"),
    )
)
_EVENTS = Block(
    (
        Key(
            "name",
            Either(
                Text("an event's name"),
                Block((Key("column", COLUMN, "The column with the event's name.", required=True),)),
            ),
            "The event's name, the same for all rows, or `{column: …}`.",
            required=True,
        ),
        Key(
            "key",
            COLUMN,
            "The column that tells one event from another: no key is sent twice.",
            required=True,
        ),
        Key(
            "params",
            Named(_RULE, name="parameter", check_name=param_fault),
            "The event's parameters, written like `fields`.",
            default="none",
        ),
    )
)
_UNSUBSCRIBES = Block(
    (
        Key(
            "action",
            OneOf(("unsubscribe", "delete")),
            "What each row's person asked for.",
            default="`unsubscribe`",
        ),
    )
)
_EXAMPLE = Block(
    (
        Key(
            "row",
            Named(RowValue(), name="column"),
            "A row of the source; columns left out are null.",
            required=True,
        ),
        Key(
            "contact",
            Named(RowValue(), name="`email`, merge tag or `_lists`"),
            "What the row must become; only what is written here is compared.",
        ),
        Key(
            "rejected",
            Text("a reason code", pattern=NAME_PATTERN),
            "The reason for which the row must be refused, or `no_consent`.",
        ),
        Key(
            "now",
            Moment(),
            "The time at which the example is judged (for `max_age_days`).",
            default="the time of the check",
        ),
    )
)

SYNC: Final = Block(
    (
        Key(
            "sync",
            Text(
                "a sync's name",
                pattern=NAME_PATTERN,
                max_length=60,
                remedy="Use at most 60 of a-z, 0-9 and _, a letter first.",
            ),
            "The name: of its assets, its job and its folder in the lake.",
            required=True,
        ),
        Key("description", WORDS, "Shown in the Dagster UI."),
        Key(
            "owners",
            Many(Text("an owner")),
            "E-mail addresses, or teams as `team:growth`; shown in the Dagster UI.",
            default="none",
        ),
        Key(
            "source",
            _SOURCE,
            "Where the rows come from: one of `table`, `query`, `file`, or `asset` alone.",
            required=True,
        ),
        Key("email", COLUMN, "The column with the address.", required=True),
        Key(
            "consent",
            _CONSENT,
            "Which columns say that the person agreed. Needed, except with `unsubscribes`.",
        ),
        Key(
            "fields",
            Named(
                _RULE,
                name="merge tag",
                check_name=merge_tag_fault,
                most=MAX_FIELDS,
                too_many=f"A Mailtrap account has at most {MAX_FIELDS} fields: remove some.",
            ),
            "Mailtrap fields by merge tag: the column, or a block.",
            default="none",
        ),
        Key("lists", _LISTS, f"Mailtrap lists, at most {MAX_LISTS} in all.", default="none"),
        Key(
            "mode",
            OneOf(("insert", "update", "upsert", "mirror")),
            "`insert` only new people; `update` only known ones; `upsert` both; `mirror` both, and people who left the table are `gone`.",
            default="`upsert`",
        ),
        Key(
            "when_gone",
            OneOf(("keep", "unlist", "unsubscribe", "delete")),
            "With `mirror`: what becomes of people who left the table.",
            default="`keep`",
        ),
        Key(
            "nulls",
            OneOf(("omit", "clear")),
            "A null leaves Mailtrap's value as it is (`omit`) or empties it (`clear`).",
            default="`omit`",
        ),
        Key(
            "schedule",
            Text("a cron line"),
            "When it runs: five fields, in UTC.",
            default="only by hand or sensor",
        ),
        Key("guards", _GUARDS, "What stops a run before anything is sent."),
        Key("create", Flag(), "Create lists and fields that Mailtrap does not have.", default="`false`"),
        Key(
            "verify",
            OneOf(("none", "export")),
            "`export`: after sending, read the contacts back by an export.",
            default="`none`",
        ),
        Key("events", _EVENTS, "Makes this a sync of events: each row is one event."),
        Key(
            "unsubscribes",
            _UNSUBSCRIBES,
            "Makes this a table of requests: each row is a person to unsubscribe or delete.",
        ),
        Key(
            "examples",
            Many(_EXAMPLE, unique=False),
            "Tests of this file: a row, and the contact or the rejection it must become.",
            default="none",
        ),
    ),
    words="a sync file",
)


def reference(block: Block = SYNC, *, at: str = "") -> Iterator[tuple[str, Key]]:
    """Every key with its whole path, in the order of the file."""
    for key in block.keys:
        path = f"{at}.{key.name}" if at else key.name
        yield path, key
        for inner, suffix in _blocks_within(key.shape):
            yield from reference(inner, at=path + suffix)


def places() -> dict[str, tuple[str, ...]]:
    """For each key's name the blocks that it belongs under, for those who wrote it elsewhere."""
    found: dict[str, tuple[str, ...]] = {}
    for path, key in reference():
        parent = path.rpartition(".")[0] or "the top of the file"
        found[key.name] = (*found.get(key.name, ()), parent)
    return found


def _blocks_within(shape: object) -> Iterator[tuple[Block, str]]:
    if isinstance(shape, Block):
        yield shape, ""
    elif isinstance(shape, Named):
        yield from ((block, f".<{shape.name}>{rest}") for block, rest in _blocks_within(shape.value))
    elif isinstance(shape, Many):
        yield from ((block, f"[]{rest}") for block, rest in _blocks_within(shape.item))
    elif isinstance(shape, Either):
        yield from _blocks_within(shape.long)
