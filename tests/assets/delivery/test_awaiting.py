"""What a restored backup has in flight: it is taken up without a word about people who were erased since."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from assets.delivery.settling import settle
from assets.people.erasure import Requested, erase
from resources.lake import Lake
from tests.assets.world import World, conserved, people

EVERYBODY = tuple(f"p{number}@example.com" for number in range(20))
SOME = EVERYBODY[::2]
BEFORE_IT_IS_KNOWN, BEFORE_IT_IS_DONE = "POST", "GET"


class Backup(httpx.BaseTransport):
    """Copies the home of a run that is under way: at its first import, when Mailtrap has done that, or is asked how."""

    def __init__(self, world: World, target: Path, *, at: str) -> None:
        self._world, self._target, self._at = world, target, at
        self._passes_on = world.mailtrap.transport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Mailtrap has answered, and the run does not know yet."""
        answer = self._passes_on.handle_request(request)
        is_due = request.method == self._at and "/contacts/imports" in request.url.path
        if is_due and not self._target.exists():
            shutil.copytree(self._world.folder, self._target)
        return answer


def restored(folder: Path, erased: Sequence[str], *, at: str, resend: bool = False) -> World:
    """A home as it was while an import was under way; since then people of that import were erased.

    Lake, journal and tombstones are all from the backup; only CONTACTS_TOMBSTONES is not.
    """
    (folder / "before").mkdir()
    before = World(folder / "before")
    if resend:
        before.run(people(len(EVERYBODY)))
    backup = Backup(before, folder / "restored", at=at)
    before.client = before.new_client(transport=backup)
    before.run(people(len(EVERYBODY)), resend=resend)
    before.store = replace(before.store, elsewhere=(Lake(folder / "vault"),))
    requested = Requested(tuple(erased), {each: each for each in erased}, ())
    erase(
        before.client, before.store, requested, syncs=[before.sync], run_id="e", sleep=before.mailtrap.advance
    )
    before.close()
    after = World(folder / "restored", mailtrap=before.mailtrap)
    after.store = replace(after.store, elsewhere=(Lake(folder / "vault"),))
    after.store.bring_tombstones_together()
    assert any(after.states()[state] for state in ("sending", "unknown", "submitted"))
    after.mailtrap.journal.clear()
    return after


def named(world: World, whom: Sequence[str]) -> list[str]:
    """The requests that named one of them."""
    return [entry.method for each in whom for entry in world.mailtrap.journal.naming(each)]


CASES = [
    pytest.param(at, whom, resend, id=f"{at}-{len(whom)}-resend" if resend else f"{at}-{len(whom)}",
        marks=() if (at, whom, resend) in (("POST", SOME, True), ("GET", EVERYBODY, False)) or (whom == SOME and not resend)
        else pytest.mark.proof)
    for at in (BEFORE_IT_IS_KNOWN, BEFORE_IT_IS_DONE)
    for whom in (SOME, EVERYBODY[:1], EVERYBODY)
    for resend in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("at", "erased", "resend"), CASES)
def test_an_erased_person_in_flight_is_neither_sent_nor_asked_about(
    tmp_path: Path, at: str, erased: Sequence[str], resend: bool
) -> None:
    """Whether the answer to the import was lost, or its job not awaited: nobody who was erased is named again."""
    world = restored(tmp_path, erased, at=at, resend=resend)
    sent = world.run(people(len(EVERYBODY), plan="pro", day=9))
    assert named(world, erased) == []
    assert not world.members() & set(erased)
    left = len(EVERYBODY) - len(erased)
    assert conserved(sent, accepted=left, erased=len(erased))
    assert len(world.members()) == left
    assert not any(world.states()[state] for state in ("sending", "unknown", "submitted"))
    if not resend:  # what was told before the backup is in it: `erase --again` takes it out
        assert in_evidence(world, erased) == []
    world.close()


def in_evidence(world: World, whom: Sequence[str]) -> list[str]:
    """Who of them is in the evidence of what was told."""
    lake = world.store.lake
    kept = [
        each
        for path in lake.list("people/evidence")
        for batch in lake.read(path, ["email"])
        for each in batch["email"].to_pylist()
    ]
    return sorted(set(kept) & set(whom))


def test_an_import_that_mailtrap_forgot_is_looked_into_without_the_erased(tmp_path: Path) -> None:
    """Its id is from the backup, and long unknown to Mailtrap."""
    world = restored(tmp_path, SOME, at=BEFORE_IT_IS_DONE)
    world.mailtrap.fault(
        action={"do": "answer", "status": 404, "json": {"error": "Not Found"}},
        match={"method": "GET", "path": r"/contacts/imports/\d+$"},
    )
    settle(world.client, world.store, timing=world.timing)
    assert named(world, SOME) == [] and len(named(world, EVERYBODY)) > 0
    world.close()


def test_who_is_about_to_be_erased_is_still_looked_into(tmp_path: Path) -> None:
    """A lost import that ends after the deletion would bring them back: it is waited for first, then they are deleted."""
    (tmp_path / "before").mkdir()
    before = World(tmp_path / "before")
    before.client = before.new_client(transport=Backup(before, tmp_path / "restored", at=BEFORE_IT_IS_KNOWN))
    before.run(people(len(EVERYBODY)))
    before.close()
    world = World(tmp_path / "restored", mailtrap=before.mailtrap)
    requested = Requested(SOME, {each: each for each in SOME}, ())
    world.mailtrap.journal.clear()
    erase(world.client, world.store, requested, syncs=[world.sync], run_id="e", sleep=world.mailtrap.advance)
    methods = [
        entry.method for entry in world.mailtrap.journal.entries if set(map(hash, SOME)) & set(entry.named)
    ]
    assert methods[0] == "GET" and "DELETE" in methods
    assert not world.members() & set(SOME)
    world.close()
