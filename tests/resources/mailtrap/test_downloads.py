"""Files that are good, and all the ways in which one is not; hosts that are ours, and all the others."""

import gzip
import io
import os
import traceback
from collections.abc import Callable

import httpx
import pytest

from resources.errors import ConnectorError, MailtrapError, SettingsError
from resources.mailtrap.downloads import (
    MOST_COMPRESSED_BYTES,
    DownloadCorruptError,
    DownloadEmptyError,
    Downloader,
    DownloadError,
    DownloadExpiredError,
    DownloadHtmlError,
    DownloadTooLargeError,
    DownloadTruncatedError,
)
from tests.resources.mailtrap.loopback import RESET, Loopback, Reply, Seen, answer

CSV = b"email,status\r\n" + b"".join(b"canary%d@example.com,subscribed\r\n" % n for n in range(2000))
FILE = gzip.compress(CSV, mtime=0)
SIGNATURE = "X-Amz-Signature=canary-signature"


def downloader(
    *hosts: str, timeout_seconds: float = 5.0, most_bytes: int = MOST_COMPRESSED_BYTES, **more: object
) -> Downloader:
    """A downloader for these hosts."""
    return Downloader(
        hosts, timeout_seconds=timeout_seconds, deadline_seconds=10.0, most_bytes=most_bytes, **more
    )


def fetch(
    reply: Reply | Callable[[Seen], Reply],
    *,
    most_bytes: int = MOST_COMPRESSED_BYTES,
    timeout_seconds: float = 5.0,
) -> bytes:
    """What arrives of a file, when the storage answers so."""
    script = reply if callable(reply) else lambda _seen: reply
    sink = io.BytesIO()
    with Loopback(script).running() as storage:
        host = storage.url.removeprefix("http://")
        found = downloader(host, most_bytes=most_bytes, timeout_seconds=timeout_seconds).download(
            f"{storage.url}/data_exports/export.csv.gz?{SIGNATURE}", sink
        )
    assert found == len(sink.getvalue())
    return sink.getvalue()


GOOD = {
    "as announced": answer(200, FILE),
    "without a length": Reply([b"HTTP/1.1 200 OK\r\n\r\n" + FILE], "close"),
    "in chunks": Reply(
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            *(b"%x\r\n%s\r\n" % (len(part), part) for part in (FILE[:100], FILE[100:])),
            b"0\r\n\r\n",
        ]
    ),
    "called html": answer(200, FILE, headers={"Content-Type": "text/html"}),
    "marked as gzip in transit": answer(200, FILE, headers={"Content-Encoding": "gzip"}),
    "of two members": answer(200, FILE + FILE),
    "padded with zeros": answer(200, FILE + b"\0" * 512),
    "header only": answer(200, gzip.compress(b"email,status\r\n")),
}


@pytest.mark.parametrize("reply", GOOD.values(), ids=GOOD)
def test_a_good_file_comes_whole_and_as_it_is(reply: Reply) -> None:
    """Compressed bytes into the sink, whatever the headers say about them."""
    assert gzip.decompress(fetch(reply)).startswith(b"email,status\r\n")


XML = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
BAD: dict[str, tuple[Reply, type[MailtrapError]]] = {
    "403 as S3 says it": (answer(403, XML), DownloadExpiredError),
    "404": (answer(404, b"gone"), DownloadExpiredError),
    "410": (answer(410, b""), DownloadExpiredError),
    "400 of an expired token": (answer(400, b"<Error><Code>ExpiredToken</Code></Error>"), DownloadExpiredError),
    "expired, with 200": (answer(200, XML), DownloadExpiredError),
    "500": (answer(500, b""), DownloadError),
    "503": (answer(503, b"<Error><Code>SlowDown</Code></Error>"), DownloadError),
    "204": (answer(204, b""), DownloadError),
    "206": (answer(206, FILE[:50]), DownloadError),
    "nobody answers": (RESET, DownloadTruncatedError),
    "a web page": (answer(200, b"<!DOCTYPE html><html>canary@example.com</html>"), DownloadHtmlError),
    "a web page after a byte order mark": (answer(200, b"\xef\xbb\xbf\n<html></html>"), DownloadHtmlError),
    "text": (answer(200, CSV), DownloadCorruptError),
    "JSON": (answer(200, {"error": "x"}), DownloadCorruptError),
    "one byte": (answer(200, b"\x1f"), DownloadCorruptError),
    "nothing": (answer(200, b""), DownloadEmptyError),
    "more announced than sent": (
        Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + FILE], "close"), DownloadTruncatedError),
    "reset in the middle": (
        Reply([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FILE) + FILE[:500], 0.02], "reset"), DownloadTruncatedError),
    "chunks that stop": (
        Reply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + FILE[:100] + b"\r\n"], "close"), DownloadTruncatedError),
    "redirect without a target": (answer(302, b""), DownloadError),
    "redirect in a circle": (answer(302, b"", headers={"Location": "/again"}), DownloadError),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "kind"), BAD.values(), ids=BAD)
def test_a_file_that_is_not_good_says_in_which_way(reply: Reply, kind: type[MailtrapError]) -> None:
    """Each fault has its type, and no message holds the signed link or what was in the file."""
    with pytest.raises(kind) as caught:
        fetch(reply)
    assert type(caught.value) is kind
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert "canary" not in text
    assert caught.value.meaning and caught.value.remedy


def test_size_is_bounded() -> None:
    """Before the disk is full; what it unpacks to is bounded where it is unpacked."""
    with pytest.raises(DownloadTooLargeError, match="more than 100 bytes"):
        fetch(answer(200, FILE), most_bytes=100)


def test_a_file_that_is_broken_inside_is_for_its_reader_to_tell() -> None:
    """It is unpacked once, where it is read: what came is handed on as it came."""
    assert fetch(answer(200, FILE[:-20])) == FILE[:-20]


def test_a_file_that_drips_is_given_up() -> None:
    """A byte now and then would hold a run for ever."""
    noise = gzip.compress(os.urandom(5000))
    drip = [b"HTTP/1.1 200 OK\r\n\r\n", *(part for byte in noise[:60] for part in (bytes([byte]), 0.02))]
    with pytest.raises(DownloadTruncatedError, match="slow"):
        fetch(Reply(drip, "close"), timeout_seconds=0.2)


def test_no_credentials_reach_the_storage() -> None:
    """A fresh client: no token, no cookie, nothing of ours but a name."""
    seen: list[Seen] = []

    def script(request: Seen) -> Reply:
        seen.append(request)
        return answer(200, FILE)

    fetch(script)
    assert not {"authorization", "api-token", "cookie", "referer"} & set(seen[0].headers)


def test_a_redirect_on_the_list_is_followed() -> None:
    """Storages move files about; within the list that is their business."""
    replies = iter([answer(302, b"", headers={"Location": "/elsewhere?" + SIGNATURE}), answer(200, FILE)])
    assert fetch(lambda _: next(replies)) == FILE


def test_a_redirect_off_the_list_is_not_followed() -> None:
    """Not even to this machine, and the place is never asked."""
    with Loopback(lambda _: answer(200, FILE)).running() as inside:
        with pytest.raises(SettingsError, match="not on the list"):
            fetch(answer(302, b"", headers={"Location": inside.url + "/latest/meta-data"}))
        assert inside.connections == 0


HOSTS = (
    "*.s3.amazonaws.com",
    "*.s3.*.amazonaws.com",
    "files.example.com:8443",
    "127.0.0.1:9000",
    "[::1]:9001",
    "any.example:*",
)
ALLOWED = [
    "https://mailsend-us-mailtrap-tmp-uploads.s3.amazonaws.com/data_exports/export.csv.gz",
    "https://bucket.s3.eu-west-1.amazonaws.com/x",
    "https://BUCKET.S3.amazonaws.com:443/x",
    "https://files.example.com:8443/x",
    "http://127.0.0.1:9000/x",
    "http://[::1]:9001/x",
    "https://any.example:1234/x",
]
FORBIDDEN = [
    "http://bucket.s3.amazonaws.com/x",  # not encrypted
    "https://bucket.s3.amazonaws.com:8443/x",
    "https://s3.amazonaws.com.evil.example/x",
    "https://a.b.s3.amazonaws.com/x",  # the wildcard stands for one label
    "https://evil.example/?.s3.amazonaws.com",
    "https://evil.example#.s3.amazonaws.com",
    "https://evil.example\\.s3.amazonaws.com/x",
    "https://user@bucket.s3.amazonaws.com/x",
    "https://bucket.s3.amazonaws.com@evil.example/x",
    "https://files.example.com/x",
    "http://127.0.0.1:9002/x",
    "http://127.0.0.1/x",
    "http://2130706433:9000/x",
    "http://0x7f000001:9000/x",
    "http://127.1:9000/x",
    "http://localhost:9000/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:127.0.0.1]:9000/x",
    "http://[fd00:ec2::254]/x",
    "https://10.0.0.8/x",
    "file:///etc/passwd",
    "ftp://bucket.s3.amazonaws.com/x",
    "gopher://127.0.0.1:9000/x",
    "//bucket.s3.amazonaws.com/x",
    "/data_exports/export.csv.gz",
    "https://",
    "https:///x",
    "not a url",
    "",
    "https://bucket.s3.amazonaws.com.:443/x",
    "https://bücket.s3.amazonaws.com/\x00",
]


def offline(sent: list[str]) -> httpx.MockTransport:
    """A network that only notes who was asked."""

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.host)
        return httpx.Response(200, content=FILE)

    return httpx.MockTransport(handler)


@pytest.mark.parametrize("url", ALLOWED)
def test_hosts_on_the_list_are_asked(url: str) -> None:
    """With and without ports and wildcards."""
    sent: list[str] = []
    found = downloader(*HOSTS, transport=offline(sent)).download(url, io.BytesIO())
    assert found == len(FILE)
    assert len(sent) == 1


@pytest.mark.parametrize("url", FORBIDDEN)
def test_all_other_hosts_are_not(url: str) -> None:
    """Whatever the answer says, we are nobody's messenger inside the network."""
    sent: list[str] = []
    with pytest.raises(SettingsError, match="MAILTRAP_DOWNLOAD_HOSTS"):
        downloader(*HOSTS, transport=offline(sent)).download(url, io.BytesIO())
    assert sent == []


def test_a_bare_name_of_this_machine_means_any_port_of_it() -> None:
    """A local storage has no port that is its own."""
    sent: list[str] = []
    downloader("127.0.0.1", transport=offline(sent)).download("http://127.0.0.1:45678/x", io.BytesIO())
    assert sent == ["127.0.0.1"]


@pytest.mark.parametrize("entry", ["*", "*.*", "https://bucket", "a b", "host:port", ""])
def test_a_list_that_protects_nothing_is_refused(entry: str) -> None:
    """An entry that matches everything, or that is no host."""
    with pytest.raises(SettingsError, match="MAILTRAP_DOWNLOAD_HOSTS"):
        downloader(entry)


def test_a_sink_that_fails_fails_as_itself() -> None:
    """A full disk is not Mailtrap's fault."""

    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    with Loopback(lambda _: answer(200, FILE)).running() as storage, pytest.raises(OSError, match="No space"):
        downloader(storage.url.removeprefix("http://")).download(storage.url + "/x", Full())


def test_every_kind_is_an_error_of_ours() -> None:
    """What to do next follows from the type."""
    assert issubclass(DownloadError, ConnectorError)
    assert DownloadError.outcome == "transient"
    assert DownloadTooLargeError.outcome == "data"
