"""Whether Mailtrap and the source have what a sync needs, before the first row is read or sent.

Belongs here: the sync held against the account's fields and lists (`preflight`), and against the columns of
its source (`source_problems`). Not here: asking either of them, creating anything, or judging rows.

    found = preflight(sync, fields=client.fields(), lists=client.lists())
    found.problems or create(found.to_create_fields, found.to_create_lists)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import pyarrow as pa

from assets.rules.account_limits import MAX_FIELDS, MAX_LISTS
from assets.rules.sync import FieldRule, FieldType, Problem, Sync
from assets.rules.sync_file.problems import listed, nearest

Family = Literal["text", "boolean", "integer", "float", "decimal", "date", "timestamp", "nothing", "other"]


class KnownField(Protocol):
    """A custom field as Mailtrap has it."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def name(self) -> str:
        """Its name in Mailtrap's pages."""

    @property
    def data_type(self) -> str:
        """Its type, which never changes."""

    @property
    def merge_tag(self) -> str:
        """What a sync calls it."""


class KnownList(Protocol):
    """A list as Mailtrap has it."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def name(self) -> str:
        """Its name."""


@dataclass(frozen=True, slots=True)
class NewField:
    """A field that is to be created."""

    name: str
    data_type: FieldType
    merge_tag: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """What stands in the way, and what is to be created (nothing, while something stands in the way)."""

    problems: tuple[Problem, ...]
    to_create_fields: tuple[NewField, ...] = ()
    to_create_lists: tuple[str, ...] = ()


def preflight(sync: Sync, *, fields: Sequence[KnownField], lists: Sequence[KnownList]) -> Preflight:
    """Hold a sync against an account: every field with its type, every list, and the room for new ones."""
    new_fields, new_lists = _new_fields(sync, fields), _new_lists(sync, lists)
    problems = (
        *_field_problems(sync, fields),
        *_list_problems(sync, lists),
        *_room(sync, "fields", there=len(fields), new=len(new_fields), most=MAX_FIELDS),
        *_room(sync, "lists", there=len(lists), new=len(new_lists), most=MAX_LISTS),
    )
    return Preflight(problems) if problems else Preflight((), new_fields, new_lists)


def _room(sync: Sync, what: str, *, there: int, new: int, most: int) -> Iterator[Problem]:
    if new and there + new > most:
        happened = f"needs {new} new {what}, but the account has {there} of at most {most}."
        yield _problem(
            sync, what, happened, remedy=f"Remove unused {what} at Mailtrap, or use existing ones."
        )


def _field_problems(sync: Sync, fields: Sequence[KnownField]) -> Iterator[Problem]:
    known = {field.merge_tag: field for field in fields}
    for rule in sync.fields:
        place, field = f"fields.{rule.merge_tag}", known.get(rule.merge_tag)
        if field is not None and field.data_type != rule.type:
            happened = f"is {rule.type} here, but {field.data_type} at Mailtrap."
            remedy = f"Write `type: {field.data_type}`, or choose another merge tag: Mailtrap never changes a type."
            yield _problem(sync, place, happened, remedy=remedy)
        twin = _other_capitals(rule.merge_tag, known)
        if field is None and twin:
            yield _problem(
                sync, place, f"is called `{twin}` at Mailtrap.", remedy="Write it with the same capitals."
            )
        elif field is None and not sync.create:
            yield _absent(sync, place, "is no field at Mailtrap", known=known)


def _new_fields(sync: Sync, fields: Sequence[KnownField]) -> tuple[NewField, ...]:
    known = {field.merge_tag.lower() for field in fields}
    names = {field.name.lower() for field in fields}
    missing = [rule for rule in sync.fields if rule.merge_tag.lower() not in known]
    return (
        tuple(NewField(_free_name(rule, names), rule.type, rule.merge_tag) for rule in missing)
        if sync.create
        else ()
    )


def _free_name(rule: FieldRule, names: set[str]) -> str:
    """`First name` for `first_name`; the merge tag itself where that name is taken, for names are unique."""
    name = rule.merge_tag.replace("_", " ").strip().capitalize()
    name = rule.merge_tag if name.lower() in names else name
    names.add(name.lower())
    return name


def _list_problems(sync: Sync, lists: Sequence[KnownList]) -> Iterator[Problem]:
    ids, names = {known.id for known in lists}, Counter(known.name for known in lists)
    for key, wanted in (("include", sync.lists.include), ("exclude", sync.lists.exclude)):
        for name in wanted:
            place = f"lists.{key}"
            if isinstance(name, int):
                if name not in ids:
                    yield _problem(
                        sync,
                        place,
                        f"names list {name}, which Mailtrap does not have.",
                        remedy="Write its name or id.",
                    )
            elif names[name] > 1:
                remedy = f"Write the id of the one that is meant: {listed(_ids(name, lists))}."
                yield _problem(sync, place, f"`{name}` is the name of {names[name]} lists.", remedy=remedy)
            elif not names[name]:
                yield from _unknown_list(sync, name, names, place=place)


def _unknown_list(sync: Sync, name: str, names: Iterable[str], *, place: str) -> Iterator[Problem]:
    twin = _other_capitals(name, names)
    if twin:
        happened = f"`{name}` is called `{twin}` at Mailtrap."
        yield _problem(sync, place, happened, remedy="Write it with the same capitals and spaces.")
    elif not sync.create or place == "lists.exclude":
        yield _absent(sync, place, f"`{name}` is no list at Mailtrap", known=names, meant=name)


def _new_lists(sync: Sync, lists: Sequence[KnownList]) -> tuple[str, ...]:
    names = {known.name for known in lists}
    return tuple(
        name for name in sync.lists.include if isinstance(name, str) and name not in names and sync.create
    )


def _ids(name: str, lists: Sequence[KnownList]) -> list[int]:
    return sorted(known.id for known in lists if known.name == name)


def _other_capitals(name: str, known: Iterable[str]) -> str | None:
    wanted = " ".join(name.split()).casefold()
    return next(
        (other for other in known if " ".join(other.split()).casefold() == wanted and other != name), None
    )


def _absent(sync: Sync, place: str, happened: str, *, known: Iterable[str], meant: str = "") -> Problem:
    like = nearest(meant or place.rpartition(".")[2], known)
    create = "" if place == "lists.exclude" else " or write `create: true`"
    remedy = (
        f"Did you mean `{like}`? If not, create it there{create}." if like else f"Create it there{create}."
    )
    return _problem(sync, place, f"{happened}.", remedy=remedy)


def _problem(sync: Sync, key: str, happened: str, *, remedy: str) -> Problem:
    return Problem(sync.file, 0, key, happened, remedy)


# What a column of a family can become at all; whether a value does is judged row by row.
_BECOMES: Final[dict[str, frozenset[Family]]] = {
    "text": frozenset(("text", "boolean", "integer", "decimal", "date", "nothing")),
    "integer": frozenset(("text", "integer", "float", "decimal", "nothing")),
    "float": frozenset(("text", "integer", "float", "decimal", "nothing")),
    "boolean": frozenset(("text", "boolean", "integer", "decimal", "nothing")),
    "date": frozenset(("text", "date", "timestamp", "nothing")),
    "an address": frozenset(("text", "nothing")),
    "consent": frozenset(("text", "boolean", "integer", "float", "decimal", "date", "timestamp", "nothing")),
    "a withdrawal": frozenset(("text", "boolean", "integer", "date", "timestamp", "nothing")),
    "a time": frozenset(("text", "date", "timestamp", "nothing")),
}


def source_problems(sync: Sync, schema: pa.Schema) -> tuple[Problem, ...]:
    """Hold a sync against the columns of its source: each there once, in a type that can become what is asked."""
    names = Counter(schema.names)
    twice = Counter(name.lower() for name in schema.names)
    problems: list[Problem] = []
    for key, column, wanted in _uses(sync):
        if not names[column]:
            problems.append(_missing(sync, key, column, names=schema.names))
        elif twice[column.lower()] > 1:
            happened = f"column `{column}` is in the source {twice[column.lower()]} times (capitals aside)."
            problems.append(
                _problem(sync, key, happened, remedy="Give each column of the source a name of its own.")
            )
        elif wanted and _family(schema.field(column).type) not in _BECOMES[wanted]:
            happened = f"column `{column}` is {schema.field(column).type}, which cannot become {wanted}."
            problems.append(
                _problem(sync, key, happened, remedy="Cast it in the source, or name another column.")
            )
        elif wanted == "consent" and _says_yes_to_nobody(sync, schema.field(column).type):
            happened = (
                f"column `{column}` is {schema.field(column).type}, where only listed spellings are a yes."
            )
            remedy = 'List them: `truthy: ["yes"]`; until then nobody has consent.'
            problems.append(_problem(sync, key, happened, remedy=remedy))
    return tuple(problems)


def _says_yes_to_nobody(sync: Sync, kind: pa.DataType) -> bool:
    return not sync.consent.truthy and _family(kind) in ("text", "integer", "float", "decimal")


def _missing(sync: Sync, key: str, column: str, *, names: Sequence[str]) -> Problem:
    like = _other_capitals(column, names) or nearest(column, names)
    remedy = (
        f"Did you mean `{like}`?"
        if like
        else f"The source has {listed(names[:20], last='and') if names else 'none'}."
    )
    return _problem(sync, key, f"column `{column}` is not in the source.", remedy=remedy)


def _uses(sync: Sync) -> Iterator[tuple[str, str, str]]:
    """Every column of the sync: the key that names it, and what it must be able to become."""
    source, consent, events = sync.source, sync.consent, sync.events
    rules = [(f"fields.{rule.merge_tag}", rule.column, rule.type) for rule in sync.fields]
    rules += [
        (f"events.params.{rule.merge_tag}", rule.column, rule.type)
        for rule in (events.params if events else ())
    ]
    uses = (
        ("source.key", source.key, ""),
        ("source.updated_at", source.updated_at, "a time"),
        ("email", sync.email, "an address"),
        ("consent.granted", consent.granted, "consent"),
        ("consent.withdrawn", consent.withdrawn, "a withdrawal"),
        ("consent.granted_at", consent.granted_at, "a time"),
        ("consent.evidence", consent.evidence, ""),
        *rules,
        ("lists.from_column", sync.lists.from_column, ""),
        ("events.key", events.key if events else None, ""),
        ("events.name.column", events.name_column if events else None, "text"),
    )
    return ((key, column, wanted) for key, column, wanted in uses if column)


def _family(kind: pa.DataType) -> Family:
    if isinstance(kind, pa.DictionaryType):
        return _family(kind.value_type)
    if isinstance(kind, pa.UuidType):
        return "text"
    families: tuple[tuple[Family, bool], ...] = (
        ("text", pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)),
        ("boolean", pa.types.is_boolean(kind)),
        ("integer", pa.types.is_integer(kind)),
        ("float", pa.types.is_floating(kind)),
        ("decimal", pa.types.is_decimal(kind)),
        ("date", pa.types.is_date(kind)),
        ("timestamp", pa.types.is_timestamp(kind)),
        ("nothing", pa.types.is_null(kind)),
    )
    return next((family for family, fits in families if fits), "other")
