"""A delivery through everything that Mailtrap can do to it: nothing lost, nothing blamed wrongly, nothing sent in vain."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.assets.world import World, conserved, people, problems


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A small world with payloads of ten."""
    made = World(tmp_path, rows_per_payload=10)
    yield made
    made.close()


def test_everybody_arrives_once_and_a_second_run_sends_nothing(world: World) -> None:
    """Payloads are cut, proven, and remembered."""
    assert conserved(world.run(people(35)), accepted=35)
    assert len(world.imports()) == 4 and len(world.members()) == 35
    assert conserved(world.run(people(35)), unchanged=35)
    assert len(world.imports()) == 4
