"""The client and the local Mailtrap, which was written without it: one journey, all known faults, and the limits."""

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.database import create_tables, open_engine
from resources.errors import ConnectorError, RefusedError, UnavailableError
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.faults import FAULTS
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.mailtrap import wire
from resources.mailtrap.budget import Unlimited
from resources.mailtrap.client import ClientSettings, MailtrapClient
from resources.mailtrap.meter import Meter

PEOPLE = [f"canary{number}@example.com" for number in range(30)]


def client_of(mailtrap: LocalMailtrap, budget: object = None, **more: object) -> MailtrapClient:
    """A client in process, for which sleeping moves the local Mailtrap's clock."""
    host = mailtrap.storage_origin.removeprefix("https://").removeprefix("http://")
    settings = ClientSettings(
        **{
            "token": mailtrap.token,
            "account_id": mailtrap.account.id,
            "download_hosts": (host,),
            "job_deadline_seconds": 600.0,
        }
        | more
    )
    return MailtrapClient(
        settings,
        budget or Unlimited(mailtrap.advance),
        transport=mailtrap.transport(),
        download_transport=mailtrap.transport(),
        clock=mailtrap.clock.time,
        monotonic=mailtrap.clock.time,
        sleep=mailtrap.advance,
        random=lambda: 0.5,
    )


def payload(people: list[str]) -> bytes:
    """An import of these people."""
    return json.dumps(
        {"contacts": [{"email": email, "fields": {"first_name": "Canary"}} for email in people]}
    ).encode()


def test_everything_works_together_over_loopback() -> None:
    """One journey: account, field, list, import, look, unsubscribe, event, export, download, erasure."""
    mailtrap = LocalMailtrap(clock=real_clock())
    with mailtrap.running():
        settings = ClientSettings(
            token=mailtrap.token,
            url=mailtrap.api_origin,
            poll_seconds=0.03,
            download_hosts=(mailtrap.storage_origin.removeprefix("http://"),),
        )
        with MailtrapClient(settings, Unlimited(lambda _: None)) as client:
            assert client.account_id == mailtrap.account.id
            field = client.create_field("Plan", "text", merge_tag="plan")
            made = client.create_list("Newsletter")
            assert made in client.lists() and field in client.fields()
            accepted = client.create_import(payload(PEOPLE))
            assert isinstance(accepted, wire.ImportAccepted)
            assert client.wait_for_import(accepted.job.id, rows=30).adds_up(30)
            changed = client.upsert_contact(
                PEOPLE[0], email=PEOPLE[0], list_ids_included=[made.id], unsubscribed=True
            )
            assert (changed.action, changed.contact.unsubscribed) == ("updated", True)
            assert isinstance(
                client.create_event(changed.contact.id, "Login", params={"n": 1}), wire.EventAccepted
            )
            started = client.create_export(wire.export_filters(list_ids=[made.id]))
            assert isinstance(started, wire.ExportStarted)
            sink = io.BytesIO()
            found = client.download(client.wait_for_export(started.export.id).url or "", sink)
            assert found == len(sink.getvalue())
            assert PEOPLE[0].encode() in gzip.decompress(sink.getvalue())
            assert client.delete_contact(changed.contact.id) is True
            assert client.delete_contact(PEOPLE[0]) is False
            assert client.get_contact(PEOPLE[0]) is None
            assert client.usage()


CASES = [(fault.code, variant) for fault in FAULTS for variant in fault.variants]


@pytest.mark.parametrize(("code", "variant"), CASES, ids=[f"{code} {variant}" for code, variant in CASES])
def test_no_known_fault_is_taken_for_success(code: str, variant: str) -> None:
    """Whatever goes wrong once: an import ends proven, refused, unknown, or in an error of ours, and says nothing of people."""
    mailtrap = LocalMailtrap()
    mailtrap.suppress(*PEOPLE[:3])
    extra = {"with": {"field": "first_name"}} if (code, variant) == ("F-24", "field") else {}
    extra = {"with": {"list": mailtrap.account.id}} if (code, variant) == ("F-24", "list") else extra
    client = client_of(mailtrap)
    try:
        mailtrap.fault(code, variant=variant, **extra)
    except ValueError:
        pytest.skip("this variant needs a world of its own")
    with errors_of_ours():
        outcome = client.create_import(payload(PEOPLE))
        stored = sum(
            entry.method == "POST" for entry in mailtrap.journal.entries if entry.path.endswith("/imports")
        )
        assert stored == 1 or code in ("F-01", "F-02", "F-04")
        if isinstance(outcome, wire.ImportAccepted):
            job = client.wait_for_import(outcome.job.id, rows=30)
            assert job.failed or job.adds_up(30) is not True or len(mailtrap.account.contacts) >= 29
            assert (job.adds_up(30) is True) == (
                code not in ("F-08", "F-20") and variant not in ("counts_as_text", "counts_as_null")
            )
    with errors_of_ours():
        exported = client.create_export()
        if isinstance(exported, wire.ExportStarted):
            client.download(client.wait_for_export(exported.export.id).url or "", io.BytesIO())
    with errors_of_ours():
        assert sum(len(page) for page in client.suppressions()) >= 3


@contextmanager
def errors_of_ours() -> Iterator[None]:
    """Errors of ours are an answer, if they name no person and no token; all others are a failure of the test."""
    seen: list[ConnectorError] = []
    try:
        yield
    except ConnectorError as error:
        seen.append(error)
    for error in seen:
        text = f"{error} {error!r} {error.__context__!r}"
        assert "canary" not in text and "local-mailtrap-token" not in text
        assert error.meaning and error.remedy


def test_a_revoked_token_stops_at_once() -> None:
    """401 is not asked about again."""
    mailtrap = LocalMailtrap()
    client = client_of(mailtrap)
    mailtrap.fault("F-16", variant="revoked", times=9)
    with pytest.raises(RefusedError, match="MAILTRAP_API_TOKEN"):
        client.lists()
    assert client.usage_counts.requests == 1


class Shared:
    """The local Mailtrap's clock as the clock of the budget."""

    epoch = "virtual"

    def __init__(self, mailtrap: LocalMailtrap) -> None:
        self._mailtrap = mailtrap

    def now(self, _connection: sa.Connection) -> float:
        """Virtual seconds."""
        return self._mailtrap.clock.time()


def test_hundreds_of_requests_provoke_no_429_and_waste_little(tmp_path: Path) -> None:
    """By Mailtrap's own counting, in virtual minutes: 400 requests fit in a little over two windows of 200."""
    mailtrap = LocalMailtrap(knobs={"latency_seconds": 0.05})
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    create_tables(engine)
    meter = Meter(engine, clock=Shared(mailtrap), sleep=mailtrap.advance, random=lambda: 0.0)
    client = client_of(mailtrap, meter)
    began = mailtrap.clock.time()
    for _ in range(400):
        client.get_contact(PEOPLE[0])
    assert client.usage_counts.retries == 0
    assert mailtrap.clock.time() - began < 2 * 60 * 1.05
    meter.dispose()


def test_a_limit_that_others_have_used_up_is_waited_for(tmp_path: Path) -> None:
    """Somebody else took the whole window: one real 429, one wait, and then the answer."""
    mailtrap = LocalMailtrap()
    stranger = client_of(mailtrap)
    for _ in range(200):
        stranger.get_contact(PEOPLE[0])
        mailtrap.advance(0.1)
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    create_tables(engine)
    meter = Meter(engine, clock=Shared(mailtrap), sleep=mailtrap.advance, random=lambda: 0.0)
    client = client_of(mailtrap, meter)
    assert client.get_contact(PEOPLE[0]) is None
    assert client.usage_counts.retries == 1
    meter.dispose()


def test_a_429_that_stays_ends_in_an_error() -> None:
    """Bounded, and said to be a matter of time."""
    mailtrap = LocalMailtrap()
    mailtrap.fault("F-01", times=99)
    with pytest.raises(UnavailableError, match="429"):
        client_of(mailtrap).lists()
