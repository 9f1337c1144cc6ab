"""Takings that are killed at any step, in real processes; analysts at the same time; strangers in the web UI."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.exports import Wanted
from tests.assets.analyst import Desk, contacts, desk
from tests.assets.proxy import Moment


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Forty people, and one taking of them."""
    with desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


def grown(scene: Desk) -> int:
    """Two more people are in the account, so that a former taking can be told from a new one; how many it has."""
    before = scene.people()
    scene.mailtrap.seed({"contacts": contacts(2, ["List 0"], first=1000 + before)})
    scene.mailtrap.journal.clear()
    return before


def is_made_good(scene: Desk, *, before: int) -> None:
    """The former latest can be read or the new one is there; then another taking, and nothing is half done."""
    assert scene.people() in (before, before + 2)
    assert scene.versions()[-1] in (before, before + 2)
    assert scene.take() == 0
    assert scene.people() == scene.versions()[-1] == before + 2
    assert scene.leftovers() == []


@pytest.mark.parametrize(("at", "when", "exports"), [(3, "before", 2), (3, "after", 3), (5, "amid", 2)])
def test_a_taking_killed_at_a_request_leaves_the_former_and_goes_on(
    scene: Desk, at: int, when: Moment, exports: int
) -> None:
    """At the request for an export, at its answer, and amid the download."""
    before = grown(scene)
    assert scene.killed_at_request(at, when)
    assert scene.people() == scene.versions()[-1] == before
    is_made_good(scene, before=before)
    assert (
        scene.asked() == exports
    )  # one of everybody and one of the list, and no more than a lost answer costs


@pytest.mark.proof
@pytest.mark.parametrize("when", ["before", "after", "amid"])
def test_a_taking_killed_at_any_request_is_made_good(tmp_path: Path, when: Moment) -> None:
    """Before it arrives, before its answer does, and in the middle of the answer."""
    with desk(tmp_path, lists=2) as scene:
        at, before = 1, grown(scene)
        while scene.killed_at_request(at, when):
            is_made_good(scene, before=before)
            at, before = at + 1, grown(scene)
    assert at > 10


@pytest.mark.proof
def test_a_taking_killed_at_any_step_on_the_disk_is_made_good(tmp_path: Path) -> None:
    """Before each file or folder is opened, made, renamed or removed, and before each connection."""
    with desk(tmp_path) as scene:
        at, before = 1, grown(scene)
        while scene.killed_at_step(at):
            is_made_good(scene, before=before)
            at, before = at + 1, grown(scene)
    assert at > 20


def test_two_analysts_at_once_are_both_served(scene: Desk) -> None:
    """One after the other, each with what they asked for; nobody asks Mailtrap while it is busy for us."""
    before = grown(scene)
    scene.mailtrap.turn(export_start_seconds=0.3)
    both = [scene.begin(wanted=Wanted(membership=False)), scene.begin(wanted=Wanted(status="subscribed"))]
    assert [scene.victims.end(each) for each in both] == [0, 0]
    scene.mailtrap.turn(export_start_seconds=0.0)
    assert scene.people() == before + 2 and scene.leftovers() == []
    assert [each for each in scene.mailtrap.journal.entries if each.status == 422] == []


def test_a_stranger_is_waited_for_and_not_for_ever(scene: Desk) -> None:
    """Somebody exports in the web UI: within the budget they are waited for, beyond it the run says so and ends."""
    scene.mailtrap.faults.add({"fault": "F-12", "times": 1})
    assert scene.take(wanted=Wanted(membership=False)) == 0
    before = grown(scene)
    scene.mailtrap.faults.add({"fault": "F-12", "times": 1000})
    assert scene.take(wanted=Wanted(membership=False), wait_seconds=1.0) == 4
    scene.mailtrap.faults.clear()
    assert scene.people() == before and scene.leftovers() == []
