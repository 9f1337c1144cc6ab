"""A delivery through everything that Mailtrap can do to it: nothing lost, nothing blamed wrongly, nothing sent in vain."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets import summary
from assets.delivery import awaiting, evidence, loop
from assets.delivery.refusals import folder
from assets.delivery.sending import Sender
from assets.imports import send_pending
from assets.partitions import WHOLE
from assets.rules.sync import DayPartition, FieldRule, Lists
from resources.errors import ImportFailedError, RefusedError, SettingsError, UnavailableError, UnfinishedError
from resources.local_mailtrap.faults import FAULTS
from tests.assets.world import World, conserved, people, problems

POST_IMPORT = {"method": "POST", "path": "/contacts/imports$"}
GET_IMPORT = {"method": "GET", "path": r"/contacts/imports/\d+$"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A small world with payloads of ten."""
    made = World(tmp_path, rows_per_payload=10)
    made.wants()
    yield made
    made.close()


def refused_by_mailtrap(world: World) -> list[dict[str, object]]:
    """The rows that Mailtrap itself refused, as they are kept."""
    root = Path(world.store.lake.root)
    return [
        row
        for path in world.store.lake.list(folder("people"))
        for row in pq.read_table(root / path).to_pylist()
    ]


def test_everybody_arrives_once_and_a_second_run_sends_nothing(world: World) -> None:
    """Payloads are cut, proven, and remembered."""
    assert conserved(world.run(people(35)), accepted=35)
    assert len(world.imports()) == 4 and len(world.members()) == 35
    assert conserved(world.run(people(35)), unchanged=35)
    assert len(world.imports()) == 4


@pytest.mark.parametrize(("ahead", "reads"), [(25, 5), (100_000, 1)])
def test_payloads_are_cut_from_what_was_read_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch, ahead: int, reads: int
) -> None:
    """How long rows are is read for many payloads at once; no row is lost or sent twice where one reading ends."""
    monkeypatch.setattr(loop, "LENGTHS_AHEAD", ahead)
    read = world.store.lake.read_slice
    looked: list[int] = []

    def counting(path: str, columns: list[str], *, first: int, rows: int) -> pa.Table:
        if columns == ["json_bytes"]:
            looked.append(first)
        return read(path, columns, first=first, rows=rows)

    monkeypatch.setattr(world.store.lake, "read_slice", counting)
    assert conserved(world.run(people(93)), accepted=93)
    assert len(world.imports()) == 10
    assert len(looked) == len(set(looked)) == reads


def test_few_receipts_are_written_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a payload's rows and two files; more threads than that may be there, because requests are slow."""
    together: list[int] = []
    inside: set[int] = set()
    keep = evidence.keep

    def watched(*given: object, **named: object) -> None:
        inside.add(threading.get_ident())
        together.append(len(inside))
        time.sleep(0.01)
        keep(*given, **named)
        inside.discard(threading.get_ident())

    monkeypatch.setattr(evidence, "keep", watched)
    monkeypatch.setattr(Sender, "waiting", lambda _: 16)
    assert conserved(world.run(people(400)), accepted=400)
    assert len(together) == 40
    assert 1 < max(together) <= awaiting.RECEIPTS_AT_ONCE


def test_only_what_changed_is_sent_and_older_rows_never_overwrite(world: World) -> None:
    """A new plan is sent to those who have it; a row from before is stale."""
    world.run(people(20))
    assert conserved(
        world.run([*people(17), *people(3, first=17, plan="pro", day=3)]), unchanged=17, accepted=3
    )
    assert world.imports()[-1]["rows"] == 3
    assert conserved(world.run([*people(17), *people(3, first=17, plan="old", day=2)]), unchanged=17, stale=3)
    assert world.contact("p19@example.com")["fields"]["plan"] == "pro"


STRIKES = {
    "POST": ("F-01", "F-02", "F-03", "F-04", "F-05", "F-07", "F-10", "F-11", "F-17", "F-19", "F-22"),
    "GET": ("F-01", "F-03", "F-04", "F-17", "F-18", "F-19", "F-22"),
}
OFTEN = {
    "F-02": {"huge"},
    "F-03": {"500", "524"},
    "F-11": {"string", "dict"},
    "F-17": {"unknown_status", "counts_as_null"},
}
CASES = [
    pytest.param(at, fault.code, variant, id=f"{at}-{fault.code}-{variant}")
    for at, codes in STRIKES.items()
    for fault in FAULTS
    for variant in fault.variants
    if fault.code in codes and variant in OFTEN.get(fault.code, {variant}) and not variant.startswith("stuck")
]


@pytest.mark.parametrize(("at", "code", "variant"), CASES)
def test_a_fault_costs_time_and_at_most_one_more_copy(world: World, at: str, code: str, variant: str) -> None:
    """Whatever strikes one request of an import, after one more run everybody is there, told once, triggered once."""
    where = POST_IMPORT if at == "POST" else GET_IMPORT
    world.mailtrap.fault(code, variant=variant, match={**where, "nth": 2})
    first = world.run(people(30))
    second = world.run(people(30))
    assert sum(first.rows.values()) == 2 * first.rows["read"]
    rejected = second.rows["rejected"]
    assert second.rows["accepted"] + second.rows["unchanged"] == 30 - rejected == len(world.members())
    assert rejected <= (1 if code == "F-10" else 0)
    accepted = [each["emails_sha256"] for each in world.imports() if each["status"] == 201]
    assert len(accepted) - len(set(accepted)) <= 1
    triggers = world.triggers()
    assert triggers["contact_created"] == triggers["added_to_list"] == len(world.members())
    assert triggers["field_changed"] == 0


def test_thirty_seven_bad_rows_of_fifty_thousand_cost_one_request(tmp_path: Path) -> None:
    """The other 49,963 arrive in the second request, and each bad row says why."""
    world = World(tmp_path)
    bad = [f"p{n}@example.com" for n in range(0, 37_000, 1000)]
    refusal = {"do": "refuse_rows", "emails": bad, "errors": {"email": ["is invalid"]}}
    world.mailtrap.fault(action=refusal, match=POST_IMPORT, times=1)
    sent = world.run(people(50_000))
    assert conserved(sent, accepted=49_963, rejected=37)
    assert [each["rows"] for each in world.imports()] == [50_000, 49_963]
    assert sent.rejected_by_reason == {"refused_by_mailtrap": 37}
    kept = refused_by_mailtrap(world)
    assert {row["source_key"] for row in kept} == {f"{n}" for n in range(0, 37_000, 1000)}
    assert {row["mailtrap_says"] for row in kept} == {"is invalid"}
    world.close()


def refusing(world: World, *emails: str, times: int | None = None) -> None:
    """Mailtrap takes these people's rows no more."""
    refusal = {"do": "refuse_rows", "emails": list(emails), "errors": {"email": ["is invalid"]}}
    world.mailtrap.fault(action=refusal, match=POST_IMPORT, times=times)


def test_a_row_that_mailtrap_refused_is_not_offered_again_until_it_changes(world: World) -> None:
    """Later runs send nothing and still count and show it; a new value, and only that, is worth a request."""
    refusing(world, "p3@example.com", times=1)
    assert conserved(world.run(people(10)), accepted=9, rejected=1)
    for _ in range(2):
        sent = world.run(people(10))
        assert conserved(sent, unchanged=9, rejected=1) and len(world.imports()) == 2
        assert sent.rejected_by_reason == {"refused_by_mailtrap": 1}
        assert [row["source_key"] for row in refused_by_mailtrap(world)] == ["3"]
    mended = [*people(3), *people(1, first=3, plan="pro"), *people(6, first=4)]
    assert conserved(world.run(mended), unchanged=9, accepted=1)
    assert [each["rows"] for each in world.imports()] == [10, 9, 1] and not refused_by_mailtrap(world)


@pytest.mark.parametrize("why", ["full_resync", "sync file"])
def test_a_refused_row_is_offered_again_when_mailtrap_may_take_it(world: World, why: str) -> None:
    """After a full resync, and after any change of the sync file; a second refusal takes the place of the first."""
    refusing(world, "p3@example.com", times=3)
    world.run(people(10))
    if why == "sync file":
        world.wants(version="2")
    again = world.run(people(10), resend=why == "full_resync")
    assert again.rows["rejected"] == 1 and len(refused_by_mailtrap(world)) == 1
    if why == "sync file":
        world.wants(version="3")
    assert world.run(people(10), resend=why == "full_resync").rows["rejected"] == 0
    assert not refused_by_mailtrap(world) and len(world.members()) == 10


def test_a_refused_row_that_left_the_source_is_forgotten(world: World) -> None:
    """Nobody is shown a rejection of a row that is not there."""
    refusing(world, "p9@example.com", times=1)
    world.run(people(10))
    assert conserved(world.run(people(9)), unchanged=9) and not refused_by_mailtrap(world)


def test_a_refusal_outlives_runs_of_other_partitions_and_failed_ones(world: World) -> None:
    """Whatever comes in between, the row of that day is not offered again."""
    world.wants(source=replace(world.sync.source, partition=DayPartition(date(2026, 1, 1))))
    refusing(world, "p3@example.com", times=1)
    day_1 = {"2026-01-01": people(5)}
    assert conserved(world.run(day_1), accepted=4, rejected=1)
    world.mailtrap.fault("F-04", match=POST_IMPORT, times=20)
    more = people(5, first=10, day=2)
    assert conserved(world.run({**day_1, "2026-01-02": more}), unchanged=4, rejected=1, pending=5)
    world.mailtrap.faults.clear()
    assert conserved(world.run({"2026-01-02": more}), accepted=5)
    sent = len(world.imports())
    assert conserved(world.run(day_1), unchanged=4, rejected=1) and len(world.imports()) == sent


def test_a_person_who_left_and_whom_mailtrap_refuses_is_no_row(world: World) -> None:
    """The sum of rows stays exact: who left the source has no row in it."""
    world.wants(mode="mirror", when_gone="unlist")
    world.run(people(10))
    refusing(world, "p9@example.com", times=1)
    assert conserved(world.run(people(9)), unchanged=9)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("lost", ["field", "list"])
def test_rows_are_not_blamed_for_a_field_or_list_that_went_missing(
    world: World, lost: str, create: bool
) -> None:
    """Deleted at Mailtrap after the comparison: the run stops in words of its own, and the next one can mend it."""
    world.run(people(2))
    world.wants(create=create)

    def lose() -> None:
        if lost == "field":
            world.client.delete_field(
                next(each.id for each in world.client.fields() if each.merge_tag == "plan")
            )
        else:
            world.client.delete_list(world.client.lists()[0].id)

    sent = world.run(people(25), between=lose)
    assert conserved(sent, unchanged=2, pending=23) and not refused_by_mailtrap(world)
    assert isinstance(sent.told.problems[0], SettingsError) and sent.outcome == "config"
    if create:
        assert conserved(world.run(people(25)), unchanged=2, accepted=23)


def test_rows_are_blamed_when_all_of_them_are_bad_and_nothing_is_missing(world: World) -> None:
    """A payload of one bad row is no reason to stop."""
    refusing(world, "p0@example.com", times=1)
    assert conserved(world.run(people(1)), rejected=1)


def test_people_are_not_taken_off_a_list_that_mailtrap_has_no_more(world: World) -> None:
    """The list that a sync named before was deleted: it is left out, instead of every row being refused for it."""
    world.run(people(10))
    world.mailtrap.seed({"lists": ["Other"]})
    world.client.delete_list(next(each.id for each in world.client.lists() if each.name == "Newsletter"))
    world.wants(lists=Lists(include=("Other",)), create=False)
    assert conserved(world.run(people(10)), accepted=10) and len(world.members("Other")) == 10


def test_a_refusal_that_names_nobody_is_found_by_halving(world: World) -> None:
    """One bad row costs one row, though Mailtrap does not say which."""
    refusal = {"do": "answer", "status": 422, "json": {"errors": "is invalid"}}
    world.mailtrap.fault(action=refusal, match=POST_IMPORT, times=4)
    sent = world.run(people(10))
    assert sent.rows["accepted"] + sent.rows["rejected"] == 10 and sent.rows["rejected"] <= 1
    assert not sent.told.problems


def test_when_everything_is_refused_without_names_the_rest_is_not_tried(tmp_path: Path) -> None:
    """Fifty thousand requests would not make it better."""
    world = World(tmp_path)
    world.mailtrap.fault(
        action={"do": "answer", "status": 422, "json": {"errors": "is invalid"}},
        match=POST_IMPORT,
        times=None,
    )
    sent = world.run(people(2_000))
    assert isinstance(sent.told.problems[0], RefusedError)
    assert len(world.imports()) < 400 and sent.rows["pending"] > 1_500
    world.close()


def test_a_full_plan_blames_nobody(world: World) -> None:
    """`contacts limit reached` rejects no row, and the rows are offered again when there is room."""
    world.mailtrap.seed({"contact_limit": 10})
    world.mailtrap.turn(plan_limit="refuse")
    world.run(people(10))
    sent = world.run(people(30))
    assert sent.rows["rejected"] == 0 and sent.rows["pending"] > 0
    assert "contacts limit reached" in problems(sent)[0]
    world.mailtrap.seed({"contact_limit": None})
    again = world.run(people(30))
    assert again.rows["accepted"] + again.rows["unchanged"] == 30 and len(world.members()) == 30


def test_contacts_over_the_limit_are_shown_and_not_remembered_as_told(world: World) -> None:
    """Nobody knows which of them were left out."""
    world.mailtrap.fault("F-09", **{"with": {"rows": 3}})
    sent = world.run(people(10))
    assert conserved(sent, over_limit=3, pending=7) and isinstance(sent.told.problems[0], ImportFailedError)
    assert conserved(world.run(people(10)), accepted=10)


def test_a_body_that_is_too_large_is_halved_and_the_next_ones_are_smaller(world: World) -> None:
    """413 teaches what fits."""
    world.mailtrap.turn(body_limit_bytes=700)
    assert conserved(world.run(people(40)), accepted=40)
    assert sum(each["status"] == 413 for each in world.imports()) <= 8


def test_an_import_limit_below_ours_is_learned(tmp_path: Path) -> None:
    """`cannot import more than` names nobody and blames nobody."""
    world = World(tmp_path)
    world.mailtrap.turn(import_max_contacts=500)
    assert conserved(world.run(people(3000)), accepted=3000)
    world.close()


def test_a_failed_job_is_one_payload_and_is_offered_again(world: World) -> None:
    """The other payloads are done, the failed one is sent by the next run."""
    world.mailtrap.fault("F-08", match={**POST_IMPORT, "nth": 2})
    sent = world.run(people(30))
    assert conserved(sent, accepted=20, pending=10) and "gave up on import" in problems(sent)[0]
    assert conserved(world.run(people(30)), unchanged=20, accepted=10)


@pytest.mark.parametrize("variant", ["more", "fewer"])
def test_counts_that_do_not_add_up_prove_nothing(world: World, variant: str) -> None:
    """Finished is not enough."""
    world.mailtrap.fault(
        "F-20", variant=variant, match={"method": "POST", "path": "/contacts/imports$", "nth": 1}
    )
    sent = world.run(people(10))
    assert conserved(sent, pending=10) and "do not add up" in problems(sent)[0]
    assert conserved(world.run(people(10)), accepted=10)


def test_a_lost_answer_whose_import_was_carried_out_is_not_sent_again(world: World) -> None:
    """Looking shows that it arrived."""
    world.mailtrap.fault("F-05")
    sent = world.run(people(10))
    assert conserved(sent, accepted=10) and sent.told.ambiguous == 1
    assert len(world.imports()) == 1


def test_a_lost_request_is_sent_again_once(world: World) -> None:
    """Looking for a minute shows that it did not arrive."""
    world.mailtrap.fault(
        action={"do": "answer", "status": 502, "text": "Bad Gateway"}, match=POST_IMPORT, times=1
    )
    sent = world.run(people(10))
    assert conserved(sent, accepted=10) and sent.told.ambiguous == 1
    assert [each["status"] for each in world.imports()] == [502, 201]


def test_people_who_always_were_so_do_not_prove_a_lost_import(world: World) -> None:
    """Contacts that Mailtrap had before with the same values say nothing about the request."""
    known = [{"email": f"p{n}@example.com", "fields": {}, "lists": ["Newsletter"]} for n in range(5)]
    world.mailtrap.seed(
        {
            "fields": [
                {"name": "First", "data_type": "text", "merge_tag": "first_name"},
                {"name": "Plan", "data_type": "text", "merge_tag": "plan"},
            ],
            "contacts": [
                {**each, "fields": {"first_name": f"N{n}", "plan": "free"}} for n, each in enumerate(known)
            ],
        }
    )
    world.mailtrap.advance(7200)
    world.mailtrap.fault(action={"do": "answer", "status": 502, "text": ""}, match=POST_IMPORT, times=1)
    assert conserved(world.run(people(5)), accepted=5)
    assert len(world.imports()) == 2


def test_a_request_that_is_lost_twice_is_left_to_the_next_run(world: World) -> None:
    """At most one more copy in one run; then the run says that it does not know."""
    world.mailtrap.fault(action={"do": "answer", "status": 502, "text": ""}, match=POST_IMPORT, times=2)
    sent = world.run(people(10))
    assert conserved(sent, pending=10) and isinstance(sent.told.problems[0], UnfinishedError)
    assert conserved(world.run(people(10)), accepted=10)
    assert len(world.imports()) == 3


@pytest.mark.parametrize("variant", ["stuck_started", "stuck_created"])
def test_a_stuck_job_is_only_asked_about_by_later_runs(world: World, variant: str) -> None:
    """Its id is known: its contacts are never sent again and stay pending, while everybody else is told."""
    world.mailtrap.fault("F-07", variant=variant, match=POST_IMPORT, times=1)
    sent = world.run(people(10))
    assert conserved(sent, pending=10) and isinstance(sent.told.problems[0], UnfinishedError)
    before = world.mailtrap.clock.time()
    sent = world.run([*people(10, plan="pro", day=2), *people(2, first=10)])
    assert conserved(sent, pending=10, accepted=2) and not sent.told.problems
    assert [each.payload.sent_rows for each in sent.overdue] == [10]
    assert world.mailtrap.clock.time() - before < 60, "it was waited for again"
    assert [each["rows"] for each in world.imports()] == [10, 2]
    assert world.states() == {"submitted": 1, "finished": 1}


def test_a_job_that_has_not_ended_in_a_week_is_given_up(world: World) -> None:
    """Its contacts are offered again, once."""
    world.mailtrap.fault("F-07", variant="stuck_started", match=POST_IMPORT, times=1)
    world.run(people(10))
    world.mailtrap.advance(8 * 86_400)
    assert conserved(world.run(people(10)), accepted=10)
    assert world.states() == {"failed": 1, "finished": 1}
    assert conserved(world.run(people(10)), unchanged=10)
    assert len(world.imports()) == 2


def test_a_stuck_job_that_ends_after_all_is_believed(world: World) -> None:
    """Its receipt counts whenever it comes: nothing of it is sent again."""
    world.mailtrap.turn(import_start_seconds=2_000)
    assert conserved(world.run(people(10)), pending=10)
    assert conserved(world.run(people(11)), pending=11)
    world.mailtrap.advance(4_000)
    assert conserved(world.run(people(11)), unchanged=11)
    assert [each["rows"] for each in world.imports()] == [10, 1]


def polls_of(world: World) -> dict[int, list[float]]:
    """When each import was asked about, in seconds since the first one was sent."""
    began = world.imports()[0]["at"]
    found: dict[int, list[float]] = {}
    for each in world.mailtrap.journal.entries:
        if each.method == "GET" and "/contacts/imports/" in each.path:
            found.setdefault(int(each.path.rpartition("/")[2]), []).append(each.as_dict()["at"] - began)
    return found


@pytest.mark.parametrize(
    ("payloads", "seconds"), [(4, 2), (20, 0.05), (20, 2), (20, 15), (20, 60), (40, 280), (130, 120)]
)
def test_polling_costs_little(tmp_path: Path, payloads: int, seconds: float) -> None:
    """At most 2.3 requests a payload; all of them are under way together, and found done in 2.5 times what they take."""
    world = World(tmp_path, rows_per_payload=10)
    world.mailtrap.turn(import_start_seconds=seconds)
    sent = world.run(people(10 * payloads))
    assert conserved(sent, accepted=10 * payloads)
    polls = [at for each in polls_of(world).values() for at in each]
    assert len(polls) <= 1.3 * payloads + (2 if payloads < 20 else 0)
    assert max(polls) <= max(5.0, 2.6 * seconds)
    world.close()


def test_an_import_that_is_stuck_holds_up_no_other(tmp_path: Path) -> None:
    """Also when it was the first, and nothing is known yet about how long imports take."""
    world = World(tmp_path, rows_per_payload=10)
    world.mailtrap.turn(import_start_seconds=5)
    world.mailtrap.fault("F-07", variant="stuck_started", match={**POST_IMPORT, "nth": [1]}, times=1)
    sent = world.run(people(200))
    assert conserved(sent, accepted=190, pending=10)
    others = sorted(polls_of(world).values(), key=max)[:-1]
    assert len(others) == 19 and max(max(each) for each in others) < 20.0
    world.close()


def test_a_revoked_token_stops_at_once_and_a_new_one_goes_on(world: World) -> None:
    """What was proven stays, what is in flight is asked about later."""
    rule = world.mailtrap.fault(
        "F-16", variant="revoked", match={"path": "/contacts/imports", "nth": list(range(3, 200))}
    )
    sent = world.run(people(100))
    assert isinstance(sent.told.problems[0], RefusedError) and sent.rows["pending"] > 0
    assert sent.outcome == "config" and len(world.imports()) <= 8
    world.mailtrap.faults.remove(rule.id)
    again = world.run(people(100))
    assert again.rows["accepted"] + again.rows["unchanged"] == 100 and len(world.members()) == 100
    accepted = [each for each in world.imports() if each["status"] == 201]
    assert sum(each["rows"] for each in accepted) == 100


def test_an_outage_ends_in_an_error_that_a_retry_helps(world: World) -> None:
    """Nothing is lost, and nobody told twice."""
    world.mailtrap.fault("F-04", match=POST_IMPORT, times=None)
    sent = world.run(people(30))
    assert conserved(sent, pending=30) and isinstance(sent.told.problems[0], UnavailableError)


def test_a_full_resend_sends_all_and_is_remembered(world: World) -> None:
    """And the next run sends nothing."""
    world.run(people(20))
    assert conserved(world.run(people(20), resend=True), accepted=20)
    assert conserved(world.run(people(20)), unchanged=20)


def test_a_full_resend_that_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Whoever was sent again by the first try is left out of the next one, though the ledger was merged in between."""
    world = World(tmp_path, rows_per_payload=1)
    world.run(people(20))
    denied = {"do": "answer", "status": 403, "json": {"errors": "Access forbidden"}}
    world.mailtrap.fault(action=denied, match={**POST_IMPORT, "nth": [16]}, times=1)
    first = world.run(people(20), resend=True).rows["accepted"]
    assert 15 <= first < 20
    assert any(each.base for each in world.store.journal.ledger_parts("people"))
    sent = send_pending(
        world.client,
        world.store,
        world.sync,
        partitions=[WHOLE],
        run_id="retry",
        roots=["run-2"],
        timing=world.timing,
    )
    assert conserved(sent, accepted=20 - first, unchanged=first)
    assert sum(each["rows"] for each in world.imports() if each["status"] < 300) == 40
    world.close()


def test_a_lost_answer_of_a_full_resend_costs_one_more_copy(world: World) -> None:
    """Looking would prove nothing, since nothing changed."""
    world.run(people(10))
    world.mailtrap.fault("F-05")
    sent = world.run(people(10), resend=True)
    assert conserved(sent, accepted=10) and sent.told.ambiguous == 1 and len(world.imports()) == 3


def test_people_who_left_a_mirror_leave_its_lists_and_no_others(world: World) -> None:
    """One import takes all of them off; lists that the sync does not own stay."""
    world.wants(mode="mirror", when_gone="unlist")
    world.run(people(30))
    account = world.mailtrap.dump()["accounts"][0]
    newsletter = account["lists"][0]["id"]
    world.mailtrap.seed({"contacts": [{"email": "p29@example.com", "lists": ["Other", newsletter]}]})
    before = len(world.imports())
    sent = world.run(people(20))
    assert conserved(sent, unchanged=20) and sum(sent.told.gone.values()) == 10
    assert len(world.imports()) == before + 1
    assert world.members() == {f"p{n}@example.com" for n in range(20)}
    assert world.members("Other") == {"p29@example.com"}
    assert conserved(world.run(people(20)), unchanged=20) and len(world.imports()) == before + 1
    assert conserved(world.run(people(30)), unchanged=20, accepted=10)
    assert len(world.members()) == 30


def test_people_who_left_and_whom_nobody_can_name_any_more_are_counted(world: World) -> None:
    """Their evidence has expired and their row is gone: nobody can take them off a list, and the summary says so."""
    world.wants(mode="mirror", when_gone="unlist")
    world.run(people(10))
    for path in world.store.lake.list("people/evidence"):
        world.store.lake.delete(path)
    sent = world.run(people(7))
    assert conserved(sent, unchanged=7)
    assert sent.gone["without_address"] == 3 and len(world.members()) == 10


def test_people_who_left_and_may_not_be_written_to_are_left_alone(world: World) -> None:
    """Not even to take them off a list."""
    world.wants(mode="mirror", when_gone="unlist")
    world.run(people(10))
    world.mailtrap.unsubscribe("p9@example.com")
    world.mailtrap.suppress("p8@example.com")
    sent = world.run(people(7))
    assert sum(sent.told.gone.values()) == 1
    assert world.mailtrap.journal.times_sent("p9@example.com") == 1
    assert world.mailtrap.journal.times_sent("p8@example.com") == 1


def test_a_rejected_row_has_not_left_the_mirror(world: World) -> None:
    """Somebody whose plan is not one of the allowed stays in the list until the row is mended, or gone."""
    plan = FieldRule("plan", "plan", one_of=("free",))
    world.wants(mode="mirror", when_gone="unlist", fields=(plan,))
    world.run(people(10))
    sent = world.run([*people(8), *people(1, first=8, plan="odd")])
    assert conserved(sent, unchanged=8, rejected=1) and sum(sent.told.gone.values()) == 1
    assert world.members() == {f"p{n}@example.com" for n in range(9)}


def test_a_mirror_that_keeps_takes_nobody_off(world: World) -> None:
    """`when_gone: keep`."""
    world.wants(mode="mirror")
    world.run(people(10))
    assert conserved(world.run(people(3)), unchanged=3) and len(world.members()) == 10


def test_lists_that_a_sync_no_longer_names_are_left(world: World) -> None:
    """People leave the list that this sync once put them in."""
    world.wants(lists=type(world.sync.lists)(include=("Old", "Newsletter")))
    world.run(people(5))
    assert len(world.members("Old")) == 5
    world.wants(lists=type(world.sync.lists)(include=("Newsletter",)))
    assert conserved(world.run(people(5)), accepted=5)
    assert world.members("Old") == set() and len(world.members()) == 5


def test_days_come_in_any_order_and_the_newest_row_wins(world: World) -> None:
    """A day that is backfilled later does not overwrite what a newer day said."""
    assert conserved(world.run({"2026-01-03": people(10, plan="new", day=3)}), accepted=10)
    assert conserved(world.run({"2026-01-01": people(12, plan="old", day=1)}), stale=10, accepted=2)
    assert world.contact("p0@example.com")["fields"]["plan"] == "new"
    assert conserved(world.run({"2026-01-03": people(10, plan="new", day=3)}), unchanged=10)


def test_several_partitions_in_one_run_share_payloads(world: World) -> None:
    """And each has its own numbers."""
    sent = world.run({"2026-01-01": people(5), "2026-01-02": people(5, first=5, day=2)})
    assert len(world.imports()) == 1
    assert {name: rows["accepted"] for name, rows in sent.by_partition.items()} == {
        "2026-01-01": 5,
        "2026-01-02": 5,
    }


def test_files_of_former_runs_do_not_pile_up(world: World) -> None:
    """Pending contacts hold people's data: only those of the newest run stay."""
    for plan in ("a", "b", "c"):
        world.run(people(5, plan=plan, day=ord(plan) - 90))
    assert len(world.store.lake.list("people/pending_contacts")) == 1


def test_the_summary_of_a_run_is_kept_in_numbers(world: World) -> None:
    """And holds no address."""
    world.run(people(12))
    text = world.store.lake.read_bytes(summary.summary_path("people", "run-1"))
    assert b'"accepted": 12' in text and b"@" not in text and datetime.now(UTC).year >= 2024
