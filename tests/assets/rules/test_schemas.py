"""The pandera schema of a sync: readable, and with checks of its own names."""

import datetime as dt
import re
from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pytest

from assets.rules.schemas import contact_schema
from assets.rules.sync import Consent, FieldRule, Source, Sync
from tests.tree import ROOT


def schema_of(*fields: FieldRule) -> Any:
    """The schema of a sync with these fields."""
    return contact_schema(
        Sync(name="s", source=Source(table="t"), email="mail", consent=Consent("c"), fields=fields)
    )


def frame(**columns: Any) -> pd.DataFrame:
    """Arrow-backed columns, a good address among them."""
    size = len(next(iter(columns.values()))) if columns else 1
    held = {"email": pa.array(["ann@example.com"] * size), **columns}
    return pa.table(held).to_pandas(types_mapper=pd.ArrowDtype)


LIMITS: list[tuple[FieldRule, Any, list[bool]]] = [
    (FieldRule("t", "c"), ["x" * 255, "x" * 256, "é" * 255, "é" * 256, None], [True, False, True, False, True]),
    (FieldRule("t", "c"), ["a\x00", "a\x1f", "a\x7f", "a\u0085", "a\nb", "a\tb", "a é 漢 👩‍👩‍👧", ""], [False] * 6 + [True] * 2),
    (FieldRule("t", "c", one_of=("a", "b")), ["a", "b", "A", " a", "", None], [True, True, False, False, False, True]),
    (FieldRule("t", "c", required=True), ["a", "", " ", "\u00a0", None], [True, False, False, False, False]),
    (FieldRule("t", "c", type="integer", min=0, max=130), [0, 130, -1, 131, None], [True, True, False, False, True]),
    (FieldRule("t", "c", type="integer", max=2**63 - 1), [2**63 - 1], [True]),
    (FieldRule("t", "c", type="float", min=0.5), [0.5, 0.4, float("inf"), float("nan"), None], [True, False, False, False, True]),
    (FieldRule("t", "c", type="float", max=1), [1.0, 1.1], [True, False]),
    (FieldRule("t", "c", type="date", min=dt.date(2020, 1, 1)), [dt.date(2020, 1, 1), dt.date(2019, 12, 31)], [True, False]),
    (FieldRule("t", "c", type="boolean", one_of=(True,)), [True, False, None], [True, False, True]),
    (FieldRule("t", "c", type="boolean", required=True), [True, None], [True, False]),
]  # fmt: skip
TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


@pytest.mark.parametrize(("rule", "values", "expected"), LIMITS, ids=range(len(LIMITS)))
def test_each_limit_holds_exactly_at_its_edge(
    rule: FieldRule, values: list[Any], expected: list[bool]
) -> None:
    """A frame of one row passes the whole schema, or does not."""
    schema = schema_of(rule)
    assert [_passes(schema, frame(t=pa.array([value], TYPES[rule.type]))) for value in values] == expected


def test_a_schema_refuses_other_columns_types_and_orders() -> None:
    """What goes on is what the sync says, and nothing beside it."""
    schema = schema_of(FieldRule("t", "c"), FieldRule("n", "d", type="integer"))
    good = frame(t=pa.array(["a"]), n=pa.array([1]))
    assert _passes(schema, good)
    assert not _passes(schema, good.assign(more=1))
    assert not _passes(schema, good[["email", "n", "t"]])
    assert not _passes(schema, good.drop(columns="n"))
    assert not _passes(schema, frame(t=pa.array(["a"]), n=pa.array([1.0])))
    assert not _passes(schema, good.assign(email=good["email"].str.upper()))


def test_a_schema_can_be_read() -> None:
    """Its checks are named after the reasons of a rejection, and say what they ask for."""
    column = schema_of(FieldRule("age", "years", type="integer", min=0, max=130)).columns["age"]
    assert [check.name for check in column.checks] == ["below_min", "above_max"]
    assert "at most 130" in str(column.checks[1].error)
    assert column.description == "merge tag age, integer, from column years"


def _passes(schema: Any, contacts: pd.DataFrame) -> bool:
    try:
        schema.validate(contacts, lazy=True)
    except pandera.errors.SchemaErrors:
        return False
    return True


def test_the_documented_notebook_shows_columns_and_their_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands on the page: the schema can be read, and a frame be screened."""
    monkeypatch.chdir(ROOT)
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "screening.md").read_text(), re.S)
    exec(compile(code, "screening.md", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"^email \| \S+ \| address_domain: a canonical address", said, re.M)
    assert "text_too_long: at most 255 characters" in said and "'no_consent': 2" in said
