"""Nothing personal and no secret leaves the lake: canaries planted everywhere, then looked for everywhere.

The commands run as a person would run them, in a process of their own, on a real Dagster instance and a local Mailtrap
that misbehaves, under a umask of 000. Afterwards every file, database (its WAL and free pages too), log and answer is
searched for what was planted: as it is, percent-encoded, in base64, in hex, and inside gzip. Parquet in the lake is the
one place where people may be, and what a person had written by `--out`. `make test` types a few commands; `make proof`
types all of them, and asks Dagster's GraphQL too.
"""

import base64
import gzip
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import duckdb
import pyarrow.parquet as pq
import pytest

from resources.local_mailtrap import LocalMailtrap, real_clock

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "canarytoken0123456789abcdef012345"
KEY = "canarykey-0123456789-0123456789-01"
PEOPLE = {
    "told": "canary.told@people.example",
    "no_consent": "canary.silent@people.example",
    "withdrawn": "canary.leaver@people.example",
    "refused": "canary.refused@people.example",
    "malformed": "canary.malformed@@people.example",
    "erased": "canary.erased@people.example",
    "asked": "canary.asked@people.example",
}
NAMES = tuple(f"Canaryname{who}" for who in PEOPLE)
CANARIES = (TOKEN, KEY, *PEOPLE.values(), *NAMES)
SYNC = """
sync: news
source: {table: people, key: id, updated_at: changed_at}
email: email
consent: {granted: agreed, withdrawn: left_at, evidence: evidence}
fields: {first_name: {column: name}, age: {column: age, type: integer}}
lists: {include: [News]}
create: true
guards: {max_rejected: 100%, max_gone: 100%}
"""
ORDERS = """
sync: orders
source: {table: orders}
email: email
consent: {granted: agreed}
events: {name: order_placed, key: id, params: {note: name}}
guards: {max_rejected: 100%}
"""
ASKED = """
sync: asked
source: {table: asked}
email: email
unsubscribes: {action: delete}
guards: {max_gone: 100%}
"""
STEPS = """
import json, os, sys
os.umask(0)
import duckdb
from pipelines.command import main
for kind, *words in json.loads(sys.argv[1]):
    if kind == "sql":
        with duckdb.connect("warehouse.duckdb") as connection:
            connection.execute(words[0])
    elif kind == "env":
        os.environ[words[0]] = words[1]
    else:
        print("exit code", main(words), flush=True)
"""

QUICK = {
    "import_start_seconds": 0.0,
    "export_start_seconds": 0.0,
    "token_limit": 1_000_000,
    "contacts_limit": 1_000_000,
    "suppressions_limit": 1_000_000,
}
"""So many commands ask for suppressions more often than the API allows in a minute, and would wait for the next one."""
WRONG_TOKEN = ["env", "MAILTRAP_API_TOKEN", TOKEN + "x"]
FEW = (
    ["type", "sync", "news", "--json"],
    ["type", "export", "--out", "out/people.parquet"],
    ["type", "drift", "news", "--json"],
    ["type", "erase", "--file", "erase.txt", "--json"],
    WRONG_TOKEN,
    ["type", "erase", "--file", "erase.txt", "--debug"],
)
ALL = (
    ["type", "check", "news"],
    ["type", "plan", "news", "--json"],
    ["type", "plan", "news", "--out", "out/plan.json", "--picture", "out/plan.png"],
    ["type", "sync", "news", "--json"],
    ["sql", f"update people set left_at = now() where email = '{PEOPLE['withdrawn']}'"],
    ["type", "sync", "news"],
    ["type", "sync", "news", "--debug"],
    ["type", "sync", "orders", "--json"],
    ["type", "sync", "orders", "--debug"],
    ["type", "export", "--json", "--out", "out/people.parquet"],
    ["type", "drift", "news", "--json"],
    ["sql", f"insert into asked values ('{PEOPLE['asked']}'), ('canary.malformed@@people.example')"],
    ["type", "sync", "asked", "--debug"],
    ["type", "sync", "asked", "--json"],
    ["type", "erase", "--file", "erase.txt", "--json"],
    ["type", "erase", "--file", PEOPLE["erased"]],
    ["type", "explain", "canary.malformed@@people.example"],
    ["sql", "alter table people drop column age"],
    ["type", "sync", "news"],
    ["type", "drift", "news"],
    ["type", "erase", "--again", "--json"],
    ["type", "metrics"],
    WRONG_TOKEN,
    ["type", "check"],
    ["type", "export", "--debug"],
    ["type", "erase", "--file", "erase.txt", "--debug"],
)


@dataclass(frozen=True)
class Ran:
    """What is left after the commands have run."""

    folder: Path
    said: str
    mailtrap: LocalMailtrap
    has_typed_all: bool


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["few", pytest.param("all", marks=pytest.mark.proof)])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A few commands or all of them, and ways in which they fail that see people: refusals, lost columns, a wrong token."""
    folder, typed_all = tmp_path_factory.mktemp("hygiene"), request.param == "all"
    make_warehouse(folder / "warehouse.duckdb")
    (folder / "syncs").mkdir()
    for name, text in (("news", SYNC), ("orders", ORDERS), ("asked", ASKED)):
        (folder / "syncs" / f"{name}.yaml").write_text(text)
    for name in ("out", "tmp"):
        (folder / name).mkdir(mode=0o700)
    (folder / "erase.txt").write_text(f"{PEOPLE['erased']}\nno address, canary.malformed@@people.example\n")
    mailtrap = LocalMailtrap(clock=real_clock(), token=TOKEN)
    mailtrap.turn(**QUICK)
    with mailtrap.running():
        misbehave(mailtrap, typed_all=typed_all)
        said = run(folder, environ_of(folder, mailtrap), *(ALL if typed_all else FEW))
        yield Ran(folder, said, mailtrap, typed_all)


def misbehave(mailtrap: LocalMailtrap, *, typed_all: bool) -> None:
    """Refuse with words that name people and the token, and lose an answer."""
    refused = {"email": [f"{PEOPLE['refused']} is invalid"]}
    mailtrap.fault(
        action={"do": "refuse_rows", "emails": [PEOPLE["refused"]], "errors": refused},
        match={"path": "/contacts/imports$"},
    )
    leak = {"errors": [f"{PEOPLE['told']} and {TOKEN} are not welcome, says Canarynametold"]}
    mailtrap.fault(action={"do": "answer", "status": 422, "json": leak}, match={"path": "/events$"})
    if typed_all:
        mailtrap.fault(action={"do": "answer", "status": 422, "json": leak}, match={"method": "PATCH"})
        mailtrap.fault(action={"do": "reset_after"}, match={"path": "/events$", "nth": [2]})
        mailtrap.fault(action={"do": "answer", "status": 422, "json": leak}, match={"method": "DELETE"})


def make_warehouse(path: Path) -> None:
    """People of every kind, and some ordinary ones."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table people (id text, email text, agreed boolean, left_at timestamptz, evidence text, name text, "
            "age text, changed_at timestamptz)"
        )
        rows = [
            (
                f"c{n}",
                email,
                None if who == "no_consent" else True,
                None,
                f"form of {email}",
                f"Canaryname{who}",
                "30",
            )
            for n, (who, email) in enumerate(PEOPLE.items())
        ]
        rows += [
            (f"p{n}", f"person{n}@people.example", True, None, "form", "Ordinary", "31") for n in range(20)
        ]
        rows += [("bad", "bad-age@people.example", True, None, "form", "Ordinary", "Canarynametold")]
        connection.execute("create table asked (email text)")
        connection.executemany(
            "insert into people values (?, ?, ?, ?, ?, ?, ?, timestamp '2026-01-01')", rows
        )
        connection.execute("create table orders as select * from people where id <> 'bad'")


def environ_of(folder: Path, mailtrap: LocalMailtrap) -> dict[str, str]:
    """The settings of an operator, and nothing of the caller's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONTACTS_", "MAILTRAP_", "DAGSTER_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "CONTACTS_HOME": str(folder / "home"),
        "CONTACTS_KEY": KEY,
        "CONTACTS_SYNCS": str(folder / "syncs"),
        "CONTACTS_WAREHOUSE": f"duckdb:///{folder / 'warehouse.duckdb'}",
        "CONTACTS_POLL_SECONDS": "0.05",
        "DAGSTER_HOME": str(folder / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(folder / "tmp"),
        "MAILTRAP_API_TOKEN": TOKEN,
        "MAILTRAP_API_URL": mailtrap.api_origin,
        "MAILTRAP_DOWNLOAD_HOSTS": urlsplit(mailtrap.storage_origin).netloc,
        "MAILTRAP_CONTACTS_LIMIT": "20000/60",
        "MAILTRAP_TOKEN_LIMIT": "20000/10",
        "MAILTRAP_SUPPRESSIONS_LIMIT": "2000/60",
    }


def run(folder: Path, environ: Mapping[str, str], *steps: list[str]) -> str:
    """Type commands one after the other, in a process of their own; all that they said."""
    (folder / "dagster").mkdir(exist_ok=True)
    words = [sys.executable, "-c", STEPS, json.dumps(steps)]
    done = subprocess.run(
        words, env=dict(environ), cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    said = done.stdout + done.stderr
    assert done.stdout.count("exit code") == sum(step[0] == "type" for step in steps), said
    return said


def spellings(canary: str) -> Iterator[bytes]:
    """The ways in which a text can stand in a file."""
    raw = canary.encode()
    yield raw
    yield quote(canary, safe="").encode()
    yield raw.hex().encode()
    yield canary.encode("utf-16-le")
    for shift in range(3):  # base64 depends on where in a text it begins
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[4 if shift else 0 : -4]


def found_in(content: bytes) -> set[str]:
    """The canaries that stand in some bytes."""
    if content[:2] == b"\x1f\x8b":
        content += gzip.decompress(content)
    lowered = content.lower()
    return {
        canary
        for canary in CANARIES
        if canary.lower().encode() in lowered or any(each in content for each in spellings(canary))
    }


def searched(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every file below a folder with what was found in it; of Parquet only what is said about the columns."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.suffix == ".parquet":
            facts = pq.ParquetFile(path).metadata.metadata or {}
            yield path, found_in(b"".join([*facts.keys(), *facts.values(), path.name.encode()]))
        else:
            yield path, found_in(path.read_bytes() + path.name.encode())


def test_the_canaries_were_planted(ran: Ran) -> None:
    """The test would prove nothing if nobody had been told, refused, unsubscribed or erased."""
    contacts = {each["email"]: each for each in ran.mailtrap.dump()["accounts"][0]["contacts"]}
    assert PEOPLE["told"] in contacts
    assert contacts[PEOPLE["withdrawn"]]["status"] == ("unsubscribed" if ran.has_typed_all else "subscribed")
    assert PEOPLE["erased"] not in contacts
    assert PEOPLE["no_consent"] not in contacts
    parquet = b"".join(
        str(pq.ParquetFile(path).read().to_pylist()).encode()
        for path in (ran.folder / "home" / "lake").rglob("*.parquet")
    )
    assert PEOPLE["told"].encode() in parquet


def test_dagster_keeps_nobody_and_no_secret(ran: Ran) -> None:
    """Runs, events, logs, schedules: everything below DAGSTER_HOME."""
    assert {str(path): found for path, found in searched(ran.folder / "dagster") if found} == {}


def test_outside_the_rows_of_the_lake_there_is_nobody(ran: Ran) -> None:
    """The journal, summaries, receipts, tombstones, names of files, and what Parquet notes about itself."""
    assert {str(path): found for path, found in searched(ran.folder / "home") if found} == {}


def test_what_the_commands_said_names_nobody(ran: Ran) -> None:
    """Output, messages, and tracebacks of --debug."""
    assert found_in(ran.said.encode()) == set()


def test_an_erased_person_is_nowhere(ran: Ran) -> None:
    """Not in any table either, though the warehouse still has them and a sync has run since."""
    left = [
        str(path)
        for path in (ran.folder / "home").rglob("*.parquet")
        if PEOPLE["erased"] in str(pq.ParquetFile(path).read().to_pylist()).lower()
    ]
    assert left == []


def test_no_request_resubscribes_anybody(ran: Ran) -> None:
    """`unsubscribed: false` is in no body that Mailtrap ever got."""
    assert not any("resubscribe" in str(each.as_dict()) for each in ran.mailtrap.journal.entries)


@pytest.mark.parametrize(
    "hide", [str.upper, quote, lambda text: base64.b64encode(b"a: " + text.encode()).decode()]
)
def test_a_hidden_canary_would_be_found(hide: Callable[[str], str]) -> None:
    """A search that finds nothing proves something only if it would have found it."""
    assert found_in(b"x" + hide(PEOPLE["told"]).encode() + b"y") == {PEOPLE["told"]}


def test_files_are_for_their_owner_alone(ran: Ran) -> None:
    """0600 and 0700, though the umask forbids nothing: what is kept, what was asked for, and what is left over."""
    open_to_others = [
        f"{path} {path.stat().st_mode & 0o777:o}"
        for folder in ("home", "out", "tmp")
        for path in (ran.folder / folder).rglob("*")
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_nobody_is_left_in_temporary_files(ran: Ran) -> None:
    """Neither what DuckDB spilled, nor a download, nor what a picture is made of."""
    assert {str(path): found for path, found in searched(ran.folder / "tmp") if found} == {}


def test_a_plan_and_its_picture_name_nobody(ran: Ran) -> None:
    """They are shown around; only an export that was asked for holds people."""
    found = {path.name: words for path, words in searched(ran.folder / "out") if words}
    assert found == {}
    plan = {"plan.json", "plan.png"} if ran.has_typed_all else set()
    assert {path.name for path in (ran.folder / "out").iterdir()} == {"people.parquet", *plan}


RUNS = "{ runsOrError { ... on Runs { results { runId runConfigYaml tags { key value } } } } }"
LOGS = """query($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection { events {
    __typename ... on MessageEvent { message }
    ... on MaterializationEvent { metadataEntries { ...shown } }
    ... on ExecutionStepOutputEvent { metadataEntries { ...shown } }
    ... on AssetCheckEvaluationEvent { evaluation { checkName description metadataEntries { ...shown } } }
    ... on ErrorEvent { error { message stack className causes { message stack } errorChain { error { message } } } }
    } } } }
fragment shown on MetadataEntry { label description ... on TextMetadataEntry { text } ... on UrlMetadataEntry { url }
    ... on PathMetadataEntry { path } ... on JsonMetadataEntry { jsonString } ... on MarkdownMetadataEntry { mdStr }
    ... on TableMetadataEntry { table { records } } }"""
ASSETS = """{ assetNodes { assetKey { path } description tags { key value } configField { configType { key } }
    assetMaterializations(limit: 100) { runId description tags { key value } metadataEntries { label
        ... on TextMetadataEntry { text } ... on PathMetadataEntry { path } ... on JsonMetadataEntry { jsonString }
        ... on MarkdownMetadataEntry { mdStr } ... on TableMetadataEntry { table { records } } } } } }"""
RESOURCES = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name
    allTopLevelResourceDetails { name description configuredValues { key value type }
        configFields { name description defaultValueAsJson } } } } } }"""


@pytest.mark.proof
@pytest.mark.parametrize("ran", ["all"], indirect=True, scope="module")
def test_no_answer_of_dagster_s_graphql_names_anybody(ran: Ran) -> None:
    """Runs, their config, logs and errors; assets and their metadata; resources and their settings: what the UI shows."""
    environ = {**environ_of(ran.folder, ran.mailtrap), "MAILTRAP_API_TOKEN": TOKEN}
    with webserver(ran.folder, environ) as ask:
        answers = [ask(RUNS), ask(ASSETS), ask(RESOURCES)]
        runs = [each["runId"] for each in json.loads(answers[0])["data"]["runsOrError"]["results"]]
        assert len(runs) > 8, "nothing is proven by asking about nothing"
        answers += [ask(LOGS, run=run) for run in runs]
    assert [each[:300] for each in answers if '"errors"' in each] == []
    assert [found_in(each.encode()) for each in answers if found_in(each.encode())] == []
    assert "MAILTRAP_API_TOKEN" in answers[2], "a secret is shown by its name alone"


@contextmanager
def webserver(folder: Path, environ: Mapping[str, str]) -> Iterator[Callable[..., str]]:
    """Dagster's own, on the instance of the commands; gives a way to ask it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "dagster_webserver",
        "-h",
        "127.0.0.1",
        "-p",
        f"{port}",
        "-m",
        "pipelines.definitions",
    ]
    with (folder / "webserver.log").open("wb") as log:
        server = subprocess.Popen(words, env=dict(environ), cwd=folder, stdout=log, stderr=log)

    def ask(query: str, **variables: str) -> str:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(answer.read().decode())

    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                ask("{ version }")
                break
            except (OSError, urllib.error.URLError):
                assert server.poll() is None and time.monotonic() < deadline, "no webserver"
                time.sleep(0.5)
        yield ask
    finally:
        server.terminate()
        server.wait(30)
