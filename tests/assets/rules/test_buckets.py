"""Where an oddly spelt row belongs: with its person, once."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from assets.rules.buckets import in_bucket
from resources.warehouses.statement import is_odd

COUNT = 7
PLAIN = "ann@example.com"
SPELLINGS = [
    "Ann <ann@example.com>", "mailto:ann@example.com", "an\u200bn@example.com", "ann@example.com.", "'ann@example.com'",
    "ann@example.com\u00a0", " ANN@example.com\n", "ｅ@example.com", "ann@bücher.example", "no one", "", ".", None, PLAIN,
]  # fmt: skip


def home(address: str) -> int:
    """The bucket of a plain address, as every warehouse's SQL has it."""
    return int(hashlib.md5(address.encode()).hexdigest()[:8], 16) % COUNT


def owners(text: str | None) -> list[int]:
    """The buckets that keep a row, of those that are given it."""
    given = range(COUNT) if is_odd(text) else [home((text or "").lower())]
    column = pa.array([text], pa.string())
    return [index for index in given if in_bucket(column, index, COUNT).all()]


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_row_is_in_one_bucket(text: str | None) -> None:
    """Neither lost nor twice, whatever stands there."""
    assert len(owners(text)) == 1


@pytest.mark.parametrize("text", SPELLINGS[:7])
def test_an_odd_spelling_is_where_its_person_is(text: str) -> None:
    """So that a no beside it is heard by the rows of the plain address."""
    assert owners(text) == [home(PLAIN)]


def test_an_international_domain_is_where_its_ascii_form_is() -> None:
    """Both are the same person."""
    assert owners("ann@bücher.example") == [home("ann@xn--bcher-kva.example")]


def test_a_column_that_is_no_text_is_left_to_the_warehouse() -> None:
    """There is nothing to spell in a number."""
    assert in_bucket(pa.array([1, None]), 0, 2).tolist() == [True, True]
    assert in_bucket(pa.array([PLAIN, None]), 0, 2).dtype == np.bool_
