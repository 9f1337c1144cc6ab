"""Exports come back as Parquet: every layout, strangers in the slot, kills, versions, memberships.

What can be wrong with a file or its link has a sweep of its own: `test_export_downloads`.
"""

import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets.export_jobs import ExportJobs, Patience, digest
from assets.exports import (
    EVERYONE,
    LATEST,
    Taken,
    Wanted,
    exported_contacts,
    folder_of,
    take_export,
    versions,
)
from resources.errors import RefusedError, SettingsError, UnavailableError, UnfinishedError
from resources.mailtrap.wire import export_filters
from tests.assets.world import World

LAYOUTS = ("merge_tags", "display_names", "with_id", "list_names", "list_ids", "bom")
FIELDS = (("age", "integer"), ("score", "float"), ("vip", "boolean"), ("born", "date"))
HOSTILE = 'O\'Hara, "Jo"\r\n=HYPERLINK("x")\t🦊;|ä\u202e'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An account with three people, two lists and fields of all types."""
    made = World(tmp_path)
    fields = [{"name": tag.title(), "merge_tag": tag, "data_type": kind} for tag, kind in FIELDS]
    ada = {"first_name": HOSTILE, "age": 2**53 + 1, "score": -1.25e-7, "vip": True, "born": "1815-12-10"}
    made.mailtrap.seed(
        {
            "lists": ["Newsletter", "VIP"],
            "fields": fields,
            "contacts": [
                {"email": "ada@example.com", "fields": ada, "lists": ["Newsletter", "VIP"]},
                {"email": "bob@example.com", "fields": {"vip": False, "age": -7}, "lists": ["VIP"]},
                {"email": "cy@example.com", "fields": {}, "status": "unsubscribed"},
            ],
        }
    )
    yield made
    made.close()


def patience(world: World, **changes: Any) -> Patience:
    """Waiting that takes no time."""
    return Patience(**{"clock": world.mailtrap.clock.time, "sleep": world.mailtrap.clock.sleep, **changes})


def take(world: World, **options: Any) -> Taken:
    """One taking."""
    return take_export(world.client, world.store, **{"patience": patience(world), **options})


def rows(world: World, path: str = LATEST) -> dict[str, dict[str, Any]]:
    """The people of a taking, by address."""
    return {row["email"]: row for batch in world.store.lake.read(path) for row in batch.to_pylist()}


def posts(world: World) -> int:
    """How many exports were asked for."""
    every = (each.as_dict() for each in world.mailtrap.journal.entries)
    return sum(each["method"] == "POST" and each["path"].endswith("/contacts/exports") for each in every)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_what_mailtrap_has(world: World, layout: str) -> None:
    """Cell by cell, with types and memberships; hostile text included."""
    world.mailtrap.turn(export_layout=layout)
    taken = take(world)
    found = rows(world)
    ada, bob, cy = found["ada@example.com"], found["bob@example.com"], found["cy@example.com"]
    assert (ada["first_name"], ada["age"], ada["score"]) == (HOSTILE, 2**53 + 1, -1.25e-7)
    assert (ada["vip"], ada["born"], bob["vip"], bob["age"]) == (True, date(1815, 12, 10), False, -7)
    assert [each["status"] for each in (ada, bob, cy)] == ["subscribed", "subscribed", "unsubscribed"]
    assert (sorted(ada["lists"]), bob["lists"], cy["lists"]) == (["Newsletter", "VIP"], ["VIP"], [])
    assert (taken.rows, taken.seen.misfits) == (3, {})
    assert taken.exports == (1 if layout in ("list_names", "list_ids") else 3)
    assert world.mailtrap.dump()["tokens_at_storage"] == []


def test_the_file_is_ordinary_parquet_with_sorted_groups_and_page_index(world: World) -> None:
    """Readable as it is, private, and noting where it comes from."""
    taken = take(world)
    with world.store.lake.local(taken.path) as path:
        file = pq.ParquetFile(path)
        column = file.metadata.row_group(0).column(0)
        assert column.compression == "ZSTD" and column.has_column_index and column.has_offset_index
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*rows(world)] == sorted(rows(world))
    noted = world.store.lake.metadata(LATEST)
    assert noted["export_id"] == str(taken.export_id) and noted["filters"] == "none"


def test_filtered_takings_never_replace_everyone(world: World) -> None:
    """They have places of their own, named after the filter."""
    take(world)
    some = take(world, wanted=Wanted(lists=("Newsletter",), status="subscribed"))
    assert [*rows(world, some.latest)] == ["ada@example.com"] and len(rows(world)) == 3
    assert "status-subscribed" in some.latest and some.latest != LATEST
    gone = take(world, wanted=Wanted(status="unsubscribed", columns=("age",), membership=False))
    assert rows(world, gone.latest) == {"cy@example.com": {"email": "cy@example.com", "age": None}}


def test_lists_are_named_or_numbered_and_unknown_ones_are_refused(world: World) -> None:
    """Before any export is asked for."""
    number = next(each.id for each in world.client.lists() if each.name == "VIP")
    taken = take(world, wanted=Wanted(lists=(number, "VIP"), membership=False))
    assert taken.rows == 2
    asked = posts(world)
    with pytest.raises(SettingsError, match=r"no list 'Vip'.*'Newsletter', 'VIP'.*mean 'VIP'"):
        take(world, wanted=Wanted(lists=("Vip",)))
    assert posts(world) == asked


def test_an_unknown_column_is_refused_with_the_known_ones(world: World) -> None:
    """The former taking stays; and the next one is of then, not what was asked for in vain."""
    take(world)
    with pytest.raises(SettingsError, match=r"no column 'ages'.*email, status, first_name.*mean 'age'"):
        take(world, wanted=Wanted(columns=("ages",)))
    assert len(rows(world)) == 3
    world.mailtrap.seed({"contacts": [{"email": "di@example.com", "fields": {}}]})
    assert not take(world).resumed and len(rows(world)) == 4


def test_an_expired_link_is_asked_for_again(world: World) -> None:
    """By a new export, since the old one may be gone."""
    world.mailtrap.faults.add({"fault": "F-13", "times": 1})
    assert take(world, wanted=Wanted(membership=False)).rows == 3


@pytest.mark.parametrize(
    "kind",
    [
        *("renamed", "reordered", "extra", "missing", "bom", "crlf", "quoted_newlines", "escapes", "formula"),
        *("duplicate_headers", "odd_byte", "mixed_integers", "booleans_as_digits", "dates_with_time"),
    ],
)
def test_a_csv_that_drifts_is_read_all_the_same(world: World, kind: str) -> None:
    """Everybody is there; what is new is kept, what is gone is null and named."""
    world.mailtrap.faults.add({"fault": "F-15", "variant": kind})
    taken = take(world, wanted=Wanted(membership=False))
    found = rows(world)
    assert {"ada@example.com", "bob@example.com", "cy@example.com"} <= set(found)
    if kind not in ("renamed",):
        assert found["ada@example.com"]["age"] == 2**53 + 1 and taken.seen.misfits == {}
    else:
        assert set(taken.absent_fields) == {"first_name", "last_name", "age", "score", "vip", "born"}


def test_a_header_alone_is_a_taking_of_nobody(world: World) -> None:
    """An empty account is a fact, not a failure."""
    world.mailtrap.faults.add({"fault": "F-15", "variant": "header_only"})
    assert take(world, wanted=Wanted(membership=False)).rows == 0 and rows(world) == {}


def test_a_stranger_in_the_slot_is_waited_for_within_bounds(world: World) -> None:
    """A person in the web UI may be exporting."""
    world.mailtrap.faults.add({"fault": "F-12", "times": 4})
    assert take(world, wanted=Wanted(membership=False)).rows == 3
    world.mailtrap.faults.add({"fault": "F-12", "times": 10_000})
    with pytest.raises(UnavailableError, match="one export at a time"):
        take(world, wanted=Wanted(membership=False), patience=patience(world, wait_seconds=120.0))


def test_a_lost_answer_is_waited_out_and_asked_anew(world: World) -> None:
    """The unknown export holds the slot; then the slot is ours."""
    world.mailtrap.faults.add({"fault": "F-06", "variant": "reset"})
    assert take(world, wanted=Wanted(membership=False)).rows == 3
    assert posts(world) >= 2


def test_a_killed_runs_export_is_fetched_by_its_id(world: World) -> None:
    """It is not asked for a second time while it is young; when it is old, it is."""
    started = world.client.create_export()
    account = str(world.client.account_id)
    world.store.journal.remember_export(
        account=account,
        filters=digest(export_filters()),
        export_id=started.export.id,  # type: ignore[union-attr]
        asked_at=world.mailtrap.clock.time(),
    )
    taken = take(world, wanted=Wanted(membership=False))
    assert taken.resumed and taken.export_id == started.export.id and posts(world) == 1  # type: ignore[union-attr]
    assert world.store.journal.export_in_flight(account=account, filters=digest(export_filters())) is None
    old = world.client.create_export()
    world.store.journal.remember_export(
        account=account,
        filters=digest(export_filters()),
        export_id=old.export.id,  # type: ignore[union-attr]
        asked_at=world.mailtrap.clock.time(),
    )
    world.mailtrap.advance(7200.0)
    assert not take(world, wanted=Wanted(membership=False)).resumed


def test_a_run_that_dies_while_reading_leaves_no_file_and_is_resumed(world: World) -> None:
    """Whatever kills it: the next run fetches the same export."""
    take(world, wanted=Wanted(membership=False))
    before = world.store.lake.read_bytes(LATEST)
    jobs = ExportJobs(world.client, world.store.lake, world.store.journal, patience(world))

    def killed(_path: Path, _ready: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.take((), killed)
    assert world.store.lake.read_bytes(LATEST) == before and len(versions(world.store.lake)) == 1
    asked = posts(world)
    assert take(world, wanted=Wanted(membership=False)).resumed and posts(world) == asked


def test_a_stuck_export_ends_in_a_deadline_and_is_remembered(world: World) -> None:
    """The next run asks for it first."""
    world.mailtrap.faults.add({"fault": "F-07", "variant": "stuck_started"})
    with pytest.raises(UnfinishedError, match="not finished"):
        take(world, wanted=Wanted(membership=False))
    assert (
        world.store.journal.export_in_flight(account=str(world.client.account_id), filters=digest(()))
        is not None
    )


def test_a_revoked_token_stops_at_once(world: World) -> None:
    """No retry, no partial file."""
    world.mailtrap.faults.add({"fault": "F-16", "variant": "revoked", "match": {"path": "/exports"}})
    with pytest.raises(RefusedError):
        take(world)
    assert versions(world.store.lake) == []


def test_versions_are_kept_up_to_a_number(world: World) -> None:
    """The newest stay; the latest is the newest."""
    taken = []
    for _ in range(4):
        world.mailtrap.advance(5.0)
        taken.append(take(world, wanted=Wanted(membership=False), keep_versions=2))
    assert versions(world.store.lake) == [each.path for each in taken[-2:]]
    assert world.store.lake.metadata(LATEST)["export_id"] == str(taken[-1].export_id)


def test_a_copy_is_handed_out_whole_and_private(world: World, tmp_path: Path) -> None:
    """For the analyst who asked with --out."""
    out = tmp_path / "mine" / "people.parquet"
    take(world, wanted=Wanted(membership=False), out=out)
    assert pq.read_table(out).num_rows == 3 and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [each.name for each in out.parent.iterdir()] == ["people.parquet"]
    if os.geteuid() != 0:
        with pytest.raises(SettingsError, match="--out"):
            take(world, wanted=Wanted(membership=False), out=Path("/proc/x/y.parquet"))


def test_places_of_filters_are_stable_and_short() -> None:
    """The same filter has the same place, whatever the order; long ones are cut."""
    assert folder_of(EVERYONE, ()) == "mailtrap/exported_contacts"
    assert folder_of(EVERYONE, (9, 7)) == folder_of(EVERYONE, (7, 9))
    assert folder_of(Wanted(columns=("a", "b")), ()) == folder_of(Wanted(columns=("b", "a")), ())
    assert len(folder_of(EVERYONE, range(10_000, 10_050))) < 100


def test_the_ui_shows_numbers_and_names_and_no_address(world: World) -> None:
    """Rows, schema, size, path; nobody."""
    config = {"status": "subscribed", "membership": False}
    ran = dg.materialize(
        [exported_contacts()],
        resources={
            "mailtrap": dg.ResourceDefinition.hardcoded_resource(world.client),
            "store": dg.ResourceDefinition.hardcoded_resource(world.store),
        },
        run_config={"ops": {"mailtrap__exported_contacts": {"config": config}}},
    )
    (event,) = ran.asset_materializations_for_node("mailtrap__exported_contacts")
    assert event.metadata["dagster/row_count"].value == event.metadata["rows_subscribed"].value == 2
    shown = str(dict(event.metadata)) + "".join(str(each) for each in ran.all_events)
    assert "@example.com" not in shown and "first_name" in shown
