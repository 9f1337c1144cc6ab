"""YAML with line numbers, and nothing of YAML that surprises.

Belongs here: text to a tree of mappings, sequences and scalars that remember their lines; what YAML
allows and a sync file does not (several documents, anchors, merge keys, tags, duplicate keys, deep nests).
Not here: which keys there are (`keys`) and what their values may be (`shapes`).
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

import yaml

from assets.rules.sync_file.problems import Report

ScalarKind = Literal["text", "boolean", "integer", "float", "null", "date"]

MAX_CHARACTERS: Final = 1_000_000
MAX_DEPTH: Final = 12
_KINDS: Final[dict[str, ScalarKind]] = {
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
}
_SYNTAX: Final = (
    (r"\\t", "a tab where only spaces may stand.", "Indent with spaces."),
    (
        r"expected alphabetic or numeric|scanning an alias",
        "a value begins with * or &.",
        "Write it in quotes.",
    ),
    (
        r"character '[@`%]'",
        "a value begins with a character that YAML keeps for itself.",
        "Write it in quotes.",
    ),
    (
        r"mapping values are not allowed",
        "a colon that YAML cannot place.",
        "Check the indentation of this line, or write a value that contains `: ` in quotes.",
    ),
    (r"quoted scalar|end of stream", "a quote that is opened and never closed.", "Close the quote."),
    (
        r"block end|block mapping",
        "the indentation does not fit the lines above.",
        "Line the keys up, with spaces.",
    ),
    (
        r"flow (sequence|mapping)|expected ',' or",
        "a bracket is not closed, or a comma is missing.",
        "Close it.",
    ),
)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value as it is written."""

    text: str
    kind: ScalarKind
    quoted: bool
    line: int


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    items: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A block of keys."""

    entries: tuple[tuple[ScalarNode, "Node"], ...]
    line: int


Node = ScalarNode | SequenceNode | MappingNode


def read_tree(text: str, report: Report) -> Node | None:
    """The tree of the one document in `text`; None when it is no tree that we read."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        report.add(1, "", ("the file is longer than a sync file can be.", "Keep one sync in one file."))
        return None
    try:
        root = _compose(text, report)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        report.add(line, "", ("a control character that YAML does not allow.", "Remove it."))
        return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, report)
        return None
    return None if root is None else _TreeBuilder(report).node(root, "")


def _compose(text: str, report: Report) -> yaml.Node | None:
    if not _only_plain_events(text, report):
        return None
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        report.add(
            1, "", ("the file is empty.", "Start it with `sync: <name>`; docs/syncs.md has whole examples.")
        )
    return root


def _only_plain_events(text: str, report: Report) -> bool:
    documents = depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            report.add(line, "", ("a second document begins here (`---`).", "Keep one sync in one file."))
        elif depth > MAX_DEPTH:
            report.add(
                line, "", ("the file nests deeper than a sync file can.", "See docs/syncs.md for its shape.")
            )
        elif getattr(event, "anchor", None):
            report.add(
                line,
                "",
                ("an anchor (&) or an alias (*).", "Write the value out, or in quotes if it is text."),
            )
        elif getattr(event, "tag", None):
            report.add(
                line, "", ("a YAML tag (!).", "Remove it, or write the value in quotes if it is text.")
            )
        else:
            continue
        return False
    return True


def _report_syntax(error: yaml.MarkedYAMLError, report: Report) -> None:
    said = f"{error.context} {error.problem}"  # never str(error): that quotes the file's text
    for pattern, happened, remedy in _SYNTAX:
        if re.search(pattern, said):
            # What is never closed is mended where it was opened.
            mark = error.context_mark if remedy.startswith("Close") else None
            report.add(_line(mark or error.problem_mark), "", (happened, remedy))
            return
    line = _line(error.problem_mark)
    report.add(line, "", ("the file is not valid YAML here.", "Check indentation, quotes and brackets."))


def _line(mark: yaml.Mark | None) -> int:
    return mark.line + 1 if mark else 1


class _TreeBuilder:
    def __init__(self, report: Report) -> None:
        self.report = report

    def node(self, node: yaml.Node, at: str) -> Node:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return MappingNode(self._entries(node, at), line)
        if isinstance(node, yaml.SequenceNode):
            items = (self.node(item, f"{at}[{number}]") for number, item in enumerate(node.value, 1))
            return SequenceNode(tuple(items), line)
        return _scalar(node, line)

    def _entries(self, node: yaml.MappingNode, at: str) -> tuple[tuple[ScalarNode, Node], ...]:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.report.add(line, at, ("a key that is a list or a block.", "Keys are plain words."))
                continue
            name = key_node.value
            key = _scalar(key_node, line)
            here = f"{at}.{shown(name)}" if at else shown(name)
            value = self.node(value_node, here)
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.report.add(line, here, ("a merge key (<<).", "Write the keys out."))
            elif name in entries:
                first = entries[name][0].line
                self.report.add(
                    line, here, (f"is given twice, first in line {first}.", "Keep one of the two.")
                )
            else:
                entries[name] = key, value
        return tuple(entries.values())


def _scalar(node: yaml.Node, line: int) -> ScalarNode:
    assert isinstance(node, yaml.ScalarNode)
    return ScalarNode(node.value, _KINDS.get(node.tag, "text"), node.style is not None, line)


def shown(name: str) -> str:
    """A key as messages may show it: one that looks like an address, or like no key at all, is not shown."""
    return name if len(name) <= 80 and name.isprintable() and "@" not in name else "(hidden)"
