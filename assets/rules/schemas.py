"""The contacts of a sync as a pandera schema: what every accepted contact is, column by column.

Belongs here: the named, vectorised checks, and the schema that is built from a sync.
Not here: reading columns (`fields`, `address`), or what becomes of a row that fails (`screening`).

    contact_schema(sync)            # print it, or validate a frame of your own in a notebook

A check is named after the reason it refuses for, looks at a whole Arrow-backed column, and lets null pass.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from assets.rules import cells
from assets.rules.address import is_address
from assets.rules.fields import ARROW_TYPES, scalars
from assets.rules.rejection import Reason
from assets.rules.sync import FieldRule, Sync

EMAIL = "email"
_TEXT_LIMIT = 255
_CONTROL = r"[\x00-\x1f\x7f\x{80}-\x{9f}]"

Passes = Callable[[cells.Array], cells.Mask]


def contact_schema(sync: Sync) -> pandera.DataFrameSchema:
    """What an accepted contact of this sync is: its canonical address and its fields by merge tag."""
    email = pandera.Column(
        pd.ArrowDtype(pa.string()),
        [_check(Reason.address_domain, is_address, "a canonical address, as assets.rules.address has it")],
        nullable=False,
        title=sync.email,
        description="the canonical address: trimmed, lower-case, its domain in ASCII",
    )
    fields = {rule.merge_tag: _column(rule) for rule in sync.fields}
    return pandera.DataFrameSchema(
        {EMAIL: email, **fields},
        name=sync.name,
        strict=True,
        ordered=True,
        description=sync.description or None,
    )


def _column(rule: FieldRule) -> pandera.Column:
    return pandera.Column(
        pd.ArrowDtype(ARROW_TYPES[rule.type]),
        list(_checks(rule)),
        nullable=not rule.required,
        title=rule.column,
        description=f"merge tag {rule.merge_tag}, {rule.type}, from column {rule.column}",
    )


def _checks(rule: FieldRule) -> Iterator[pandera.Check]:
    if rule.type == "text":
        yield _check(Reason.text_too_long, _short, f"at most {_TEXT_LIMIT} characters")
        yield _check(Reason.text_control_character, _printable, "no control characters")
        if rule.required:
            yield _check(Reason.value_missing, _filled, "not blank")
    if rule.type == "float":
        yield _check(Reason.float_not_finite, _finite, "neither NaN nor infinite")
    if rule.one_of:
        listed = scalars(rule.one_of, rule.type)
        yield _check(
            Reason.not_one_of,
            lambda column: cells.to_mask(pc.is_in(column, value_set=listed)),
            "one of the listed",
        )
    if rule.min is not None:
        least = scalars((rule.min,), rule.type)[0]
        yield _check(
            Reason.below_min,
            lambda column: cells.to_mask(pc.greater_equal(column, least)),
            f"at least {rule.min}",
        )
    if rule.max is not None:
        most = scalars((rule.max,), rule.type)[0]
        yield _check(
            Reason.above_max, lambda column: cells.to_mask(pc.less_equal(column, most)), f"at most {rule.max}"
        )


def _check(reason: Reason, passes: Passes, words: str) -> pandera.Check:
    def vectorised(column: "pd.Series[Any]") -> "pd.Series[bool]":
        held = cells.plain(pa.array(column))
        return pd.Series(passes(held) | cells.nulls(held), index=column.index)

    return pandera.Check(vectorised, name=reason.name, error=f"{reason.name}: {words}", ignore_na=False)


def _short(column: cells.Array) -> cells.Mask:
    """255 bytes are at most 255 characters, so characters are only counted where there are more bytes."""
    size = pc.binary_length(column)
    if (pc.max(size).as_py() or 0) <= _TEXT_LIMIT:
        return np.ones(len(column), np.bool_)
    return cells.to_mask(pc.less_equal(pc.utf8_length(column), _TEXT_LIMIT))


def _printable(column: cells.Array) -> cells.Mask:
    """Only rows with a control byte, or the byte that starts U+0080 to U+00BF in UTF-8, are looked at closely."""
    passes = np.ones(len(column), np.bool_)
    rare = cells.rows_with_bytes_outside(column, 0x20, 0xFF, also="\x7f\xc2")
    if len(rare):
        passes[rare] = ~cells.to_mask(pc.match_substring_regex(column.take(pa.array(rare)), _CONTROL))
    return passes


def _filled(column: cells.Array) -> cells.Mask:
    return cells.to_mask(pc.greater(pc.binary_length(pc.utf8_trim_whitespace(column)), 0))


def _finite(column: cells.Array) -> cells.Mask:
    finite: cells.Mask = np.isfinite(column.fill_null(0).to_numpy(zero_copy_only=False))
    return finite
