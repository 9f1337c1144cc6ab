"""Before the first row leaves: lists that rows name, and an account that changed since it was looked at."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from assets import preparation
from assets.preparation import prepare
from assets.rules.payload import ListIds
from assets.rules.sync import FieldRule, Lists, Sync
from resources.errors import HeldError, SettingsError
from resources.mailtrap.client import MailtrapClient
from resources.mailtrap.wire import ContactList
from tests.assets.world import World, conserved, people

BY_ROW = {
    "fields": (FieldRule("first_name", "name"),),
    "lists": Lists(include=("Newsletter",), from_column="plan"),
}

FIELD = {"id": 1, "name": "First name", "data_type": "text", "merge_tag": "first_name"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An account with three lists; rows name lists in the column `plan`."""
    made = World(tmp_path)
    made.mailtrap.seed({"lists": ["Newsletter", "Trials", "Former", "Twins"]})
    made.wants(**BY_ROW, create=False)
    yield made
    made.close()


def rows_naming(*plans: str) -> list[dict[str, Any]]:
    """Two people who name no list, and one for each of these."""
    return [*people(2, plan=""), *(people(1, first=n, plan=plan)[0] for n, plan in enumerate(plans, 2))]


def reasons(world: World) -> list[tuple[str, str]]:
    """Source key and reason of every rejection."""
    found = pq.read_table(Path(world.store.lake.root) / "people" / "rejections" / "all.parquet").to_pylist()
    return [(row["source_key"], row["reason"]) for row in found]


def test_a_row_that_names_a_list_which_mailtrap_does_not_have_costs_itself(world: World) -> None:
    """The others are sent, into the lists they name: by name, or by id."""
    ids = {each["name"]: str(each["id"]) for each in world.mailtrap.dump()["accounts"][0]["lists"]}
    sent = world.run(rows_naming("Trials", ids["Trials"], "Trails", "999999", "Trials, Trails"))
    assert conserved(sent, accepted=4, rejected=3)
    assert world.members("Trials") == {"p2@example.com", "p3@example.com"}
    assert reasons(world) == [(key, "lists_unknown") for key in "456"]


def test_a_row_cannot_enter_a_list_that_the_sync_excludes(world: World) -> None:
    """Mailtrap refuses a contact that enters and leaves the same list."""
    world.wants(lists=Lists(include=("Newsletter",), exclude=("Former",), from_column="plan"))
    assert conserved(world.run(rows_naming("Former", "Trials")), accepted=3, rejected=1)
    assert len(world.imports()) == 1


def test_lists_that_rows_name_are_made_where_the_sync_says_so(world: World) -> None:
    """But not by an id, and not by what looks like an address: a column was mixed up then."""
    world.wants(create=True)
    sent = world.run(rows_naming("Spring", "Spring, Trials", "ann@example.com", "4711"))
    assert conserved(sent, accepted=4, rejected=2)
    assert world.members("Spring") == {"p2@example.com", "p3@example.com"}


def test_more_new_lists_than_there_is_room_for_stop_the_run(world: World) -> None:
    """A column of something else would fill the account with lists; their names stay out of the message."""
    world.wants(create=True)
    with pytest.raises(SettingsError, match=r"name 60 lists .* room for 46") as raised:
        world.run(rows_naming(*(f"secret {n}" for n in range(60))))
    assert "secret" not in str(raised.value) and not world.imports()
    assert len(world.mailtrap.dump()["accounts"][0]["lists"]) == 4


def test_what_two_runs_miss_at_once_is_made_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two buckets of a first sync look, see that all is missing, and both are about to make it."""
    world.wants(create=True, lists=Lists(include=("Spring",)))
    look, looks = preparation.inspected, count()

    def looking(client: MailtrapClient, sync: Sync) -> Any:
        found = look(client, sync)
        if next(looks) == 0:
            other.append(prepare(world.new_client(), world.store, sync))
        return found

    other: list[ListIds] = []
    monkeypatch.setattr(preparation, "inspected", looking)
    assert prepare(world.client, world.store, world.sync) == other[0]
    account = world.mailtrap.dump()["accounts"][0]
    assert [each["name"] for each in account["lists"]].count("Spring") == 1


def test_lists_and_fields_are_made_by_one_run_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mailtrap lets two lists have one name, and nobody could tell them apart again."""
    world.wants(create=True, lists=Lists(include=("Spring",)))
    make, is_held = world.client.create_list, []

    def making(name: str) -> ContactList:
        with pytest.raises(HeldError), world.store.journal.lease(f"making:{world.client.account_id}"):
            pass
        is_held.append(name)
        return make(name)

    monkeypatch.setattr(world.client, "create_list", making)
    prepare(world.client, world.store, world.sync)
    assert is_held == ["Spring"]


CHANGES: dict[str, dict[str, Any]] = {
    "a list that rows name": {
        "action": {"do": "drop", "list": "Trials"},
        "match": {"path": "/lists$", "nth": 2},
    },
    "a list that the sync names": {
        "action": {"do": "drop", "list": "Newsletter"},
        "match": {"path": "/lists$", "nth": 2},
    },
    "a field that the sync names": {
        "action": {"do": "drop", "field": "first_name"},
        "match": {"path": "/fields$"},
    },
    "the type of a field": {
        "action": {"do": "answer", "status": 200, "json": [{**FIELD, "data_type": "integer"}]},
        "times": None,
        "match": {"path": "/fields$"},
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_account_that_changed_after_it_was_looked_at_stops_before_the_first_row(
    world: World, change: dict[str, Any]
) -> None:
    """Between screening and sending somebody deletes or retypes what the rows need: three parts, and no import."""
    world.mailtrap.fault(**change)
    with pytest.raises(SettingsError) as raised:
        world.run(rows_naming("Trials"))
    assert raised.value.happened and raised.value.meaning and raised.value.remedy
    assert not world.imports()
