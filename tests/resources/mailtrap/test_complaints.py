"""Every shape in which Mailtrap says no, and that nobody's data comes through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.mailtrap.complaints import BLOT, import_problems, problems, safe_words, says_busy, sentence

SHAPES = {
    "a string under error": ({"error": "Incorrect API token"}, [("base", "Incorrect API token")]),
    "a string under errors": ({"errors": "Contact(s) not found"}, [("base", "Contact(s) not found")]),
    "both": ({"errors": ["is invalid"], "error": "Bad Request"}, [("base", "is invalid"), ("base", "Bad Request")]),
    "flat": ({"errors": {"name": ["can't be blank", "must be a string"]}},
             [("name", "can't be blank"), ("name", "must be a string")]),
    "nested": ({"errors": {"email": [["is invalid"]], "birthdate": [["is invalid"]]}},
               [("email", "is invalid"), ("birthdate", "is invalid")]),
    "a word": ({"errors": {"filters": "invalid"}}, [("filters", "invalid")]),
    "a list": ({"errors": ["too many requests"]}, [("base", "too many requests")]),
    "dicts in dicts": ({"errors": {"contact": {"email": {"base": ["is invalid"]}}}}, [("base", "is invalid")]),
    "message": ({"message": "Service Unavailable"}, [("base", "Service Unavailable")]),
    "nulls and numbers": ({"errors": {"email": [None, 5, True, "is invalid"]}}, [("email", "is invalid")]),
    "a bare list": ([["is invalid"]], [("base", "is invalid")]),
    "nothing": ({}, []),
    "no JSON": (None, []),
    "a number": (7, []),
    "errors is null": ({"errors": None}, []),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), SHAPES.values(), ids=SHAPES)
def test_every_shape_is_flattened(answer: object, expected: list[tuple[str, str]]) -> None:
    """Flat and nested arrays, strings, dicts, under `error` and `errors` (the documentation and captures disagree)."""
    assert [(each.column, each.words) for each in problems(answer)] == expected


DOCUMENTED = [
    "is invalid", "top level domain is too short", "contacts limit reached", "cannot import more than 50000 contacts at once",
    "is too long (maximum is 80 characters)", "has already been taken", "must be a hash", "contains invalid data",
    "There is a previous export initiated. You will be notified by email once it is completed.",
    "Please, provide top level key: contact", "Account access forbidden", "Unavailable on your plan", "Rate limit exceeded",
    "is invalid. Allowed values: transactional, bulk.", "Unexpected error", "Not Found",
]  # fmt: skip


@pytest.mark.parametrize("words", DOCUMENTED)
def test_what_mailtrap_documents_is_shown_as_it_is(words: str) -> None:
    """Words of the API reference tell nobody's secrets, and a person needs them."""
    assert safe_words(words) == words


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("jane.doe@example.com is invalid", "… is invalid"),
        ("Jane Doe has already been taken", "… has already been taken"),
        ("value for 'favourite_colour' is too long", "value for … is too long"),
        ("same list_ids 10 and 3 are specified", "same list_ids … and … are specified"),
        ("phone +49 170 1234567 is invalid", "… is invalid"),
        ("müller@exämple.de", "…"),
        ("contains invalid values: plan_code", "contains invalid values: plan_code"),
        ("contains invalid values: john_smith", "contains invalid values: …"),
        ("<script>alert(1)</script>", "…(1)…"),
    ],
)
def test_what_could_be_data_is_blotted_out(words: str, shown: str) -> None:
    """An answer may quote a row; merge tags that are known are names of ours and stay."""
    assert safe_words(words, {"plan_code"}).replace("'", "") == shown


@given(
    st.from_regex(r"[a-z]{4,12}[0-9]{3}", fullmatch=True),
    st.sampled_from(["{}", "x {} y", "email {} is invalid", "'{}'", "({})"]),
)
def test_no_made_up_name_ever_comes_through(name: str, around: str) -> None:
    """A law: words that are not Mailtrap's are not shown, wherever they stand."""
    assert name not in safe_words(around.format(name))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_answer_breaks_the_reader(answer: object) -> None:
    """A law: whatever JSON holds, complaints come out, or none."""
    assert isinstance(sentence(answer), str)
    assert isinstance(import_problems(answer).base, tuple)
    assert says_busy(answer) in (True, False)


def test_keys_that_are_addresses_are_not_shown_as_columns() -> None:
    """A dict by address names people in its keys."""
    told = {"errors": {"jane@example.com": ["is invalid"], "42": ["is invalid"]}}
    assert {each.column for each in problems(told)} == {BLOT}
    found = import_problems(told)
    assert [(row.email, row.column) for row in found.rows] == [("jane@example.com", "base")]
    assert "jane" not in repr(found.rows)


def test_a_very_deep_body_is_read_without_recursion() -> None:
    """Deeper than Python's stack, cut off instead of crashing."""
    deep: object = "is invalid"
    for _ in range(5000):
        deep = [deep]
    assert problems({"errors": deep}) == ()


def test_a_sentence_is_short() -> None:
    """A thousand complaints make one line."""
    told = sentence({"errors": {f"field_{n}": ["is invalid"] for n in range(1000)}})
    assert told.endswith("and 995 more")
    assert len(safe_words("is invalid " * 1000)) <= 300


def test_every_row_problem_of_a_large_refusal_is_read() -> None:
    """Fifty thousand refused rows are fifty thousand problems."""
    told = {
        "errors": [{"email": f"p{n}@example.com", "errors": {"email": ["is invalid"]}} for n in range(50_000)]
    }
    assert len(import_problems(json.loads(json.dumps(told))).rows) == 50_000
