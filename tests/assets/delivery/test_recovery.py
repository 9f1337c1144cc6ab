"""Runs that are killed at their requests, and what the next run makes of it: a few points of the sweep in `chaos.py`."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.assets.ordeal import ordeal, uninterrupted
from tests.assets.proxy import Moment


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[str]]:
    """What it is like when nothing strikes."""
    return uninterrupted(tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_run_that_is_killed_at_an_import_is_made_good_by_the_next(
    whole: tuple[Path, Any, list[str]], tmp_path: Path, at: int, when: Moment
) -> None:
    """The state, the automations, the rows: as if nothing had happened."""
    begun, expected, _ = whole
    with ordeal(tmp_path / "home", begun=begun) as scene:
        assert scene.run_killed(at=at, when=when, matching="POST /api/accounts/")
        assert scene.run() == 0
        scene.check(expected)


@pytest.mark.parametrize("seed", range(2))
def test_imports_that_end_in_any_order_leave_the_same_behind(
    whole: tuple[Path, Any, list[str]], tmp_path: Path, seed: int
) -> None:
    """Each of the six imports is late by as much as the dice say, and the run is killed at one of them once, too."""
    begun, expected, _ = whole
    dice = random.Random(seed)
    with ordeal(tmp_path / "home", begun=begun) as scene:
        late = [
            scene.mailtrap.fault(
                action={"do": "job", "slow_seconds": dice.uniform(0.0, 0.4)},
                match={"method": "POST", "path": "/contacts/imports$", "nth": number},
            )
            for number in range(1, 7)
        ]
        scene.run_killed(at=dice.randint(2, 6), when="after", matching="POST /api/accounts/")
        assert scene.run() == 0
        scene.check(expected)
        assert sum(rule.fired for rule in late) >= 6
