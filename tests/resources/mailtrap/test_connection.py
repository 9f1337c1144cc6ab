"""TLS, proxies and the words for what goes wrong on the way; what servers do is tried in `test_client.py`."""

import socket
import ssl
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from resources.errors import SettingsError, UnavailableError
from resources.mailtrap import wire
from resources.mailtrap.budget import Unlimited
from resources.mailtrap.client import ClientSettings, MailtrapClient
from resources.mailtrap.connection import Connection, Request, open_client, reason
from resources.mailtrap.retries import Answer, NoAnswer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody has signed, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


class Https:
    """Answers every connection with an empty list, over TLS."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
                with self._context.wrap_socket(plain, server_side=True) as stream:
                    self.received += stream.recv(65536)
                    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
            except ssl.SSLError:
                continue
            except OSError:
                return

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def https(certificate: tuple[Path, Path]):
    """A TLS server on this machine."""
    server = Https(*certificate)
    yield server
    server.close()


def lists(url: str) -> tuple[wire.ContactList, ...]:
    """Ask once."""
    settings = ClientSettings(token="canary-token", account_id=1, url=url, attempts=1, timeout_seconds=5)
    with MailtrapClient(settings, Unlimited(lambda _: None)) as client:
        return client.lists()


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(https: Https) -> None:
    """On this machine too; no token leaves, and the error says why."""
    with pytest.raises(UnavailableError, match="certificate is not trusted"):
        lists(https.url)
    assert https.received == b""


def test_ssl_cert_file_is_honoured(
    https: Https, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to trust a company's own authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert lists(https.url) == ()


def test_an_ssl_cert_file_that_cannot_be_read_is_a_setting_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification is never switched off instead."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        open_client("https://mailtrap.io", {}, timeout_seconds=1)


def test_a_proxy_of_the_environment_is_used_for_others_than_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Companies have proxies; a local Mailtrap is not behind one."""
    seen: list[bytes] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = proxy.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UnavailableError):
        lists("https://mailtrap.io")
    thread.join(5)
    proxy.close()
    assert seen[0].startswith(b"CONNECT mailtrap.io:443 ")
    assert b"canary-token" not in seen[0]


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(-2, "Name canary.example not known"), "the host name is not known"),
        (ConnectionRefusedError(111, "canary"), "the connection was refused"),
        (ssl.SSLError("canary"), "TLS failed"),
        (OSError("canary"), "ConnectError"),
    ],
)
def test_reasons_are_words_of_our_own(cause: Exception, words: str) -> None:
    """The texts of other libraries may hold hosts, paths and addresses."""
    error = httpx.ConnectError("canary")
    error.__cause__ = cause
    assert reason(error) == words


class Taking(httpx.BaseTransport):
    """Takes so many chunks of a body, then answers."""

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Without reading on."""
        body = iter(request.stream)  # type: ignore[arg-type]
        for _ in range(self._chunks):
            next(body, None)
        return httpx.Response(200)


@pytest.mark.parametrize(("chunks", "told"), [(0, 0), (4, 0), (5, 1)])
def test_a_body_is_on_its_way_when_its_last_byte_is(chunks: int, told: int) -> None:
    """And not while the other side still takes it: whoever asks for more has taken the chunk before."""
    moments: list[int] = []
    connection = Connection("http://127.0.0.1:1", {}, timeout_seconds=5, transport=Taking(chunks))
    connection.exchange(Request("POST", "/", body=bytes(1_000_000), uploaded=lambda: moments.append(1)))
    connection.close()
    assert len(moments) == told


@pytest.mark.parametrize("bytes_", [100, 1_000_000])
def test_a_process_that_was_stopped_for_too_long_does_not_end_its_request(bytes_: int) -> None:
    """Another one may have sent the same meanwhile; a body without its last byte is acted on by nobody."""
    moments = iter([0.0, *[1.0] * (bytes_ // 300_000)])
    taken: list[int] = []

    class Counting(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            taken.extend(len(chunk) for chunk in request.stream)  # type: ignore[union-attr]
            return httpx.Response(200)

    connection = Connection(
        "http://127.0.0.1:1",
        {},
        timeout_seconds=5,
        transport=Counting(),
        monotonic=lambda: next(moments, 1_000.0),
    )
    answer = connection.exchange(Request("POST", "/", body=bytes(bytes_)))
    connection.close()
    assert isinstance(answer, NoAnswer) and answer.kind == "unsent"
    assert sum(taken) < bytes_


@pytest.mark.parametrize("bytes_", [100, 1_000_000])
def test_who_is_asked_before_the_end_of_a_body_can_break_it_off(bytes_: int) -> None:
    """Once, when all but its last chunk was taken; then nobody can act on the request."""
    taken: list[int] = []
    asked: list[int] = []

    class Counting(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            taken.extend(len(chunk) for chunk in request.stream)  # type: ignore[union-attr]
            return httpx.Response(200)

    def before_end() -> None:
        asked.append(sum(taken))
        if len(asked) > 1:
            raise RuntimeError("stop")

    connection = Connection("http://127.0.0.1:1", {}, timeout_seconds=5, transport=Counting())
    request = Request("POST", "/", body=bytes(bytes_), before_end=before_end)
    answer = connection.exchange(request)
    assert isinstance(answer, Answer) and sum(taken) == bytes_
    assert len(asked) == 1 and bytes_ - 256 * 1024 <= asked[0] < bytes_
    taken.clear()
    with pytest.raises(RuntimeError, match="stop"):
        connection.exchange(request)
    connection.close()
    assert asked[1] == sum(taken) == asked[0]
