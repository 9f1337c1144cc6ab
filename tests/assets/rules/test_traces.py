"""Where people leave traces in a table, and the table without them."""

import pyarrow as pa
import pytest

from assets.rules.hash_text import as_text
from assets.rules.traces import People, clean, hashes_of, is_of, mentions, read_address

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Jane@X.example ", "jane@x.example"),
        ("Jane Doe <jane@x.example>", "jane@x.example"),
        ('"jane@x.example",', "jane@x.example"),
        ("mailto:JANE@x.example", "jane@x.example"),
        ("\ufeffjane@x.example", "jane@x.example"),
        ("jane@MÜLLER.example", "jane@xn--mller-kva.example"),
        ("email", None),
        ("", None),
        ("jane doe@x.example", None),
    ],
)
def test_a_line_names_a_person_however_it_is_spelled(text: str, address: str | None) -> None:
    """People copy addresses from everywhere; what names nobody is said to name nobody."""
    assert read_address(text) == address


def test_rows_are_found_by_hash_and_by_any_spelling_of_the_address() -> None:
    """A source keeps addresses as people typed them; our own tables keep hashes."""
    people = People.of_addresses(["jane@x.example"], key=KEY)
    raw = pa.table({"mail": [" JANE@x.example", "Jane <jane@X.example>", "joe@x.example", None]})
    assert is_of(raw, people, email="mail").tolist() == [True, True, False, False]
    kept = pa.table(
        {
            "address_hash": pa.array(hashes_of(["joe@x.example", "jane@x.example"], KEY), pa.binary(16)).cast(
                pa.uuid()
            )
        }
    )
    assert is_of(kept, people).tolist() == [False, True]
    spelled = pa.table({"address_hash": as_text(kept["address_hash"]), "reason": ["a", "b"]})
    assert is_of(spelled, people).tolist() == is_of(spelled, people, email="mail").tolist() == [False, True]


def test_a_column_of_the_source_that_is_called_like_our_hashes_hides_nobody() -> None:
    """Its texts are nobody's hashes; the address beside them is looked at all the same."""
    people = People.of_addresses(["jane@x.example"], key=KEY)
    raw = pa.table({"address_hash": ["0" * 36, None], "mail": ["Jane@x.example", "joe@x.example"]})
    assert is_of(raw, people, email="mail").tolist() == is_of(raw, people).tolist() == [True, False]


def test_people_known_by_hash_alone_are_found_in_text_too() -> None:
    """A tombstone holds no address; the rows of a warehouse hold no hash."""
    people = People.of_hashes(hashes_of(["jane@x.example"], KEY), key=KEY)
    assert is_of(pa.table({"mail": ["Jane@x.example", "joe@x.example"]}), people, email="mail").tolist() == [
        True,
        False,
    ]


def test_nobody_is_in_an_empty_table() -> None:
    """Tables without rows, and nobody to look for, are both ordinary."""
    people = People.of_addresses(["jane@x.example"], key=KEY)
    assert is_of(pa.table({"mail": pa.array([], pa.string())}), people, email="mail").tolist() == []
    assert is_of(pa.table({"mail": ["jane@x.example"]}), People.of_hashes([], key=KEY)).tolist() == [False]


def test_cells_that_mention_a_person_are_blanked_and_rows_of_others_stay() -> None:
    """Who was recommended by an erased person is not erased with them."""
    people = People.of_addresses(["jane@x.example"], key=KEY)
    table = pa.table(
        {"email": ["jane@x.example", "joe@x.example"], "by": [None, "told by Jane@X.example."], "n": [1, 2]}
    )
    found = clean(table, people)
    assert found.table.to_pylist() == [{"email": "joe@x.example", "by": None, "n": 2}]
    assert (found.theirs.num_rows, found.cells) == (1, 1)


@pytest.mark.parametrize(
    "text", ["mjane@x.example", "jane@x.example.org", "jane@x.examples", "my.jane@x.example", None]
)
def test_an_address_inside_another_one_is_another_person(text: str | None) -> None:
    """ann@… is not joann@…, and example.com is not example.com.au."""
    people = People.of_addresses(["jane@x.example"], key=KEY)
    assert mentions(pa.array([text], pa.string()), people).tolist() == [False]


@pytest.mark.parametrize(
    "text",
    [
        "JANE@X.example",
        " jane@x.example ",
        "told by Jane <jane@x.example>.",
        "joe@x.example, jane@x.example; ann@x.example",
        "to='jane@x.example'",
        "https://forms.example/?mail=jane@x.example&page=2",
        "mailto:jane@x.example?subject=hello",
    ],
)
def test_an_address_is_found_in_a_text_by_its_hash_alone(text: str) -> None:
    """After a restore nobody has the address any more, only the tombstone: every word with an @ is hashed and compared."""
    people = People.of_hashes(hashes_of(["jane@x.example"], KEY), key=KEY)
    assert mentions(pa.array(["nobody", text, None]), people).tolist() == [False, True, False]


def test_a_cell_of_several_addresses_is_blanked_in_the_column_of_addresses_too() -> None:
    """Such a row is nobody's, and would keep the address of everyone in it."""
    people = People.of_hashes(hashes_of(["jane@x.example"], KEY), key=KEY)
    table = pa.table({"mail": ["joe@x.example, jane@x.example", "joe@x.example"]})
    assert clean(table, people, email="mail").table.to_pylist() == [{"mail": None}, {"mail": "joe@x.example"}]


def test_a_domain_of_other_letters_is_found_in_both_its_spellings() -> None:
    """Mailtrap gets the A-label; people write the other one."""
    people = People.of_addresses(["jane@xn--mller-kva.example"], key=KEY)
    spellings = pa.array(["ask jane@MÜLLER.example!", "ask jane@xn--mller-kva.example"])
    assert mentions(spellings, people).tolist() == [True, True]
