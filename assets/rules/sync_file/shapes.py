"""What a value of a sync file may look like, and what a person is told when it does not.

Each shape reads a node (`read`: a value, or INVALID after saying why), names itself in the docs (`words`)
and describes itself to editors (`schema`). Belongs here: the shape of one value on its own. Not here: which
key has which shape (`keys`), and what cannot go together (`mixes`).

A message names the kind of what it found, never the value: a value may be somebody's address.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, date, datetime
from typing import Final, Protocol, cast

from assets.rules.sync import Limit
from assets.rules.sync_file.problems import Fault, Report, listed, nearest
from assets.rules.sync_file.tree import MappingNode, Node, ScalarNode, SequenceNode, shown

INVALID: Final = object()
Schema = dict[str, object]

NEVER_IN_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates, which YAML can write as escapes and no text field takes."""
_LAYOUT: Final = str.maketrans("", "", "\t\r\n")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SURPRISES: Final = {
    "boolean": "is read by YAML as true or false, not as text.",
    "integer": "is read by YAML as a number, not as text.",
    "float": "is read by YAML as a number, not as text.",
    "date": "is read by YAML as a date, not as text.",
    "null": "has no value.",
}


class Shape(Protocol):
    """What a value may look like."""

    @property
    def words(self) -> str:
        """The shape in a few words, as the docs say it."""

    def read(self, node: Node, at: str, report: Report) -> object:
        """The value, or INVALID after reporting why."""

    def schema(self) -> Schema:
        """The shape as JSON schema."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a block: its shape, whether it must be there, its default in words, and its meaning."""

    name: str
    shape: Shape
    meaning: str
    _: KW_ONLY
    default: str = ""
    required: bool = False


class Given:
    """A block as it was given: values by key, and the line of every key, also of those that are invalid."""

    def __init__(self, line: int, at: str) -> None:
        self.line, self.at = line, at
        self.values: dict[str, object] = {}
        self.lines: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __getitem__(self, key: str) -> object:
        return self.values.get(key)

    def has(self, key: str) -> bool:
        """Whether the key has a valid value."""
        return key in self.values

    def block(self, key: str) -> "Given":
        """The block under the key; an empty one when there is none."""
        value = self.values.get(key)
        return value if isinstance(value, Given) else Given(self.line, key)

    def items(self, key: str) -> tuple[object, ...]:
        """The valid items of the list under the key."""
        value = self.values.get(key)
        return value if isinstance(value, tuple) else ()

    def text(self, key: str) -> str | None:
        """The text under the key."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def place(self, key: str) -> str:
        """The whole path of a key of this block."""
        return f"{self.at}.{shown(key)}" if self.at else shown(key)

    def problem(self, report: Report, key: str, fault: Fault) -> None:
        """Report a problem of one of this block's keys."""
        report.add(self.lines.get(key, self.line), self.place(key), fault)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text (or several): trimmed, printable, not empty."""

    words: str = "text"
    _: KW_ONLY
    pattern: str = ""
    remedy: str = ""
    max_length: int = 255
    several_lines: bool = False
    may_be_empty: bool = False

    def read(self, node: Node, at: str, report: Report) -> object:
        text = _plain_text(node, at, report, wanted=self.words)
        if text is None:
            return INVALID
        text = text.strip() if self.several_lines else text
        happened = self._fault(text)
        if happened:
            report.add(node.line, at, (happened, self.remedy or f"Write {self.words}."))
            return INVALID
        return text

    def _fault(self, text: str) -> str:
        if not text:
            return "" if self.may_be_empty else "is empty."
        if len(text) > self.max_length:
            return f"is longer than {self.max_length} characters."
        if NEVER_IN_TEXT.search(text.translate(_LAYOUT) if self.several_lines else text):
            return "holds characters that cannot be seen (a line break, a tab, a control character)."
        if not self.several_lines and not text.isprintable():
            return "holds characters that cannot be seen (a line break, a tab, a control character)."
        if not self.several_lines and text != text.strip():
            return "begins or ends with a space."
        return f"is not {self.words}." if self.pattern and not re.fullmatch(self.pattern, text) else ""

    def schema(self) -> Schema:
        if self.several_lines:
            return {"type": "string"}
        return {"type": "string", "maxLength": self.max_length} | (
            {"pattern": f"^({self.pattern})$"} if self.pattern else {}
        )


@dataclass(frozen=True, slots=True)
class Character:
    """Exactly one character, or none where that is allowed."""

    words: str = "one character"
    _: KW_ONLY
    or_none: bool = False

    def read(self, node: Node, at: str, report: Report) -> object:
        text = _plain_text(node, at, report, wanted=self.words)
        if text is None:
            return INVALID
        if len(text) == 1 or (not text and self.or_none):
            return text
        report.add(node.line, at, ("is not one character.", 'Write one in quotes, like ";" or "\\t".'))
        return INVALID

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 0 if self.or_none else 1, "maxLength": 1}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One word of a closed set."""

    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return listed(f"`{choice}`" for choice in self.choices)

    def read(self, node: Node, at: str, report: Report) -> object:
        if isinstance(node, ScalarNode) and node.text in self.choices:
            return node.text
        meant = nearest(node.text, self.choices) if isinstance(node, ScalarNode) else None
        report.add(
            node.line,
            at,
            (f"is not {self.words}.", f"Did you mean `{meant}`?" if meant else "Choose one of them."),
        )
        return INVALID

    def schema(self) -> Schema:
        return {"enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, and nothing that only looks like it."""

    words: str = "`true` or `false`"

    def read(self, node: Node, at: str, report: Report) -> object:
        if isinstance(node, ScalarNode) and not node.quoted and node.text in ("true", "false"):
            return node.text == "true"
        report.add(node.line, at, ("is not `true` or `false`.", "Write true or false, without quotes."))
        return INVALID

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def words(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def read(self, node: Node, at: str, report: Report) -> object:
        number = plain_integer(node)
        if number is None:
            report.add(node.line, at, ("is not a whole number.", f"Write {self.words}, without quotes."))
            return INVALID
        if not self.least <= number <= self.most:
            report.add(node.line, at, ("is out of bounds.", f"Write {self.words}."))
            return INVALID
        return number

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day, in quotes or not."""

    words: str = "a day, `yyyy-mm-dd`"

    def read(self, node: Node, at: str, report: Report) -> object:
        day = plain_day(node)
        if day is None:
            report.add(node.line, at, ("is not a day of the calendar.", "Write it like 2026-01-31."))
            return INVALID
        return day

    def schema(self) -> Schema:
        return {"type": "string", "format": "date"}


@dataclass(frozen=True, slots=True)
class Share:
    """A count of rows, or a percentage of them."""

    words: str = "a percentage like `5%`, or a count of rows"

    def read(self, node: Node, at: str, report: Report) -> object:
        percent = _PERCENT.fullmatch(node.text) if isinstance(node, ScalarNode) else None
        if percent and float(percent[1]) <= 100:
            return Limit(share=float(percent[1]) / 100)
        count = plain_integer(node)
        if count is not None and 0 <= count < 2**63:
            return Limit(count=count)
        report.add(
            node.line,
            at,
            ("is neither a percentage nor a count.", "Write a percentage from 0% to 100%, or a count."),
        )
        return INVALID

    def schema(self) -> Schema:
        percent = {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]+)?\s*%$"}
        return {"anyOf": [percent, {"type": "integer", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class ListName:
    """A Mailtrap list: its name, or its id as a number."""

    words: str = "a list's name, or its id as a number"

    def read(self, node: Node, at: str, report: Report) -> object:
        number = plain_integer(node)
        if number is None:
            return Text("a list's name").read(node, at, report)
        if number > 0:
            return number
        report.add(
            node.line,
            at,
            ("is not the id of a list.", "Ids are positive; write a name made of digits in quotes."),
        )
        return INVALID

    def schema(self) -> Schema:
        return {
            "anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "integer", "minimum": 1}]
        }


@dataclass(frozen=True, slots=True)
class AnyScalar:
    """A single value whose type another key decides: kept as it is written."""

    words: str = "a value of the field's type"

    def read(self, node: Node, at: str, report: Report) -> object:
        if isinstance(node, ScalarNode) and node.kind != "null":
            return node
        happened = "has no value." if isinstance(node, ScalarNode) else "is not a single value."
        report.add(node.line, at, (happened, "Write one value of the field's type, or remove the key."))
        return INVALID

    def schema(self) -> Schema:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class RowValue:
    """A cell of an example: text, number, true or false, date, time, null, or a list of them."""

    words: str = "a value"

    def read(self, node: Node, at: str, report: Report) -> object:
        if isinstance(node, SequenceNode):
            return [self.read(item, at, report) for item in node.items]
        if isinstance(node, MappingNode):
            report.add(
                node.line, at, ("is a block of keys, not a value.", "Write one value, or a list of values.")
            )
            return INVALID
        value = plain_value(node)
        if value is INVALID:
            report.add(
                node.line,
                at,
                (_surprise(node), "Write true or false, a plain number or date, or use quotes."),
            )
        return value

    def schema(self) -> Schema:
        return {"type": ["string", "number", "boolean", "null", "array"]}


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time with its zone."""

    words: str = "a time, like `2026-01-31T09:00:00Z`"

    def read(self, node: Node, at: str, report: Report) -> object:
        moment = plain_moment(node.text) if isinstance(node, ScalarNode) else None
        if moment is None:
            report.add(node.line, at, ("is not a time.", "Write it like 2026-01-31T09:00:00Z."))
            return INVALID
        return moment

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    item: Shape
    _: KW_ONLY
    most: int = 1000
    least: int = 0
    unique: bool = True

    @property
    def words(self) -> str:
        return f"a list; each: {self.item.words}"

    def read(self, node: Node, at: str, report: Report) -> object:
        if not isinstance(node, SequenceNode):
            report.add(
                node.line,
                at,
                ("is not a list.", f"Write [a, b] or one `- item` per line; each: {self.item.words}."),
            )
            return INVALID
        if not self.least <= len(node.items) <= self.most:
            remedy = (
                f"Give at least {self.least}."
                if len(node.items) < self.least
                else f"At most {self.most} are possible."
            )
            report.add(node.line, at, (f"holds {len(node.items)} items.", remedy))
            return INVALID
        return self._items(node, at, report)

    def _items(self, node: SequenceNode, at: str, report: Report) -> object:
        values: list[object] = []
        for number, item in enumerate(node.items, 1):
            here = f"{at}[{number}]"
            value = self.item.read(item, here, report)
            if self.unique and value is not INVALID and value in values:
                report.add(item.line, here, ("is in the list twice.", "Keep one of the two."))
            values.append(value)
        return tuple(value for value in values if value is not INVALID)

    def schema(self) -> Schema:
        unique = {"uniqueItems": True} if self.unique else {}
        return {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.least,
            "maxItems": self.most,
        } | unique


@dataclass(frozen=True, slots=True)
class Named:
    """A block whose keys are free names (merge tags, columns), all with values of one shape."""

    value: Shape
    _: KW_ONLY
    name: str
    check_name: Callable[[str], tuple[str, str] | None] | None = None
    most: int = 1000
    too_many: str = ""

    @property
    def words(self) -> str:
        return f"{self.name}: {self.value.words}"

    def read(self, node: Node, at: str, report: Report) -> object:
        if not isinstance(node, MappingNode):
            report.add(node.line, at, ("is not a block of keys.", f"Write lines of the form `{self.words}`."))
            return INVALID
        if len(node.entries) > self.most:
            report.add(node.line, at, (f"holds {len(node.entries)} entries.", self.too_many))
        given = Given(node.line, at)
        for key, value in node.entries:
            self._read_entry(key, value, given, report)
        return given

    def _read_entry(self, key: ScalarNode, value: Node, given: Given, report: Report) -> None:
        given.lines[key.text] = key.line
        place = given.place(key.text)
        if key.kind != "text" and not key.quoted:
            report.add(key.line, place, (_surprise(key), "Write the key in quotes."))
            return
        fault = self.check_name(key.text) if self.check_name else None
        if fault:
            report.add(key.line, place, fault)
            return
        read = self.value.read(value, place, report)
        if read is not INVALID:
            given.values[key.text] = read

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.value.schema()}


@dataclass(frozen=True, slots=True)
class Block:
    """A block with known keys."""

    keys: tuple[Key, ...]
    words: str = "a block"

    def read(self, node: Node, at: str, report: Report) -> object:
        if not isinstance(node, MappingNode):
            names = listed((f"`{key.name}`" for key in self.keys), last="and")
            report.add(node.line, at, ("is not a block of keys.", f"Its keys are {names}."))
            return INVALID
        given = Given(node.line, at)
        shapes = {key.name: key.shape for key in self.keys}
        for key, value in node.entries:
            self._read_entry(key, value, given, shapes.get(key.text), report)
        for missing in (key for key in self.keys if key.required and key.name not in given):
            report.add(
                node.line,
                given.place(missing.name),
                ("is missing.", f"Add it: {missing.shape.words}. {missing.meaning}"),
            )
        return given

    def _read_entry(
        self, key: ScalarNode, value: Node, given: Given, shape: Shape | None, report: Report
    ) -> None:
        place = given.place(key.text)
        if shape is None:
            report.add(key.line, place, ("is not a known key here.", self._remedy(key.text, report)))
            return
        given.lines[key.text] = key.line
        if isinstance(value, ScalarNode) and value.kind == "null" and not value.quoted:
            report.add(key.line, place, ("has no value.", f"Write {shape.words}, or remove the key."))
            return
        read = shape.read(value, place, report)
        if read is not INVALID:
            given.values[key.text] = read

    def _remedy(self, name: str, report: Report) -> str:
        meant = nearest(name, (key.name for key in self.keys))
        if meant:
            return f"Did you mean `{meant}`?"
        places = report.places.get(name)
        if places:
            return f"It belongs under {listed(f'`{place}`' for place in places)}; check the indentation."
        return f"Known keys are {listed((f'`{key.name}`' for key in self.keys), last='and')}."

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {key.name: _described(key) for key in self.keys},
            "required": [key.name for key in self.keys if key.required],
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class Either:
    """A short form (one value, or a list) or a long form (a block)."""

    short: Shape
    long: Shape

    @property
    def words(self) -> str:
        return f"{self.short.words}, or {self.long.words}"

    def read(self, node: Node, at: str, report: Report) -> object:
        short = (
            isinstance(node, SequenceNode) if isinstance(self.short, Many) else isinstance(node, ScalarNode)
        )
        return (self.short if short else self.long).read(node, at, report)

    def schema(self) -> Schema:
        return {"anyOf": [self.short.schema(), self.long.schema()]}


def _described(key: Key) -> Schema:
    default = f" Default: {key.default}." if key.default else ""
    return key.shape.schema() | {"description": f"{key.meaning}{default}".replace("`", "")}


def _plain_text(node: Node, at: str, report: Report, *, wanted: str) -> str | None:
    if not isinstance(node, ScalarNode):
        found = "a list" if isinstance(node, SequenceNode) else "a block of keys"
        report.add(node.line, at, (f"is {found}.", f"Write {wanted}."))
        return None
    if node.quoted or node.kind == "text":
        return node.text
    quote = "" if node.kind == "null" else "Write it in quotes"
    report.add(
        node.line, at, (_surprise(node), f"{quote} if it is {wanted}." if quote else f"Write {wanted}.")
    )
    return None


def _surprise(node: ScalarNode) -> str:
    return _SURPRISES.get(node.kind, "is not what it looks like.")


def plain_integer(node: Node) -> int | None:
    """The whole number that is written here, in plain decimal digits and without quotes."""
    plain = isinstance(node, ScalarNode) and not node.quoted and len(node.text) <= 20
    return (
        int(cast(ScalarNode, node).text)
        if plain and _INTEGER.fullmatch(cast(ScalarNode, node).text)
        else None
    )


def plain_float(node: Node) -> float | None:
    """The finite number that is written here, in plain decimal digits and without quotes."""
    if not isinstance(node, ScalarNode) or node.quoted or not _FLOAT.fullmatch(node.text):
        return None
    number = float(node.text)
    return number if math.isfinite(number) else None


def plain_day(node: Node) -> date | None:
    """The day that is written here as yyyy-mm-dd, in quotes or not."""
    if not isinstance(node, ScalarNode) or not _DAY.fullmatch(node.text):
        return None
    try:
        return date.fromisoformat(node.text)
    except ValueError:
        return None


def plain_moment(text: str) -> datetime | None:
    """The time that is written here; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def plain_value(node: ScalarNode) -> object:
    """The value of a scalar as its kind says; INVALID for what YAML 1.1 and people read differently."""
    if node.quoted or node.kind == "text":
        return node.text
    if node.kind == "null":
        return None
    if node.kind == "boolean":
        return node.text == "true" if node.text in ("true", "false") else INVALID
    if node.kind == "date":
        return plain_day(node) or plain_moment(node.text) or INVALID
    number = plain_integer(node) if node.kind == "integer" else plain_float(node)
    return INVALID if number is None else number
