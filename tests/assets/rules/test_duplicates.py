"""Finding the persons with several rows, part by part on disk as well as at once."""

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.duplicates import ROWS_PER_PART, People, Spool, people_twice


def hashes(*persons: int | None) -> pa.Array:
    """Persons by number."""
    held = [
        None if person is None else uuid.uuid5(uuid.NAMESPACE_DNS, str(person)).bytes for person in persons
    ]
    return pa.array(held, pa.uuid())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=30))
def test_rows_of_persons_that_occur_twice_are_found(persons: list[int]) -> None:
    """All of them and no others; 0 is nobody, however often."""
    found = people_twice(np.array(persons, np.uint64))
    expected = [row for row, person in enumerate(persons) if person and persons.count(person) > 1]
    assert sorted(found.tolist()) == expected


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_it_does_not_matter_in_how_many_parts_a_table_is_sorted(parts: int, tmp_path: Path) -> None:
    """A large table is sorted part by part, and gives back each row's person and whether it stands alone."""
    people = People(tmp_path, parts * ROWS_PER_PART)
    people.add(hashes(1, 2, None, 3))
    people.add(hashes(2, None, 4, 1, 1))
    people.find_twice()
    whom, contested = people.next(5)
    assert whom.equals(hashes(1, 2, None, 3, 2))
    assert contested.tolist() == [True, True, False, False, True]
    assert people.next(4)[1].tolist() == [False, False, True, True]
    people.close()


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_spool_gives_back_its_rows_numbered(on_disk: bool, tmp_path: Path) -> None:
    """In the order in which they came, from disk or from memory."""
    spool = Spool("waiting", tmp_path if on_disk else None)
    assert list(spool.read()) == []
    for values in (["a", "b"], [], ["c"]):
        spool.write(pa.table({"name": pa.array(values, pa.string())}))
    rows = [row for table in spool.read() for row in table.to_pylist()]
    assert rows == [{"name": "a", "_row": 0}, {"name": "b", "_row": 1}, {"name": "c", "_row": 2}]
