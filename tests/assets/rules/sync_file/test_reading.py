"""A sync file that cannot be used says why: file, line, key, and what to do, for every problem at once."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.sync import (
    NOBODY,
    BucketPartition,
    Consent,
    CsvDialect,
    DayPartition,
    Events,
    Example,
    FieldRule,
    Guards,
    Limit,
    Lists,
    Source,
    Sync,
    SyncFileError,
    Unsubscribes,
)
from assets.rules.sync_file import load_syncs, parse_sync

SNIPPETS = [
    "\n",
    "  ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "yes",
    "null",
    "*a",
    "&a ",
    "! ",
    "|",
    "? ",
    "%",
    "@",
    "#",
    "---\n",
    "\x00",
    "\ud800",
    "<<: ",
    "2026-01-01",
    "9" * 30,
    "1:30",
    ".nan",
]
TODAY = date(2026, 8, 1)
MINIMAL = """\
sync: newsletter
source: {table: people, updated_at: changed}
email: address
consent: {granted: agreed}
fields: {first_name: given_name}
"""


class Case(NamedTuple):
    """A change of the minimal file (lines added at its end, or one text for another), and what it says."""

    name: str
    change: str | tuple[str, str]
    line: int
    key: str
    happened: str
    remedy: str

    @property
    def text(self) -> str:
        if isinstance(self.change, str):
            return MINIMAL + self.change
        assert self.change[0] in MINIMAL
        return MINIMAL.replace(*self.change)


def field(block: str) -> tuple[str, str]:
    """The minimal file with another field."""
    return ("{first_name: given_name}", f"{{age: {{column: age, {block}}}}}")


def source(block: str) -> tuple[str, str]:
    """The minimal file with another source."""
    return ("{table: people, updated_at: changed}", block)


def consent(block: str) -> tuple[str, str]:
    """The minimal file with another consent."""
    return ("{granted: agreed}", block)


CASES = [
    # keys
    Case("unknown key, nearly right", "wen_gone: keep\n", 6, "wen_gone", "is not a known key here", "Did you mean `when_gone`?"),
    Case("unknown key, with a dash", "when-gone: keep\n", 6, "when-gone", "is not a known key", "Did you mean `when_gone`?"),
    Case("unknown key, like nothing", "colour: red\n", 6, "colour", "is not a known key", "Known keys are `sync`"),
    Case("key of another block", "max_rejected: 5%\n", 6, "max_rejected", "is not a known key", "belongs under `guards`"),
    Case("unknown key of a block", "guards: {min_row: 1}\n", 6, "guards.min_row", "is not a known key", "`min_rows`"),
    Case("unknown key of a field", field("typ: text"), 5, "fields.age.typ", "is not a known key", "`type`"),
    Case("key given twice", "email: other\n", 6, "email", "given twice, first in line 3", "Keep one"),
    Case("merge tag given twice", ("{first_name: given_name}", "{a: x, a: y}"), 5, "fields.a", "given twice", "Keep one"),
    Case("key without a value", "schedule:\n", 6, "schedule", "has no value", "remove the key"),
    Case("key that is a list", "[a, b]: c\n", 6, "", "a key that is a list", "plain words"),
    Case("no name", ("sync: newsletter\n", ""), 1, "sync", "is missing", "Add it"),
    Case("no source", ("source: {table: people, updated_at: changed}\n", ""), 1, "source", "is missing", "`table`, `query`"),
    Case("no email", ("email: address\n", ""), 1, "email", "is missing", "The column with the address"),
    Case("no consent", ("consent: {granted: agreed}\n", ""), 1, "consent", "nobody can be sent", "granted: marketing"),
    Case("no granted", consent("{withdrawn: left}"), 4, "consent.granted", "is missing", "Add it"),
    # YAML
    Case("yes as a text", consent("{granted: agreed, truthy: [yes]}"), 4, "consent.truthy[1]", "read by YAML as true or false", "in quotes"),
    Case("no as one of", field("one_of: [free, no]"), 5, "fields.age.one_of[2]", "is not text to YAML", "in quotes"),
    Case("off as a default", field("default: off"), 5, "fields.age.default", "is not text to YAML", "in quotes"),
    Case("a number as one of", field("one_of: [1]"), 5, "fields.age.one_of[1]", "is not text to YAML", "in quotes"),
    Case("a date as a text", field("default: 2026-01-01"), 5, "fields.age.default", "is not text to YAML", "in quotes"),
    Case("a number as a column", ("email: address", "email: 2024"), 3, "email", "read by YAML as a number", "in quotes"),
    Case("on as a merge tag", ("{first_name: given_name}", "{on: given_name}"), 5, "fields.on", "as true or false", "key in quotes"),
    Case("a number as a name", ("sync: newsletter", "sync: 2024"), 1, "sync", "read by YAML as a number", "in quotes"),
    Case("yes as a flag", "create: yes\n", 6, "create", "is not `true` or `false`", "Write true or false"),
    Case("a flag in quotes", 'create: "true"\n', 6, "create", "is not `true` or `false`", "without quotes"),
    Case("an anchor", "mode: &m upsert\n", 6, "", "an anchor", "Write the value out"),
    Case("an alias", "mode: *m\n", 6, "", "an anchor (&) or an alias", "Write the value out"),
    Case("a merge key", "<<: {mode: upsert}\n", 6, "<<", "a merge key", "Write the keys out"),
    Case("a tag", "mode: !!python/name:os.system x\n", 6, "", "a YAML tag", "Remove it"),
    Case("cron without quotes", "schedule: * * * * *\n", 6, "", "begins with *", "in quotes"),
    Case("two documents", "---\nsync: other\n", 6, "", "a second document", "one sync in one file"),
    Case("a tab", "guards:\n\tmin_rows: 1\n", 7, "", "a tab", "Indent with spaces"),
    Case("a percent sign first", "guards: {max_gone: %5}\n", 6, "", "keeps for itself", "in quotes"),
    Case("an open quote", 'description: "never closed\n', 6, "", "never closed", "Close the quote"),
    Case("an open bracket", "guards: {min_rows: 1\n", 6, "", "bracket is not closed", "Close it"),
    Case("two colons", "description: a: b\n", 6, "", "a colon", "in quotes"),
    Case("an odd indentation", "guards:\n    min_rows: 1\n  max_gone: 5%\n", 8, "", "indentation", "Line the keys up"),
    Case("a control character", "description: a\x07b\n", 6, "", "control character", "Remove it"),
    Case("a list as a file", (MINIMAL, "- a\n- b\n"), 1, "", "is not a block of keys", "`sync`"),
    Case("a text as a file", (MINIMAL, "hello\n"), 1, "", "is not a block of keys", "`sync`"),
    Case("an empty file", (MINIMAL, ""), 1, "", "the file is empty", "Start it with `sync"),
    Case("only a comment", (MINIMAL, "# later\n"), 1, "", "the file is empty", "Start it with `sync"),
    Case("a deep nest", "lists: " + "[" * 40 + "]" * 40 + "\n", 6, "", "nests deeper", "docs/syncs.md"),
    Case("an endless file", "#" * 1_000_001, 1, "", "longer than a sync file", "one sync in one file"),
    # types
    Case("text for a block", "guards: strict\n", 6, "guards", "is not a block of keys", "`max_rejected`"),
    Case("text for a list", "lists: {include: Newsletter}\n", 6, "lists.include", "is not a list", "[a, b]"),
    Case("list for a text", ("email: address", "email: [address]"), 3, "email", "is a list", "a column's name"),
    Case("fields as a list", ("{first_name: given_name}", "[given_name]"), 5, "fields", "is not a block", "merge tag:"),
    Case("field without a column", ("{first_name: given_name}", "{age: {type: integer}}"), 5, "fields.age.column", "is missing", "Add it"),
    Case("field with no value", ("{first_name: given_name}", "{age: }"), 5, "fields.age", "has no value", "a column's name"),
    Case("unknown word", "mode: upsrt\n", 6, "mode", "is not `insert`, `update`, `upsert` or `mirror`", "`upsert`?"),
    Case("unknown field type", field("type: string"), 5, "fields.age.type", "is not `text`", "Choose one"),
    Case("an empty column", ("email: address", 'email: ""'), 3, "email", "is empty", "a column's name"),
    Case("a column with a space", ("email: address", 'email: "address "'), 3, "email", "ends with a space", "Write"),
    Case("a column with a line break", ("email: address", 'email: "a\\nb"'), 3, "email", "cannot be seen", "Write"),
    Case("a column too long", ("email: address", "email: " + "a" * 256), 3, "email", "longer than 255", "Write"),
    # name, owners, schedule
    Case("capitals in the name", ("sync: newsletter", "sync: Newsletter"), 1, "sync", "is not a sync's name", "a-z"),
    Case("a path as a name", ("sync: newsletter", "sync: ../etc"), 1, "sync", "is not a sync's name", "a-z"),
    Case("a long name", ("sync: newsletter", "sync: a" + "b" * 60), 1, "sync", "longer than 60", "at most 60"),
    Case("the name mailtrap", ("sync: newsletter", "sync: mailtrap"), 1, "sync", "already taken", "`mailtrap_contacts`"),
    Case("a word of Dagster", ("sync: newsletter", "sync: input"), 1, "sync", "already taken", "Try"),
    Case("an owner without team", "owners: [growth]\n", 6, "owners[1]", "neither an e-mail", "team:growth"),
    Case("cron with six fields", 'schedule: "0 0 * * * *"\n', 6, "schedule", "has 6 fields", "hourly"),
    Case("cron by nickname", 'schedule: "@daily"\n', 6, "schedule", "nickname", '"0 0 * * *"'),
    Case("cron out of range", 'schedule: "60 * * * *"\n', 6, "schedule", "a minute that is none", "0 to 59"),
    Case("cron on no day", 'schedule: "0 0 31 2 *"\n', 6, "schedule", "never run", "another day"),
    # source
    Case("no kind of source", source("{key: id}"), 2, "source", "says nowhere", "exactly one of"),
    Case("two kinds of source", source("{table: a, file: b.csv}"), 2, "source", "names table and file at once", "exactly one"),
    Case("a warehouse for an asset", source("{asset: dbt/people, warehouse: CRM}"), 2, "source.warehouse", "the rows of an asset", "Remove"),
    Case("an odd asset key", source("{table: a, asset: dbt//people}"), 2, "source.asset", "is not an asset key", "dbt/model"),
    Case("a URL as a warehouse", source("{table: a, warehouse: 'postgresql://u:p@h/d'}"), 2, "source.warehouse", "environment variable", "Put the URL in"),
    Case("a warehouse for files", source("{file: a.csv, warehouse: CRM}"), 2, "source.warehouse", "means nothing for files", "Remove"),
    Case("csv of a table", source("{table: a, csv: {}}"), 2, "source.csv", "the source is none", "use `file`"),
    Case("csv of parquet", source("{file: a.parquet, csv: {}}"), 2, "source.csv", "the file is none by its name", "Remove"),
    Case("no header, no names", source("{file: a.csv, csv: {header: false}}"), 2, "source.csv.columns", "has no header", "[first"),
    Case("header and a list", source("{file: a.csv, csv: {columns: [a]}}"), 2, "source.csv.columns", "has a header", "our name"),
    Case("one name twice", source("{file: a.csv, csv: {columns: {A: x, B: x}}}"), 2, "source.csv.columns.B", "another column has", "another name"),
    Case("a long delimiter", source('{file: a.csv, csv: {delimiter: "||"}}'), 2, "source.csv.delimiter", "not one character", "quotes"),
    Case("the quote as delimiter", source("{file: a.csv, csv: {delimiter: '\"'}}"), 2, "source.csv.delimiter", "also the quote", "two different"),
    Case("an unknown encoding", source("{file: a.csv, csv: {encoding: utf-9}}"), 2, "source.csv.encoding", "no encoding", "utf-8"),
    Case("a byte codec", source("{file: a.csv, csv: {encoding: base64}}"), 2, "source.csv.encoding", "no encoding", "utf-8"),
    Case("a query that writes", source('{query: "delete from people"}'), 2, "source.query", "is not a SELECT", "only read"),
    Case("a query with its end", source('{query: "select 1;"}'), 2, "source.query", "semicolon", "Remove it"),
    Case("partition by month", source("{table: a, partition: {by: month}}"), 2, "source.partition.by", "is not `day` or `bucket`", "Choose"),
    Case("day without start", source("{table: a, updated_at: u, partition: {by: day}}"), 2, "source.partition.start", "is missing", "Add"),
    Case("day without updated_at", source("{table: a, partition: {by: day, start: 2026-01-01}}"), 2, "source.partition.by", "`source.updated_at` is not given", "Name"),
    Case("day with a count", source("{table: a, updated_at: u, partition: {by: day, start: 2026-01-01, count: 2}}"), 2, "source.partition.count", "means nothing", "Remove"),
    Case("day in the future", source("{table: a, updated_at: u, partition: {by: day, start: 2026-08-02}}"), 2, "source.partition.start", "in the future", "until today"),
    Case("day long ago", source("{table: a, updated_at: u, partition: {by: day, start: 1066-10-14}}"), 2, "source.partition.start", "before 1970", "first day"),
    Case("day that is none", source("{table: a, updated_at: u, partition: {by: day, start: 2026-02-30}}"), 2, "source.partition.start", "not a day", "2026-01-31"),
    Case("bucket without count", source("{table: a, partition: {by: bucket}}"), 2, "source.partition.count", "is missing", "Add"),
    Case("no buckets", source("{table: a, partition: {by: bucket, count: 0}}"), 2, "source.partition.count", "out of bounds", "1 to 1000"),
    Case("too many buckets", source("{table: a, partition: {by: bucket, count: 1001}}"), 2, "source.partition.count", "out of bounds", "1 to 1000"),
    Case("a count in quotes", source("{table: a, partition: {by: bucket, count: '4'}}"), 2, "source.partition.count", "not a whole number", "without quotes"),
    Case("an octal count", source("{table: a, partition: {by: bucket, count: 010}}"), 2, "source.partition.count", "not a whole number", "without quotes"),
    Case("two spellings of a column", ("email: address", "email: Changed"), 3, "email", "other capitals", "same everywhere"),
    # consent
    Case("age without a time", consent("{granted: agreed, max_age_days: 30}"), 4, "consent.max_age_days", "needs `granted_at`", "Name that column"),
    Case("no age at all", consent("{granted: agreed, granted_at: t, max_age_days: 0}"), 4, "consent.max_age_days", "out of bounds", "1 to"),
    Case("grants and withdraws", consent("{granted: agreed, withdrawn: agreed}"), 4, "consent.withdrawn", "also grants", "another column"),
    Case("a no as a yes", consent('{granted: agreed, truthy: ["No"]}'), 4, "consent.truthy[1]", "a word for no", "spellings of yes"),
    Case("one yes twice", consent('{granted: agreed, truthy: ["Y", "Y"]}'), 4, "consent.truthy[2]", "in the list twice", "Keep one"),
    # fields
    Case("a reserved merge tag", ("{first_name: given_name}", "{email: mail}"), 5, "fields.email", "Mailtrap keeps", "another merge tag"),
    Case("reserved in capitals", ("{first_name: given_name}", "{Status: s}"), 5, "fields.Status", "Mailtrap keeps", "another merge tag"),
    Case("a long merge tag", ("first_name", "a" * 81), 5, "fields.(hidden)", "81 characters", "Shorten"),
    Case("an underscore first", ("first_name", "_lists"), 5, "fields._lists", "begins with an underscore", "letter"),
    Case("a space in a merge tag", ("first_name", "first name"), 5, "fields.first name", "not the shape", "`first_name`"),
    Case("a path as a merge tag", ("first_name", "../x"), 5, "fields.../x", "not the shape", "letters"),
    Case("merge tags but for capitals", ("{first_name: given_name}", "{plan: a, Plan: b}"), 5, "fields.Plan", "only in capitals", "of its own"),
    Case("41 fields", ("{first_name: given_name}", "{" + ", ".join(f"f{n}: c" for n in range(41)) + "}"), 5, "fields", "holds 41 entries", "at most 40"),
    Case("min of a text", field("min: 1"), 5, "fields.age.min", "means nothing for type text", "one_of"),
    Case("max of a boolean", field("type: boolean, max: 1"), 5, "fields.age.max", "means nothing for type boolean", "Remove"),
    Case("min above max", field("type: integer, min: 9, max: 1"), 5, "fields.age.min", "greater than `max`", "Exchange"),
    Case("min of the wrong type", field("type: integer, min: 0.5"), 5, "fields.age.min", "not a whole number", "plain digits"),
    Case("min beyond 64 bits", field("type: integer, min: 9223372036854775808"), 5, "fields.age.min", "not a whole number", "64 bits"),
    Case("an endless max", field("type: float, max: .inf"), 5, "fields.age.max", "not a number", "0.5"),
    Case("max that is no day", field("type: date, max: 2026-13-01"), 5, "fields.age.max", "not a day", "2026-01-31"),
    Case("default not in one_of", field("one_of: [a, b], default: c"), 5, "fields.age.default", "not in `one_of`", "Add it"),
    Case("default below min", field("type: integer, min: 1, default: 0"), 5, "fields.age.default", "outside `min`", "between"),
    Case("default in another type", field("type: boolean, default: yes"), 5, "fields.age.default", "not `true` or", "true or false"),
    Case("no choice", field("one_of: []"), 5, "fields.age.one_of", "holds 0 items", "at least 1"),
    Case("one choice twice", field("type: integer, one_of: [1, 1]"), 5, "fields.age.one_of[2]", "twice", "Keep one"),
    Case("clear and required", field("required: true, nulls: clear"), 5, "fields.age.nulls", "never null", "Remove"),
    Case("clear and default", field("default: x, nulls: clear"), 5, "fields.age.nulls", "fills every null", "Remove"),
    # lists, modes, guards
    Case("in and out of a list", "lists: {include: [News], exclude: [news]}\n", 6, "lists.exclude[1]", "also in `include`", "one of the two"),
    Case("a list twice", "lists: {include: [A, A]}\n", 6, "lists.include[2]", "twice", "Keep one"),
    Case("a list id of zero", "lists: {include: [0]}\n", 6, "lists.include[1]", "not the id", "in quotes"),
    Case("a list called true", "lists: {include: [true]}\n", 6, "lists.include[1]", "as true or false", "in quotes"),
    Case("51 lists", f"lists: {{include: {list(range(1, 52))}}}\n", 6, "lists", "names 51 lists", "Remove some"),
    Case("gone without mirror", "when_gone: delete\n", 6, "when_gone", "nobody is ever gone", "`mode: mirror`"),
    Case("gone with insert", "mode: insert\nwhen_gone: unlist\n", 7, "when_gone", "mode `insert`", "`mode: mirror`"),
    Case("gone with update", "mode: update\nwhen_gone: unsubscribe\n", 7, "when_gone", "mode `update`", "`mode: mirror`"),
    Case("unlist from no list", "mode: mirror\nwhen_gone: unlist\n", 7, "when_gone", "enters nobody", "lists.include"),
    Case("a percentage above all", "guards: {max_gone: 101%}\n", 6, "guards.max_gone", "neither a percentage", "100%"),
    Case("a share as a float", "guards: {max_gone: 0.05}\n", 6, "guards.max_gone", "neither a percentage", "100%"),
    Case("a negative count", "guards: {max_rejected: -1}\n", 6, "guards.max_rejected", "neither a percentage", "count"),
    Case("negative rows", "guards: {min_rows: -1}\n", 6, "guards.min_rows", "out of bounds", "from 0"),
    # events and unsubscribes
    Case("events with fields", "events: {name: a, key: k}\n", 5, "fields", "means nothing in a sync with `events`", "two syncs"),
    Case("events without a key", ("fields: {first_name: given_name}", "events: {name: a}"), 5, "events.key", "is missing", "no key is sent twice"),
    Case("events without a name", ("fields: {first_name: given_name}", "events: {key: k}"), 5, "events.name", "is missing", "Add it"),
    Case("a param that is the address", ("fields: {first_name: given_name}", "events: {name: a, key: k, params: {email: x}}"), 5, "events.params.email", "has anyway", "another name"),
    Case("unsubscribes with consent", ("fields: {first_name: given_name}", "unsubscribes: {}"), 4, "consent", "means nothing in a sync with `unsubscribes`", "Remove"),
    Case("events and unsubscribes", ("fields: {first_name: given_name}", "events: {name: a, key: k}\nunsubscribes: {}"), 6, "unsubscribes", "cannot stand beside", "two syncs"),
    Case("an unknown action", ("consent: {granted: agreed}\nfields: {first_name: given_name}", "unsubscribes: {action: erase}"), 4, "unsubscribes.action", "is not `unsubscribe`", "Choose"),
    # examples
    Case("neither contact nor rejected", "examples:\n- row: {address: a}\n", 7, "examples[1]", "exactly one of", "becomes of it"),
    Case("contact and rejected", "examples:\n- {row: {}, contact: {}, rejected: no_consent}\n", 7, "examples[1]", "exactly one of", "becomes"),
    Case("an unknown reason", "examples:\n- {row: {}, rejected: date_invalied}\n", 7, "examples[1].rejected", "is not a reason", "`date_invalid`?"),
    Case("a column that is not read", "examples:\n- {row: {adress: a}, contact: {}}\n", 7, "examples[1].row.adress", "a column that this sync reads", "`address`"),
    Case("a field that is not there", "examples:\n- {row: {}, contact: {firstname: a}}\n", 7, "examples[1].contact.firstname", "is not a merge tag of this sync", "`first_name`"),
    Case("lists that are not there", "examples:\n- {row: {}, contact: {_lists: [1]}}\n", 7, "examples[1].contact._lists", "is not a merge tag", "Known"),
    Case("yes in a row", "examples:\n- {row: {agreed: yes}, contact: {}}\n", 7, "examples[1].row.agreed", "as true or false", "true or false"),
    Case("a block in a row", "examples:\n- {row: {agreed: {a: 1}}, contact: {}}\n", 7, "examples[1].row.agreed", "is a block", "one value"),
    Case("a text as an example", "examples: [ada@example.com]\n", 6, "examples[1]", "is not a block", "`row`"),
    Case("a time that is none", "examples:\n- {row: {}, contact: {}, now: soon}\n", 7, "examples[1].now", "is not a time", "09:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_problem_names_its_file_line_key_and_remedy(case: Case) -> None:
    """Every refusal points at the place and says what to do: the words that a user reads."""
    with pytest.raises(SyncFileError) as caught:
        parse_sync(case.text, path="syncs/a.yaml", today=TODAY)
    problems = caught.value.problems
    found = [p for p in problems if (p.line, p.key) == (case.line, case.key)]
    assert found, f"expected {case.line} {case.key}, found: {caught.value}"
    assert case.happened in found[0].happened
    assert case.remedy in found[0].remedy
    assert found[0].file == "syncs/a.yaml"
    assert f"syncs/a.yaml:{case.line}: " in str(caught.value)


def test_one_mistake_makes_one_problem() -> None:
    """A person is not sent after problems that follow from another one."""
    several = {}
    for case in CASES:
        with pytest.raises(SyncFileError) as caught:
            parse_sync(case.text, path="a.yaml", today=TODAY)
        if len(caught.value.problems) > 1:
            several[case.name] = len(caught.value.problems)
    assert several == {}


def test_all_problems_come_at_once_in_the_order_of_their_lines() -> None:
    """Nobody mends a file one error at a time."""
    text = "sync: 1\nsource: {tabel: x}\nemail: e\nmode: upsrt\nguards: {min_rows: many}\n"
    with pytest.raises(SyncFileError) as caught:
        parse_sync(text, path="a.yaml", today=TODAY)
    keys = [(problem.line, problem.key) for problem in caught.value.problems]
    assert keys == sorted(keys, key=lambda key: key[0])
    assert {key for _, key in keys} >= {
        "sync",
        "source.tabel",
        "source",
        "mode",
        "guards.min_rows",
        "consent",
    }


def test_messages_never_hold_a_value_of_a_person() -> None:
    """Examples may look like people's data: messages name them by number and column."""
    text = MINIMAL + (
        "owners: [ada@lovelace@example.com]\n"
        "examples:\n"
        "- {row: {address: {ada@example.com: 1}}, contact: {}}\n"
        "- {row: {ada@example.com: yes}, rejected: Ada@Example}\n"
        "- ada@example.com\n"
        "ada@example.com: 1\n"
    )
    with pytest.raises(SyncFileError) as caught:
        parse_sync(text, path="a.yaml", today=TODAY)
    assert len(caught.value.problems) >= 5
    assert "ada" not in str(caught.value).lower()
    with pytest.raises(SyncFileError) as caught:
        parse_sync(MINIMAL + "examples: [{row: {address: 'ada@example.com}}]\n", path="a.yaml", today=TODAY)
    assert "ada" not in str(caught.value).lower()


def test_the_least_file_has_the_documented_defaults() -> None:
    """What is not written has its default."""
    sync = parse_sync(MINIMAL, path="syncs/a.yaml", today=TODAY)
    expected = Sync(
        name="newsletter",
        source=Source(table="people", updated_at="changed"),
        email="address",
        consent=Consent("agreed"),
        fields=(FieldRule("first_name", "given_name"),),
    )
    assert replace(sync, version="") == expected
    assert sync.file == "syncs/a.yaml"
    assert sync.kind == "contacts"
    assert sync.columns == ("changed", "address", "agreed", "given_name")


FULL = """\
sync: everything
description: |
  Every key once.
owners: [data@example.com, "team:growth"]
source:
  file: exports/*.csv
  asset: dbt/marts/people
  key: id
  updated_at: changed
  partition: {by: bucket, count: 16}
  csv:
    delimiter: ";"
    quote: ""
    escape: "\\\\"
    encoding: cp1252
    header: true
    columns: {Kunden-Nr: id, E-Mail: address}
    null_values: ["", "NULL"]
email: address
consent:
  granted: agreed
  withdrawn: left
  granted_at: since
  evidence: form
  max_age_days: 730
  truthy: ["yes", "Y"]
fields:
  first_name: given_name
  nick: given_name
  age: {column: age, type: integer, min: 0, max: 130, required: true}
  score: {column: score, type: float, min: 0, max: 1.5, nulls: omit}
  vip: {column: vip, type: boolean, default: false}
  plan: {column: plan, one_of: ["free", "no"], default: "no"}
  since: {column: since, type: date, min: 2020-01-01}
lists: {include: [News, 17, "18"], exclude: [Old], from_column: list_names}
mode: mirror
when_gone: unlist
nulls: clear
schedule: "*/15 6-20 * * mon-fri"
guards: {max_rejected: 2.5%, max_gone: 500, min_rows: 0}
create: true
verify: export
examples:
- row: {id: 1, address: Ada@Example.com, agreed: true, since: 2026-01-01, left: null, list_names: [A, 2]}
  contact: {email: ada@example.com, since: 2026-01-01, _lists: [A]}
- {row: {address: x, score: 1.5, since: 2026-01-01T10:00:00Z}, rejected: no_consent, now: 2026-02-01T00:00:00Z}
"""


def test_every_key_reaches_its_place() -> None:
    """A key that nothing reads would be a bug."""
    sync = parse_sync("\ufeff" + FULL, path="a.yaml", today=TODAY)
    dialect = CsvDialect(
        delimiter=";",
        quote=None,
        escape="\\",
        encoding="cp1252",
        columns=(("Kunden-Nr", "id"), ("E-Mail", "address")),
        null_values=("", "NULL"),
    )
    assert sync.description == "Every key once."
    assert sync.owners == ("data@example.com", "team:growth")
    assert sync.source == Source(
        file="exports/*.csv",
        asset=("dbt", "marts", "people"),
        csv=dialect,
        key="id",
        updated_at="changed",
        partition=BucketPartition(16),
    )
    assert sync.consent == Consent(
        "agreed", withdrawn="left", granted_at="since", evidence="form", max_age_days=730, truthy=("yes", "Y")
    )
    assert sync.fields == (
        FieldRule("first_name", "given_name", nulls="clear"),
        FieldRule("nick", "given_name", nulls="clear"),
        FieldRule("age", "age", type="integer", min=0, max=130, required=True),
        FieldRule("score", "score", type="float", min=0.0, max=1.5),
        FieldRule("vip", "vip", type="boolean", default=False, nulls="clear"),
        FieldRule("plan", "plan", one_of=("free", "no"), default="no", nulls="clear"),
        FieldRule("since", "since", type="date", min=date(2020, 1, 1), nulls="clear"),
    )
    assert sync.lists == Lists(include=("News", 17, "18"), exclude=("Old",), from_column="list_names")
    assert (sync.mode, sync.when_gone, sync.nulls, sync.create, sync.verify) == (
        "mirror",
        "unlist",
        "clear",
        True,
        "export",
    )
    assert sync.schedule == "*/15 6-20 * * mon-fri"
    assert sync.guards == Guards(max_rejected=Limit(share=0.025), max_gone=Limit(count=500), min_rows=0)
    assert sync.examples[0].row["since"] == date(2026, 1, 1)
    assert sync.examples[1] == Example(
        row={"address": "x", "score": 1.5, "since": datetime(2026, 1, 1, 10, tzinfo=UTC)},
        rejected="no_consent",
        now=datetime(2026, 2, 1, tzinfo=UTC),
    )
    assert sync.columns == (
        *("id", "changed", "address", "agreed", "left", "since", "form"),
        *("given_name", "age", "score", "vip", "plan", "list_names"),
    )
    hash(sync)


def test_a_table_by_day_an_environment_variable_and_a_query() -> None:
    """The other forms of a source."""
    text = MINIMAL.replace(
        "{table: people, updated_at: changed}",
        "{query: 'select 1', updated_at: u, warehouse: CRM_URL, partition: {by: day, start: '2026-08-01'}}",
    )
    source = parse_sync(text, path="a.yaml", today=TODAY).source
    assert source == Source(
        query="select 1", updated_at="u", warehouse="CRM_URL", partition=DayPartition(date(2026, 8, 1))
    )


def test_a_sync_of_events() -> None:
    """Each row is one event under the same consent."""
    events = "events: {name: {column: kind}, key: id, params: {total: {column: t, type: float}}}"
    sync = parse_sync(MINIMAL.replace("fields: {first_name: given_name}", events), path="a.yaml", today=TODAY)
    assert sync.events == Events(
        key="id", name_column="kind", params=(FieldRule("total", "t", type="float"),)
    )
    assert sync.kind == "events"
    assert sync.columns == ("changed", "address", "agreed", "id", "kind", "t")


def test_a_table_of_requests_grants_nothing() -> None:
    """A person's request to be left alone needs no consent, and gives none."""
    text = "sync: opt_outs\nsource: {table: t}\nemail: e\nunsubscribes: {action: delete}\n"
    sync = parse_sync(text, path="a.yaml", today=TODAY)
    assert sync.unsubscribes == Unsubscribes("delete")
    assert sync.consent is NOBODY
    assert sync.kind == "unsubscribes"
    assert sync.columns == ("e",)


def test_the_version_follows_the_outcome_and_not_the_words() -> None:
    """Evidence names the version under which consent was judged: comments do not change it, rules do."""

    def version(text: str) -> str:
        return parse_sync(text, path="a.yaml", today=TODAY).version

    words = '# why\ndescription: new\nschedule: "0 * * * *"\nowners: ["team:a"]\nexamples: [{row: {}, contact: {}}]\n'
    assert version(MINIMAL) == version(MINIMAL + words)
    assert version(MINIMAL) != version(MINIMAL.replace("agreed", "opted_in"))
    assert version(MINIMAL) != version(MINIMAL + "nulls: clear\n")
    assert len(version(MINIMAL)) == 12
    assert int(version(MINIMAL), 16) >= 0


def test_a_folder_gives_its_syncs_by_file_name(tmp_path: Path) -> None:
    """Files of other kinds and folders are left alone."""
    (tmp_path / "b.yaml").write_text(MINIMAL.replace("newsletter", "one"))
    (tmp_path / "a.yml").write_text(MINIMAL.replace("newsletter", "two"), encoding="utf-8-sig")
    (tmp_path / "notes.txt").write_text("not a sync")
    (tmp_path / "old.yaml").mkdir()
    assert [sync.name for sync in load_syncs(tmp_path, today=TODAY)] == ["two", "one"]
    assert load_syncs(tmp_path / "old.yaml") == ()


def test_a_folder_says_all_problems_of_all_its_files(tmp_path: Path) -> None:
    """Also bytes that are no text, and two files with one name."""
    (tmp_path / "a.yaml").write_text(MINIMAL)
    (tmp_path / "b.yaml").write_text(MINIMAL)
    (tmp_path / "c.yaml").write_bytes(b"sync: x\ndescription: M\xfcller\n")
    (tmp_path / "d.yaml").write_text("")
    with pytest.raises(SyncFileError) as caught:
        load_syncs(tmp_path, today=TODAY)
    found = {(Path(p.file).name, p.line, p.happened[:20]) for p in caught.value.problems}
    assert found == {
        ("b.yaml", 1, "is the name that " + str(tmp_path)[:3]),
        ("c.yaml", 2, "is not written in UT"),
        ("d.yaml", 1, "the file is empty."),
    }


def test_a_folder_that_is_not_there_names_the_setting() -> None:
    """A wrong CONTACTS_SYNCS is not an empty folder."""
    with pytest.raises(SyncFileError, match="CONTACTS_SYNCS"):
        load_syncs(Path("no/such/folder"))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(SNIPPETS) | st.text(max_size=3), st.integers(0, 9)),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_is_a_sync_or_a_list_of_problems(edits: list[tuple[float, str, int]]) -> None:
    """Nothing that stands in a file makes the parser fail in another way."""
    text = FULL
    for share, snippet, dropped in edits:
        at = int(share * len(text))
        text = text[:at] + snippet + text[at + dropped :]
    with suppress(SyncFileError):
        parse_sync(text, path="a.yaml", today=TODAY)


@pytest.mark.parametrize(
    "line",
    [
        r'fields: {p: {column: n, default: "\ud800"}}',
        r'fields: {p: {column: n, default: "a\0b"}}',
        r'fields: {p: {column: n, one_of: ["ok", "a\u0085b"]}}',
        r'description: "\ud800"',
        r'description: "a\x07b"',
    ],
)
def test_escapes_bring_no_control_character_and_no_half_character_in(line: str) -> None:
    """YAML can write what no text field takes: said when the file loads, not when the first null gets its default."""
    text = (
        f"sync: a\nsource: {{table: t}}\nemail: e\nconsent: {{granted: c}}\nlists: {{include: [N]}}\n{line}\n"
    )
    with pytest.raises(SyncFileError, match=r"a\.yaml:6: "):
        parse_sync(text, path="a.yaml")


def test_of_a_great_many_problems_the_first_fifty_are_shown() -> None:
    """A file of another kind would fill the screen."""
    with pytest.raises(SyncFileError) as raised:
        parse_sync("".join(f"k{number}: 1\n" for number in range(200)), path="a.yaml")
    assert len(str(raised.value).splitlines()) == 51 and "And 15" in str(raised.value)
