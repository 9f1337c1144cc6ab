"""What cannot go together in a sync file, and what only more than one key can tell.

Belongs here: rules over several keys, and over words that have a meaning elsewhere (a cron line, an
encoding, an owner). Not here: the shape of one value (`shapes`), the rules of one field (`fields`).
Every rule is a function of the block it looks at; it says nothing where a value is already invalid.
"""

import codecs
import keyword
import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from assets.rules.account_limits import MAX_LISTS
from assets.rules.rejection import Reason
from assets.rules.sync_file.cron import cron_fault
from assets.rules.sync_file.problems import Report, listed, nearest
from assets.rules.sync_file.shapes import Given

# Names of folders beside those of syncs, of devices on some file systems, and words that Dagster or
# Python keep for themselves.
_TAKEN: Final = frozenset(
    (
        "mailtrap",
        "summaries",
        "con",
        "prn",
        "aux",
        "nul",
        "context",
        "conf",
        "config",
        "meta",
        "arg_dict",
        "dict",
        "input_arg_dict",
        "output_arg_dict",
        "int",
        "str",
        "float",
        "bool",
        "input",
        "output",
        "type",
        *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
        *keyword.kwlist,
    )
)
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z|]{2,7}")
_NO: Final = frozenset(
    ("", "0", "false", "f", "no", "n", "off", "none", "null", "nan", "unknown", "withdrawn")
)
_QUERY_BEGINS: Final = ("select", "with", "from", "values", "(")
_NOT_CSV: Final = (".parquet", ".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
_ONLY_CONTACTS: Final = ("fields", "lists", "mode", "when_gone", "nulls", "create", "verify")
_OUTCOMES: Final = frozenset(("no_consent", *(reason.name for reason in Reason)))
_FIRST_DAY: Final = date(1970, 1, 1)


def report_mixes(sync: Given, report: Report, *, today: date | None) -> None:
    """Report whatever the keys of a file cannot mean together."""
    _name(sync, report)
    _owners(sync, report)
    _schedule(sync, report)
    if sync.has("source"):
        _source(sync.block("source"), report)
    _partition(sync, report, today=today)
    _consent(sync, report)
    _kind(sync, report)
    _modes(sync, report)
    _lists(sync, report)
    _columns(sync, report)
    _examples(sync, report)


def _name(sync: Given, report: Report) -> None:
    if sync["sync"] in _TAKEN:
        sync.problem(report, "sync", ("is a name that is already taken.", f"Try `{sync['sync']}_contacts`."))


def _owners(sync: Given, report: Report) -> None:
    for number, owner in enumerate(sync.items("owners"), 1):
        if not _OWNER.fullmatch(str(owner)):
            report.add(
                sync.lines["owners"],
                f"owners[{number}]",
                (
                    "is neither an e-mail address nor a team.",
                    "Write an address, or a team like `team:growth`.",
                ),
            )


def _schedule(sync: Given, report: Report) -> None:
    fault = cron_fault(sync.text("schedule") or "* * * * *")
    if fault:
        sync.problem(report, "schedule", fault)


def _source(source: Given, report: Report) -> None:
    kinds = [key for key in ("table", "query", "file") if key in source]
    is_asset = not kinds and "asset" in source
    if len(kinds) != 1 and not is_asset:
        happened = (
            "says nowhere where the rows are." if not kinds else f"names {listed(kinds, last='and')} at once."
        )
        remedy = "Give exactly one of `table`, `query` and `file`, or `asset` alone."
        report.add(source.line, "source", (happened, remedy))
    if "csv" in source and "file" not in source and not is_asset:
        source.problem(
            report, "csv", ("describes files, but the source is none.", "Remove it, or use `file`.")
        )
    if "warehouse" in source and ("file" in source or is_asset):
        of = "files" if "file" in source else "the rows of an asset"
        source.problem(report, "warehouse", (f"means nothing for {of}.", "Remove it."))
    _query(source, report)
    _csv(source, report)


def _query(source: Given, report: Report) -> None:
    query = source.text("query")
    if query is None:
        return
    bare = re.sub(r"--[^\n]*|/\*.*?\*/", " ", query, flags=re.DOTALL).strip().lower()
    if not bare.startswith(_QUERY_BEGINS):
        source.problem(
            report, "query", ("is not a SELECT.", "A source is only read: begin with `select` or `with`.")
        )
    elif bare.endswith(";"):
        source.problem(
            report, "query", ("ends with a semicolon.", "Remove it: the query is read as part of another.")
        )


def _csv(source: Given, report: Report) -> None:
    csv = source.block("csv")
    if "csv" not in source or not source.has("csv"):
        return
    if (source.text("file") or "").lower().endswith(_NOT_CSV):
        source.problem(report, "csv", ("describes CSV, but the file is none by its name.", "Remove `csv`."))
    columns = csv["columns"]
    if csv["header"] is False and not isinstance(columns, tuple):
        csv.problem(
            report,
            "columns",
            ("does not list the columns, and the file has no header.", "Write [first, second]."),
        )
    if csv["header"] is not False and isinstance(columns, tuple):
        csv.problem(
            report,
            "columns",
            ("is a list, but the file has a header.", "Write {name in the file: our name}."),
        )
    if isinstance(columns, Given):
        _refuse_twins(columns, report)
    _dialect(csv, report)


def _refuse_twins(columns: Given, report: Report) -> None:
    seen: set[object] = set()
    for name in (name for name in columns if columns.has(name)):
        if columns[name] in seen:
            columns.problem(report, name, ("gets the name that another column has.", "Choose another name."))
        seen.add(columns[name])


def _dialect(csv: Given, report: Report) -> None:
    encoding = csv.text("encoding")
    if encoding and not _is_encoding(encoding):
        csv.problem(
            report, "encoding", ("is no encoding that Python knows.", "Try utf-8, latin-1 or cp1252.")
        )
    marks = [csv.text(key) or usual for key, usual in (("delimiter", ","), ("quote", '"'))]
    if marks[0] == marks[1]:
        csv.problem(report, "delimiter", ("is also the quote.", "Choose two different characters."))
    if marks[0] in "\r\n":
        csv.problem(report, "delimiter", ("is a line break.", "Choose another character."))


def _is_encoding(name: str) -> bool:
    try:
        return isinstance("".encode(codecs.lookup(name).name), bytes)
    except (LookupError, UnicodeError, TypeError):
        return False


def _partition(sync: Given, report: Report, *, today: date | None) -> None:
    source = sync.block("source")
    partition = source.block("partition")
    needed = {"day": "start", "bucket": "count"}.get(str(partition["by"]))
    if needed is None:
        return
    other = "count" if needed == "start" else "start"
    if needed not in partition:
        partition.problem(report, needed, (f"is missing for a partition by {partition['by']}.", "Add it."))
    if other in partition:
        partition.problem(
            report, other, (f"means nothing for a partition by {partition['by']}.", "Remove it.")
        )
    if needed == "start":
        _day_partition(sync, source, partition, report, today=today)


def _day_partition(
    sync: Given, source: Given, partition: Given, report: Report, *, today: date | None
) -> None:
    start = partition["start"]
    if "updated_at" not in source:
        partition.problem(
            report, "by", ("is `day`, but `source.updated_at` is not given.", "Name the column there.")
        )
    if isinstance(start, date) and today and start > today:
        partition.problem(
            report, "start", ("is in the future: there would be no partition.", "Choose a day until today.")
        )
    if isinstance(start, date) and start < _FIRST_DAY:
        partition.problem(
            report, "start", ("is before 1970.", "Choose the first day that the table has rows of.")
        )
    if sync["mode"] == "mirror":
        sync.problem(
            report,
            "mode",
            (
                "is `mirror`, but a day's rows never show who left the table.",
                "Partition by bucket or not at all, or use `upsert`.",
            ),
        )


def _consent(sync: Given, report: Report) -> None:
    consent = sync.block("consent")
    if "consent" not in sync and "unsubscribes" not in sync:
        report.add(
            sync.line,
            "consent",
            (
                "is missing: nobody can be sent.",
                "Name the column that says yes: `consent: {granted: marketing_consent}`.",
            ),
        )
    if "max_age_days" in consent and "granted_at" not in consent:
        consent.problem(
            report,
            "max_age_days",
            (
                "needs `granted_at`: the age of consent is not known.",
                "Name that column (if `granted` holds the time, the same column).",
            ),
        )
    if consent.has("withdrawn") and consent["withdrawn"] == consent["granted"]:
        consent.problem(
            report, "withdrawn", ("is the column that also grants.", "Name another column, or remove it.")
        )
    for number, word in enumerate(consent.items("truthy"), 1):
        if str(word).strip().lower() in _NO:
            place = f"{consent.place('truthy')}[{number}]"
            report.add(consent.lines["truthy"], place, ("is a word for no.", "List only spellings of yes."))


def _kind(sync: Given, report: Report) -> None:
    if "events" in sync and "unsubscribes" in sync:
        sync.problem(report, "unsubscribes", ("cannot stand beside `events`.", "Make two syncs of it."))
        return
    kind = next((key for key in ("events", "unsubscribes") if key in sync), None)
    if kind is None:
        return
    foreign = _ONLY_CONTACTS if kind == "events" else (*_ONLY_CONTACTS, "consent", "examples")
    for key in (key for key in foreign if key in sync):
        sync.problem(
            report, key, (f"means nothing in a sync with `{kind}`.", "Remove it, or make two syncs of it.")
        )


def _modes(sync: Given, report: Report) -> None:
    gone = sync["when_gone"]
    if gone not in (None, "keep") and sync["mode"] != "mirror" and ("mode" not in sync or sync.has("mode")):
        mode = sync["mode"] or "upsert"
        sync.problem(
            report,
            "when_gone",
            (
                f"is `{gone}`, but with mode `{mode}` nobody is ever gone.",
                "Use `mode: mirror`, or remove `when_gone`.",
            ),
        )
    lists = sync.block("lists")
    if (
        gone == "unlist"
        and sync["mode"] == "mirror"
        and not lists.items("include")
        and "from_column" not in lists
    ):
        sync.problem(
            report,
            "when_gone",
            ("is `unlist`, but the sync enters nobody in a list.", "Add `lists.include`."),
        )


def _lists(sync: Given, report: Report) -> None:
    lists = sync.block("lists")
    include = {_list_key(name) for name in lists.items("include")}
    exclude = {_list_key(name) for name in lists.items("exclude")}
    for number, name in enumerate(lists.items("exclude"), 1):
        if _list_key(name) in include:
            place = f"{lists.place('exclude')}[{number}]"
            report.add(lists.lines["exclude"], place, ("is also in `include`.", "Keep it in one of the two."))
    if len(include | exclude) > MAX_LISTS:
        happened = f"names {len(include | exclude)} lists; a Mailtrap account has at most {MAX_LISTS}."
        sync.problem(report, "lists", (happened, "Remove some, or use a text field instead."))


def _list_key(name: object) -> object:
    return name.casefold() if isinstance(name, str) else name


def _columns(sync: Given, report: Report) -> None:
    """One column in two spellings would be read twice: warehouses do not tell capitals apart."""
    seen: dict[str, str] = {}
    for block, key, column in _mentions(sync):
        spelled = seen.setdefault(column.lower(), column)
        if spelled != column:
            block.problem(
                report,
                key,
                (
                    "names a column that is spelled with other capitals above.",
                    "Spell it the same everywhere.",
                ),
            )


def _mentions(sync: Given) -> Iterator[tuple[Given, str, str]]:
    events = sync.block("events")
    blocks = (
        (sync.block("source"), ("key", "updated_at")),
        (sync, ("email",)),
        (sync.block("consent"), ("granted", "withdrawn", "granted_at", "evidence")),
        *((rules, tuple(rules)) for rules in (sync.block("fields"), events.block("params"))),
        *((block, ("column",)) for block in (*_long(sync.block("fields")), *_long(events.block("params")))),
        (sync.block("lists"), ("from_column",)),
        (events, ("key",)),
        (events.block("name"), ("column",)),
    )
    for block, keys in blocks:
        yield from ((block, key, column) for key in keys if (column := block.text(key)) is not None)


def _long(rules: Given) -> tuple[Given, ...]:
    return tuple(value for value in rules.values.values() if isinstance(value, Given))


def _examples(sync: Given, report: Report) -> None:
    columns = {column for _, _, column in _mentions(sync)}
    rules = sync.block("events").block("params") if "events" in sync else sync.block("fields")
    targets = {"email", *rules, *(("_lists",) if "lists" in sync else ())}
    for example in (example for example in sync.items("examples") if isinstance(example, Given)):
        if ("contact" in example) == ("rejected" in example):
            report.add(
                example.line,
                example.at,
                ("needs exactly one of `contact` and `rejected`.", "Say what becomes of it."),
            )
        if example.has("rejected") and example["rejected"] not in _OUTCOMES:
            meant = nearest(str(example["rejected"]), _OUTCOMES)
            remedy = (
                f"Did you mean `{meant}`?"
                if meant
                else "docs/syncs.md lists them, and there is `no_consent`."
            )
            example.problem(report, "rejected", ("is not a reason that we know.", remedy))
        _known_names(example.block("row"), columns, "a column that this sync reads", report)
        _known_names(example.block("contact"), targets, "a merge tag of this sync", report)


def _known_names(block: Given, known: set[str], what: str, report: Report) -> None:
    for name in (name for name in block if name not in known):
        meant = nearest(name, known)
        remedy = f"Did you mean `{meant}`?" if meant else f"Known: {listed(sorted(known), last='and')}."
        block.problem(report, name, (f"is not {what}.", remedy))
