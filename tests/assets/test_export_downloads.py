"""Everything that can be wrong with an export's file or its link, met by a whole taking over real sockets.

Each fault is borne once where another try can help; when it stays, the taking ends in an error that a person can act on,
the former taking is as it was, nothing half done lies in the lake, and the next taking succeeds. A token never leaves for
the storage host, and a stranger's host is never even asked. What each answer means by itself is for `test_downloads`,
`test_gunzip` and `test_exported` to say.
"""

import gzip
import io
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assets.export_jobs import Patience
from assets.exports import LATEST, Taken, Wanted, take_export
from resources.errors import ConnectorError, GuardError, SettingsError, UnavailableError, UnfinishedError
from resources.mailtrap.budget import Unlimited
from resources.mailtrap.client import ClientSettings, MailtrapClient
from tests.assets.world import World
from tests.resources.mailtrap.loopback import CLOSE, RESET, Loopback, Reply, Seen, answer

TIMEOUT_SECONDS = 0.25
SECRET = "canary"  # in every address, every signature and every body that is not an export
MANY = 115_000
"""More than one batch: the first has been written when the end proves to be broken."""


def export(people: int, *, first: int = 0) -> bytes:
    """A CSV of people."""
    rows = "".join(f"{SECRET}{n}@example.com,subscribed\r\n" for n in range(first, first + people))
    return b"email,status\r\n" + rows.encode()


def packed(text: bytes) -> bytes:
    """As Mailtrap packs it."""
    return gzip.compress(text, 1, mtime=0)


def zipped(text: bytes) -> bytes:
    """The other way to pack."""
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w") as file:
            file.writestr("export.csv", text)
        return held.getvalue()


GOOD, LARGE = packed(export(3)), packed(export(MANY))
FLIPPED = (
    LARGE[: len(LARGE) // 2]
    + bytes(each ^ 0x5A for each in LARGE[len(LARGE) // 2 :][:64])
    + LARGE[len(LARGE) // 2 + 64 :]
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
PAGE = f"<!DOCTYPE html><html><body>{SECRET}</body></html>".encode()
NOTICE = f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>{SECRET}</Message></Error>".encode()


@dataclass(slots=True)
class Scene:
    """An account whose exports lie at a storage that does as it is told; and a stranger's host that only listens."""

    world: World
    storage: Loopback
    bystander: Loopback
    honeypot: Loopback
    client: MailtrapClient
    reply: Callable[["Scene", Seen], Reply] = field(default=lambda scene, seen: good(scene, seen))

    def link_to(self, url: str) -> None:
        """Where Mailtrap says that the file is."""
        faults = self.world.mailtrap.faults
        faults.clear()
        answers = {"do": "alter", "set": {"url": url}}
        faults.add({"action": answers, "match": {"method": "GET", "path": r"/exports/\d+$"}, "times": None})

    def take(self) -> Taken:
        """One taking, as an analyst's."""
        clock = self.world.mailtrap.clock
        return take_export(
            self.client,
            self.world.store,
            wanted=Wanted(membership=False),
            patience=Patience(clock=clock.time, sleep=clock.sleep),
        )

    def files(self) -> dict[str, bytes]:
        """All that lies in the lake, also what is not finished."""
        root = self.world.folder / "lake"
        return {
            str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
            for path in root.rglob("*")
        }


def link(url: str) -> str:
    """A link to a file there, signed as S3's are."""
    return f"{url}/data_exports/export.csv.gz?X-Amz-Signature={SECRET}"


@contextmanager
def opened(folder: Path) -> Iterator[Scene]:
    """An account with its hosts, and one whole taking of it."""
    with ExitStack() as stack:
        world = World(folder)
        stack.callback(world.close)
        holder: list[Scene] = []
        storage = stack.enter_context(Loopback(lambda seen: holder[0].reply(holder[0], seen)).running())
        others = answer(200, packed(export(99, first=500)))
        bystander, honeypot = (stack.enter_context(Loopback(lambda _: others).running()) for _ in range(2))
        mailtrap = world.mailtrap
        settings = ClientSettings(
            token=mailtrap.token,
            account_id=mailtrap.account.id,
            download_hosts=tuple(each.url.removeprefix("http://") for each in (storage, bystander)),
            timeout_seconds=TIMEOUT_SECONDS,
            job_deadline_seconds=30.0,
        )
        client = MailtrapClient(
            settings,
            Unlimited(mailtrap.advance),
            transport=mailtrap.transport(),
            clock=mailtrap.clock.time,
            monotonic=lambda: time.monotonic() + mailtrap.clock.time(),  # real for sockets, virtual for jobs
            sleep=mailtrap.advance,
            random=lambda: 0.5,
        )
        stack.callback(client.close)
        made = Scene(world, storage, bystander, honeypot, client)
        holder.append(made)
        made.link_to(link(storage.url))
        assert made.take().rows == 3
        yield made


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all faults: each leaves it as whole as it was."""
    with opened(tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture
def scene(account: Scene) -> Scene:
    """All is well, and nobody has been asked yet."""
    account.reply = good
    account.link_to(link(account.storage.url))
    for host in (account.storage, account.bystander, account.honeypot):
        host.seen.clear()
        host.connections = 0
    return account


def good(_scene: Scene, _seen: Seen) -> Reply:
    """What a storage should answer."""
    return answer(200, GOOD)


def always(reply: Reply) -> Callable[[Scene, Seen], Reply]:
    """The same for everybody."""
    return lambda _scene, _seen: reply


def leads_to(target: Callable[[Scene], str]) -> Callable[[Scene, Seen], Reply]:
    """A redirect."""
    return lambda scene, _seen: answer(302, b"", headers={"Location": target(scene)})


TRANSIENT: dict[str, tuple[Callable[[Scene, Seen], Reply], str]] = {
    "truncated": (always(answer(200, LARGE[:-1000])), "ends in the middle"),
    "one byte short": (always(answer(200, GOOD[:-1])), "ends in the middle"),
    "checksum of another file": (always(answer(200, LARGE[:-8] + GOOD[-8:])), "corrupt"),
    "flipped bits": (always(answer(200, FLIPPED)), "corrupt"),
    "something after the end": (always(answer(200, GOOD + PAGE)), "after its end"),
    "a web page": (always(answer(200, PAGE)), "web page"),
    "JSON": (always(answer(200, {"error": SECRET})), "not a gzip file"),
    "plain CSV": (always(answer(200, export(3))), "not a gzip file"),
    "a zip": (always(answer(200, zipped(export(3)))), "not a gzip file"),
    "packed twice": (always(answer(200, packed(GOOD))), "packed twice"),
    "nothing": (always(answer(200, b"")), "is empty"),
    "nothing, packed": (always(answer(200, packed(b""))), "no header line"),
    "expired, 403": (always(answer(403, NOTICE)), "no longer good"),
    "expired, 404": (always(answer(404, PAGE)), "no longer good"),
    "expired, 410": (always(answer(410, b"")), "no longer good"),
    "500": (always(answer(500, PAGE)), "status 500"),
    "503": (always(answer(503, NOTICE.replace(b"AccessDenied", b"SlowDown"))), "status 503"),
    "no answer": (always(RESET), "broke off after 0 bytes"),
    "closed without an answer": (always(CLOSE), "broke off after 0 bytes"),
    "a stall": (always(Reply([HEAD % len(GOOD) + GOOD[:20], 0.5], "close")), "broke off after 20 bytes"),
    "a drip": (
        always(Reply([HEAD % len(GOOD), *(part for each in GOOD[:40] for part in (bytes([each]), 0.02))], "close")),
        "too slow",
    ),
    "cut": (always(Reply([HEAD % len(LARGE) + LARGE[:50_000], 0.02], "reset")), "broke off after"),
    "more announced than sent": (always(Reply([HEAD % 999_999 + GOOD], "close")), "broke off after"),
    "less announced than sent": (always(Reply([HEAD % (len(GOOD) - 9) + GOOD], "close")), "ends in the middle"),
    "a redirect in a circle": (leads_to(lambda scene: link(scene.storage.url)), "More than 3 redirects"),
    "a redirect to nowhere": (always(answer(302, b"")), "leads nowhere"),
    "rows of another width": (
        always(answer(200, packed(export(5) + f"{SECRET}@example.com\r\n".encode() * 400))),
        "more or fewer cells",
    ),
    "a line without end": (
        always(answer(200, packed(export(5) + b'"' + b"x" * 3_000_000 + b'"\r\n'))),
        "longer than 1 MB",
    ),
    "no headers": (always(answer(200, packed(export(3).partition(b"\n")[2]))), "begins with a person"),
    "an open quotation": (always(answer(200, packed(export(5) + b'"x'))), "inside a quoted cell"),
}  # fmt: skip
LASTING: dict[str, tuple[Callable[[Scene, Seen], Reply], type[ConnectorError], str]] = {
    "a bomb": (always(answer(200, packed(export(1)) + gzip.compress(b"\n" * 10_000_000) * 8)), GuardError, "inflates to more than"),
    "no e-mail column": (
        always(answer(200, packed(b"name,phone\r\nJane,1\r\n"))), GuardError, "no e-mail column.*'name', 'phone'"),
    "a redirect to a stranger": (leads_to(lambda scene: link(scene.honeypot.url)), SettingsError, "not on the list"),
    "a redirect to plain http": (leads_to(lambda _: link("http://bucket.s3.amazonaws.com")), SettingsError, "not on the list"),
    "a redirect to another port here": (leads_to(lambda _: "http://127.0.0.1:1/x"), SettingsError, "not on the list"),
    "a redirect to the cloud's secrets": (
        leads_to(lambda _: "http://169.254.169.254/latest/meta-data/"), SettingsError, "169.254.169.254"),
    "a redirect to a file": (leads_to(lambda _: "file:///etc/passwd"), SettingsError, "not on the list"),
}  # fmt: skip


def fails(scene: Scene, kind: type[ConnectorError], words: str) -> ConnectorError:
    """A taking that ends in this error, and leaves everything as it was."""
    before = scene.files()
    with pytest.raises(kind, match=words) as caught:
        scene.take()
    assert scene.files() == before
    error = caught.value
    assert type(error) is kind and error.happened and error.meaning and error.remedy
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
    assert SECRET not in told and scene.world.mailtrap.token not in told
    return error


def succeeds(scene: Scene) -> None:
    """The next taking, of other people, is whole and the latest."""
    former = scene.world.store.lake.read_bytes(LATEST)
    scene.reply = always(answer(200, packed(export(5, first=10))))
    scene.link_to(link(scene.storage.url))
    scene.world.mailtrap.advance(5.0)
    assert scene.take().rows == 5
    assert scene.world.store.lake.rows(LATEST) == 5 and scene.world.store.lake.read_bytes(LATEST) != former


def nobody_got_the_token(scene: Scene) -> None:
    """Neither in a header nor in a URL; and a stranger was never asked at all."""
    assert (scene.honeypot.connections, scene.honeypot.seen) == (0, [])
    for request in [*scene.storage.seen, *scene.bystander.seen]:
        assert not {"authorization", "api-token", "cookie", "referer"} & set(request.headers)
        assert scene.world.mailtrap.token not in f"{request.path} {request.headers}"


@pytest.mark.parametrize(("reply", "words"), TRANSIENT.values(), ids=TRANSIENT)
def test_a_damage_that_passes_is_borne_and_one_that_stays_changes_nothing(
    scene: Scene, reply: Callable[[Scene, Seen], Reply], words: str
) -> None:
    """Once: another try is made. Always: four tries, an error, and all is as it was."""
    answers = iter([reply])
    scene.reply = lambda scene, seen: next(answers, good)(scene, seen)
    assert scene.take().rows == 3
    scene.reply = reply
    error = fails(scene, UnavailableError, words)
    assert "in 4 tries" in error.happened
    succeeds(scene)
    nobody_got_the_token(scene)


@pytest.mark.parametrize(("reply", "kind", "words"), LASTING.values(), ids=LASTING)
def test_what_no_other_try_would_mend_stops_at_once(
    scene: Scene, reply: Callable[[Scene, Seen], Reply], kind: type[ConnectorError], words: str
) -> None:
    """One request, an error, and all is as it was."""
    scene.reply = reply
    asked = len(scene.storage.seen)
    fails(scene, kind, words)
    assert len(scene.storage.seen) == asked + 1
    succeeds(scene)
    nobody_got_the_token(scene)


@pytest.mark.parametrize(
    "url",
    [
        "honeypot",
        "https://bucket.s3.amazonaws.com.evil.example/x?canary",
        "http://bucket.s3.amazonaws.com/x?canary",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ],
)
def test_a_link_to_a_strange_place_is_not_followed(scene: Scene, url: str) -> None:
    """Whatever an answer says; the storage is not asked either."""
    scene.link_to(link(scene.honeypot.url) if url == "honeypot" else url)
    asked = len(scene.storage.seen)
    fails(scene, SettingsError, "not on the list")
    assert len(scene.storage.seen) == asked
    succeeds(scene)
    nobody_got_the_token(scene)


def test_a_redirect_to_another_host_on_the_list_is_followed_without_a_token(scene: Scene) -> None:
    """Storages move files about; credentials stay at home."""
    scene.reply = leads_to(lambda scene: link(scene.bystander.url))
    assert scene.take().rows == 99
    assert len(scene.bystander.seen) == 1
    nobody_got_the_token(scene)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"fails": True}, UnavailableError, "gave up on export"),
        ({"stuck": "created"}, UnfinishedError, "not finished after"),
        ({"stuck": "started"}, UnfinishedError, "not finished after"),
    ],
    ids=["failed", "never begun", "never ended"],
)
def test_an_export_that_comes_to_nothing_changes_nothing(
    tmp_path: Path, fault: dict[str, Any], kind: type[ConnectorError], words: str
) -> None:
    """It is given up at a deadline, and no file is asked for; once the slot is free, the next taking succeeds."""
    with opened(tmp_path) as scene:
        action = {"do": "job", **fault}
        match = {"method": "POST", "path": r"/exports$"}
        scene.world.mailtrap.faults.add({"action": action, "match": match, "times": None})
        asked = len(scene.storage.seen)
        fails(scene, kind, words)
        assert len(scene.storage.seen) == asked
        scene.world.mailtrap.account.exports.clear()  # as Mailtrap does with what is stuck, one day
        scene.world.mailtrap.advance(7200.0)
        succeeds(scene)
        nobody_got_the_token(scene)
