"""What a webhook is told, and what it is never told."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import httpx
import pytest

from assets import checks
from assets.account import SUPPRESSIONS
from pipelines.alerts import about_checks, alert_on_failure, alert_on_warnings
from resources.alerts.webhook import Webhook
from tests.pipelines.syncing_world import SyncingWorld, syncing_world

URL = "https://hooks.example.org/services/T0/B0/secret"


class Chat:
    """A chat that keeps what it is told, or is down."""

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        self.told: list[str] = []

    def webhook(self) -> Webhook:
        """The webhook that ends here."""
        return Webhook(URL, transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.told.append(request.content.decode())
        return httpx.Response(self.status)


def failed_run(world: SyncingWorld, chat: Chat) -> str | None:
    """A run whose import is refused, and the tick of the sensor that hears of it."""
    world.mailtrap.fault(action={"do": "answer", "status": 401}, match={"path": "/contacts/imports$"})
    return tell_of_failure(world, chat.webhook())


def tell_of_failure(world: SyncingWorld, webhook: Webhook) -> str | None:
    """A run that fails, and the tick of the sensor that hears of it; says why it told nothing."""
    result, run = ran(world, "sync_whole")
    event = next(each for each in result.all_events if each.is_failure and not each.is_step_event)
    sensor = alert_on_failure()
    context = dg.build_run_status_sensor_context(
        sensor.name, event, world.instance, run, resources={"alerts": webhook}
    ).for_run_failure()
    answer = sensor(context)
    return answer.skip_message if isinstance(answer, dg.SkipReason) else None


def tell_of_success(world: SyncingWorld, webhook: Webhook, *, job: str = "sync_whole") -> str | None:
    """A run that succeeds, and the tick of the sensor that hears of its warnings; says why it told nothing."""
    result, run = ran(world, job)
    event = next(each for each in result.all_events if each.event_type is dg.DagsterEventType.RUN_SUCCESS)
    sensor = alert_on_warnings()
    context = dg.build_run_status_sensor_context(
        sensor.name, event, world.instance, run, resources={"alerts": webhook}
    )
    answer = sensor(context)
    return answer.skip_message if isinstance(answer, dg.SkipReason) else None


def ran(world: SyncingWorld, job: str) -> tuple[dg.ExecuteInProcessResult, dg.DagsterRun]:
    """A whole run, and what Dagster's storage has of it."""
    result = world.run(job)
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    return result, run


def test_a_failed_run_is_told_with_its_remedy_and_without_people(tmp_path: Path) -> None:
    """The message says what happened and what to do, names the run, and holds no address, no token, no URL."""
    chat = Chat()
    with syncing_world(tmp_path, people_a_day=1) as world:
        assert failed_run(world, chat) is None
        token = world.mailtrap.token
    [text] = chat.told
    message = json.loads(text)
    assert message["text"].startswith("sync_whole failed: ")
    assert "*sync:* whole" in text and "*outcome:* config" in text and "*run:*" in text
    assert "@" not in text and token not in text and "Name1" not in text


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_is_down_harms_nothing(tmp_path: Path, status: int) -> None:
    """The tick ends with a sentence, and the URL, which is a secret, is not in it."""
    with syncing_world(tmp_path, people_a_day=1) as world:
        words = failed_run(world, Chat(status=status))
    assert words is not None and f"HTTP {status}" in words and "secret" not in words


def test_without_a_webhook_nothing_is_told() -> None:
    """No URL, no request."""
    assert Webhook(None).post(about_checks(dg.DagsterRun("sync_whole"), [])) is False
    assert "secret" not in repr(Webhook(URL))


def test_a_check_that_warned_is_told(tmp_path: Path) -> None:
    """A run that succeeded although a check did not pass is worth a message; one without is not."""
    chat = Chat()

    @dg.asset(check_specs=[dg.AssetCheckSpec("enough", asset="table")], name="table")
    def table() -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it
        warned = dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description="3 are left."
        )
        return dg.MaterializeResult(check_results=[warned])

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([table], instance=instance)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        event = next(each for each in result.all_events if each.event_type is dg.DagsterEventType.RUN_SUCCESS)
        sensor = alert_on_warnings()
        context = dg.build_run_status_sensor_context(
            sensor.name, event, instance, run, resources={"alerts": chat.webhook()}
        )
        assert sensor(context) is None
    [text] = chat.told
    assert "1 check did not pass" in text and "table: enough. 3 are left." in text


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A webhook on loopback that takes everything: its URL, and what it was posted."""
    posted: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep the body."""
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook", posted
        finally:
            server.shutdown()
            thread.join()


def refuse_the_token(world: SyncingWorld) -> None:
    """Mailtrap says 401."""
    world.mailtrap.fault(action={"do": "answer", "status": 401}, match={"path": "/contacts/lists$"})


def refuse_suppressions(world: SyncingWorld) -> None:
    """Nobody can be asked who is suppressed."""
    world.mailtrap.fault(action={"do": "answer", "status": 403}, match={"path": "/suppressions$"})


def break_the_addresses(world: SyncingWorld) -> None:
    """A source whose column of addresses was filled with something else."""
    world.change("update people set email = id")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (refuse_the_token, ("config", "token")),
        (refuse_suppressions, ("config", "suppressions")),
        (break_the_addresses, ("data", "few_rows_are_rejected")),
    ],
    ids=["token refused", "suppressions not to be had", "rejected share"],
)
def test_what_stopped_a_run_arrives_at_the_webhook(
    tmp_path: Path, trouble: Callable[[SyncingWorld], None], words: tuple[str, str]
) -> None:
    """Really posted, as Slack's JSON, with the outcome and what it was about; nothing was sent, nobody is named."""
    outcome, about = words
    with listening() as (url, posted), syncing_world(tmp_path, people_a_day=1) as world:
        trouble(world)
        tell_of_failure(world, Webhook(url))
        assert world.imports() == []
    [body] = posted
    message = json.loads(body)
    assert set(message) == {"text", "blocks"} and f"*outcome:* {outcome}" in body.decode()
    assert about in message["text"], message["text"]
    assert "@" not in body.decode() and "Name1" not in body.decode()


@pytest.mark.proof
def test_what_is_unusual_arrives_at_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole runs of one sync: nothing unusual says nothing; slow, everything again and why, fewer rows, stale knowledge."""
    monkeypatch.setattr(checks, "SECONDS_SLACK", 0.5)  # thirty seconds would be half a minute of this test
    with listening() as (url, posted), syncing_world(tmp_path, people_a_day=60) as world:
        webhook = Webhook(url)

        def told(job: str = "sync_whole", *, change: str = "") -> str:
            if change:
                world.change(f"update people set {change}, updated_at = updated_at + interval 1 minute")
            posted.clear()
            why = tell_of_success(world, webhook, job=job)
            assert (why is None) == bool(posted), why
            return as_read(posted)

        for run in range(4):
            assert told(change=f"first_name = if(id = 'p1', 'Name1-{run}', first_name)") == ""
        world.mailtrap.turn(import_start_seconds=2.5)
        assert "as_fast_as_usual. A payload took 3 s; usual are" in told(change="first_name = id || 'x'")
        world.mailtrap.turn(import_start_seconds=0)
        words = told("full_resync_whole")
        assert "only_changes_are_sent. 240 of 240" in words and "a full resync was asked for" in words
        assert "the values of nearly everybody changed" in told(change="first_name = 'Name1' || id")
        world.change("delete from people where id not like 'p1%'")
        assert "as_many_rows_as_usual. " in (words := told()) and "usual are 240" in words

        posted.clear()
        age_the_suppressions(world, hours=30)
        fault = {"do": "answer", "status": 503}
        world.mailtrap.fault(action=fault, match={"path": "/suppressions$"}, times=None)
        tell_of_failure(world, webhook)
        words = as_read(posted)
        assert "could not be refreshed, and it is 30.0 hours old" in words and "*outcome:* transient" in words


def as_read(posted: list[bytes]) -> str:
    """What people read of the one message, if there was any; in Slack's shape, and nobody is named."""
    if not posted:
        return ""
    [body] = posted
    message = json.loads(body)
    assert set(message) == {"text", "blocks"} and "@" not in body.decode() and "Name1" not in body.decode()
    return "\n".join([message["text"], *(each["text"]["text"] for each in message["blocks"])])


def age_the_suppressions(world: SyncingWorld, *, hours: float) -> None:
    """As if they had been read so long ago."""
    stamp = SUPPRESSIONS.replace("latest.parquet", "freshness.json")
    with world.store() as store:
        found = json.loads(store.lake.read_bytes(stamp))
        found["taken_at"] = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        store.lake.write_bytes(stamp, json.dumps(found).encode())
