"""The rules of one field (or one parameter of an event), made from its block.

Belongs here: values that must have the field's type (min, max, one_of, default), and what makes no sense
for a type. Not here: whether a row fits the rules (`assets.rules.fields`).
"""

from datetime import date
from typing import Final, cast

from assets.rules.sync import FieldRule, FieldType, Nulls, Scalar
from assets.rules.sync_file.problems import Report
from assets.rules.sync_file.shapes import INVALID, NEVER_IN_TEXT, Given, plain_day, plain_float, plain_integer
from assets.rules.sync_file.tree import ScalarNode

_WANTED: Final[dict[FieldType, tuple[str, str]]] = {
    "text": (
        "is not text to YAML.",
        "Write it in quotes, in at most 255 characters, none of them a control character.",
    ),
    "integer": ("is not a whole number.", "Write plain digits, without quotes, within 64 bits."),
    "float": ("is not a number.", "Write it like 0.5, without quotes."),
    "boolean": ("is not `true` or `false`.", "Write true or false, without quotes."),
    "date": ("is not a day of the calendar.", "Write it like 2026-01-31."),
}


def read_rules(given: Given, report: Report, *, nulls: Nulls) -> tuple[FieldRule, ...]:
    """The rules of all fields in a block, in its order; those with problems are left out."""
    _refuse_twins(given, report)
    rules = (_read_rule(name, given.values[name], report, nulls=nulls) for name in given if given.has(name))
    return tuple(rule for rule in rules if rule is not None)


def _refuse_twins(given: Given, report: Report) -> None:
    seen: dict[str, str] = {}
    for name in given:
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            given.problem(
                report, name, ("differs from another one only in capitals.", "Give it a name of its own.")
            )


def _read_rule(name: str, value: object, report: Report, *, nulls: Nulls) -> FieldRule | None:
    if isinstance(value, str):
        return FieldRule(name, value, nulls=nulls)
    given = cast(Given, value)
    column = given.text("column")
    if column is None or ("type" in given and not given.has("type")):
        return None
    kind = cast(FieldType, given["type"] or "text")
    required = bool(given["required"])
    least, most = _bound(given, "min", kind, report), _bound(given, "max", kind, report)
    rule = FieldRule(
        name,
        column,
        type=kind,
        required=required,
        min=least,
        max=most,
        one_of=_choices(given, kind, report),
        default=_typed_key(given, "default", kind, report),
        nulls=_nulls(given, required=required, inherited=nulls),
    )
    _refuse_mixes(rule, given, report)
    return rule


def _nulls(given: Given, *, required: bool, inherited: Nulls) -> Nulls:
    # A required field never meets a null: what the sync says about nulls does not reach it.
    return cast(Nulls, given["nulls"] or ("omit" if required else inherited))


def _bound(given: Given, key: str, kind: FieldType, report: Report) -> int | float | date | None:
    if key in given and kind in ("text", "boolean"):
        given.problem(report, key, (f"means nothing for type {kind}.", "Remove it, or use `one_of`."))
        return None
    return cast(int | float | date | None, _typed_key(given, key, kind, report))


def _choices(given: Given, kind: FieldType, report: Report) -> tuple[Scalar, ...]:
    values: list[Scalar] = []
    for number, node in enumerate(cast(tuple[ScalarNode, ...], given.items("one_of")), 1):
        place = f"{given.place('one_of')}[{number}]"
        value = _typed(node, kind, place, report)
        if value is not None and value in values:
            report.add(node.line, place, ("is in the list twice.", "Keep one of the two."))
        elif value is not None:
            values.append(value)
    return tuple(values)


def _typed_key(given: Given, key: str, kind: FieldType, report: Report) -> Scalar | None:
    node = given[key]
    return _typed(node, kind, given.place(key), report) if isinstance(node, ScalarNode) else None


def _typed(node: ScalarNode, kind: FieldType, place: str, report: Report) -> Scalar | None:
    value = _value(node, kind)
    if value is INVALID:
        report.add(node.line, place, _WANTED[kind])
        return None
    return cast(Scalar, value)


def _value(node: ScalarNode, kind: FieldType) -> object:
    found: object = None
    if kind == "text":
        fits = len(node.text) <= 255 and not NEVER_IN_TEXT.search(node.text)
        found = node.text if fits and (node.quoted or node.kind == "text") else None
    elif kind == "integer":
        number = plain_integer(node)
        found = number if number is not None and -(2**63) <= number < 2**63 else None
    elif kind == "float":
        found = plain_float(node)
    elif kind == "boolean":
        found = node.text == "true" if node.text in ("true", "false") and not node.quoted else None
    else:
        found = plain_day(node)
    return INVALID if found is None else found


def _refuse_mixes(rule: FieldRule, given: Given, report: Report) -> None:
    if rule.required and given["nulls"] == "clear":
        given.problem(
            report,
            "nulls",
            ("says `clear`, but a required field is never null.", "Remove `nulls` or `required`."),
        )
    if rule.default is not None and given["nulls"] == "clear":
        given.problem(
            report,
            "nulls",
            ("says `clear`, but the default fills every null.", "Remove `nulls` or `default`."),
        )
    if rule.min is not None and rule.max is not None and rule.min > rule.max:  # type: ignore[operator]
        given.problem(report, "min", ("is greater than `max`: no value fits.", "Exchange the two."))
    if rule.default is None:
        return
    if rule.one_of and rule.default not in rule.one_of:
        given.problem(
            report, "default", ("is not in `one_of`.", "Add it there, or choose one of those values.")
        )
    if not _within(rule.default, rule):
        given.problem(report, "default", ("is outside `min` and `max`.", "Choose a value between them."))


def _within(value: Scalar, rule: FieldRule) -> bool:
    above = rule.min is None or value >= rule.min  # type: ignore[operator]
    return above and (rule.max is None or value <= rule.max)  # type: ignore[operator]
