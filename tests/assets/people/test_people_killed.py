"""Whatever is done one person at a time survives SIGKILL at every step: the next run finishes it, and nothing is done twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.assets.deeds import LEAVERS, VICTIMS, Scene, scene, traces

pytestmark = pytest.mark.timeout(1800)
DEEDS = ("unsubscribe", "delete", "carry_out", "erase")
ONE_OF_THEM = [pytest.param(each, marks=() if each == "erase" else pytest.mark.proof) for each in DEEDS]


@dataclass(frozen=True, slots=True)
class Whole:
    """A deed that nothing interrupts."""

    begun: Path
    digest: Any
    steps: int
    requests: int


def whole(folder: Path, deed: str) -> Whole:
    """Done once, in a process that nobody kills."""
    with scene(folder / "begun") as found:
        found.mailtrap.account.unsubscribed.clear()
    with scene(folder / "whole", begun=folder / "begun") as found:
        assert found.run(deed) == 0
        return Whole(folder / "begun", found.digest(), found.steps, len(found.proxy.seen))


def made_good(found: Scene, deed: str, expected: Whole) -> None:
    """One more run, and everything is as if nothing had happened."""
    assert found.run(deed) == 0
    assert found.digest() == expected.digest
    assert found.resubscriptions() == 0
    if deed == "erase":
        assert traces(found.home, *VICTIMS) == []


def nobody_comes_back(found: Scene, deed: str) -> None:
    """The source has them all, newer than ever, and everything is sent again."""
    found.mailtrap.account.unsubscribed.clear()  # as if Mailtrap forgot a no with the contact
    contacts = len(found.mailtrap.dump()["accounts"][0]["contacts"])
    assert found.run("tell_again") == 0
    after = found.mailtrap.dump()["accounts"][0]["contacts"]
    expected_back = {"unsubscribe": 0, "delete": 3, "carry_out": 0, "erase": 0}[deed]
    assert len(after) - contacts == expected_back, "only who merely left the mirror may come back"


@pytest.mark.parametrize("deed", ONE_OF_THEM)
def test_a_killed_deed_is_made_good_by_the_next_run(tmp_path: Path, deed: str) -> None:
    """At one request in the middle; `make proof` tries all of them, and every step between them."""
    expected = whole(tmp_path, deed)
    with scene(tmp_path / "struck", begun=expected.begun) as found:
        assert found.run_killed(deed, at=expected.requests - 2, when="after")
        made_good(found, deed, expected)
        nobody_comes_back(found, deed)


@pytest.mark.proof
@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_survives_a_kill_at_every_request(tmp_path: Path, deed: str) -> None:
    """Before it reaches Mailtrap, and before its answer reaches us."""
    expected = whole(tmp_path, deed)
    for at in range(1, expected.requests + 1):
        for when in ("before", "after"):
            with scene(tmp_path / f"{when}-{at}", begun=expected.begun) as found:
                found.run_killed(deed, at=at, when=when)  # type: ignore[arg-type]
                made_good(found, deed, expected)


@pytest.mark.proof
@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_survives_a_kill_at_every_file(tmp_path: Path, deed: str) -> None:
    """Whenever a file of ours is about to be opened for writing, or to take its name."""
    expected = whole(tmp_path, deed)
    assert expected.steps > 3
    for at in range(1, expected.steps + 1):
        with scene(tmp_path / f"step-{at}", begun=expected.begun) as found:
            found.run(deed, dies_at=at)
            made_good(found, deed, expected)


# Events: nothing may be sent twice, so that one that was lost stays lost, and is reported


def events_made_good(found: Scene, *, was_killed: bool) -> None:
    """Each event at most once; what is missing was reported as unknown, and is not repeated by any later run."""
    assert found.run("send_events") == 0
    assert found.run("send_events") == 0
    recorded = found.recorded()
    assert max(recorded.values(), default=1) == 1, "an event was sent twice"
    with found.store() as store:
        states = [state for _, state, _ in store.journal.event_states("orders")]
    assert set(states) <= {"sent", "ambiguous"}
    assert states.count("ambiguous") <= (1 if was_killed else 0)
    assert LEAVERS - len(recorded) <= states.count("ambiguous"), "an event was lost without a word"


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.proof), "after"])
def test_an_event_is_never_sent_twice(tmp_path: Path, when: str) -> None:
    """A run is killed at the second event; `make proof` tries every step."""
    with scene(tmp_path / "home") as found:
        assert found.run_killed("send_events", at=5, when=when)  # type: ignore[arg-type]
        events_made_good(found, was_killed=True)


@pytest.mark.proof
def test_events_survive_a_kill_at_every_step(tmp_path: Path) -> None:
    """Requests and files alike."""
    expected = whole(tmp_path, "send_events")
    for at in range(1, expected.requests + 1):
        for when in ("before", "after"):
            with scene(tmp_path / f"{when}-{at}", begun=expected.begun) as found:
                struck = found.run_killed("send_events", at=at, when=when)  # type: ignore[arg-type]
                events_made_good(found, was_killed=struck)
    for at in range(1, expected.steps + 1):
        with scene(tmp_path / f"step-{at}", begun=expected.begun) as found:
            struck = found.run("send_events", dies_at=at) != 0
            events_made_good(found, was_killed=struck)
