"""One request, one answer: httpx between fixed borders.

Belongs here: TLS, proxies, the deadline of a whole exchange, bounded reading, silence in the log, and the one
distinction that everything else rests on: whether a request that got no answer can have been received. Not here:
retries, budgets, and what an answer means. No exception of httpx leaves this file.
"""

import logging
import os
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from resources.errors import SettingsError
from resources.mailtrap.retries import Answer, NoAnswer
from resources.settings import is_loopback

Piece = bytes | memoryview
Body = Piece | Sequence[Piece]
MOST_ANSWER_BYTES = 64 * 1024 * 1024
MOST_COMPLAINT_BYTES = 256 * 1024
_CHUNK_BYTES = 256 * 1024
_SLOWEST_UPLOAD_BYTES_PER_SECOND = 100_000
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 2.0
_HEADERS = {"User-Agent": "mailtrap-contacts", "Accept": "*/*", "Accept-Encoding": "identity"}
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; its path may hold an address and its body does, so that neither shows in a repr."""

    method: str
    path: str = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    before_end: Callable[[], None] | None = field(default=None, repr=False)
    """Called before the last of the body goes out. What it raises breaks the request off: nobody can act on it."""
    uploaded: Callable[[], None] | None = field(default=None, repr=False)
    """Called when the whole body is on its way, and all that is left is to wait for the answer."""


class Connection:
    """An origin that we talk to, over one pool of connections."""

    def __init__(
        self,
        origin: str,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        transport: httpx.BaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._client = open_client(
            origin, headers, timeout_seconds=timeout_seconds, transport=transport, monotonic=monotonic
        )

    def longest_seconds(self, body: Body | None) -> float:
        """The longest that an exchange can take: the timeout, and the time that its body needs."""
        return self._timeout_seconds + sum(map(len, _pieces(body))) / _SLOWEST_UPLOAD_BYTES_PER_SECOND

    def exchange(self, request: Request) -> Answer | NoAnswer:
        """Send once. Never raises for what the network or the server does."""
        deadline = self._monotonic() + self.longest_seconds(request.body)
        upload = _Upload(request, too_late=lambda: self._monotonic() > deadline)
        with quiet(), within(deadline):
            try:
                return self._send(request, upload, deadline)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
                return NoAnswer("unsent", reason(error))
            except (
                httpx.HTTPError,
                httpx.StreamError,
                httpx.InvalidURL,
                zlib.error,
                OSError,
                _TooSlow,
            ) as error:
                return NoAnswer("unsent" if upload.incomplete else "lost", reason(error))
            except _TooMuch:
                return NoAnswer("lost", "an answer beyond every bound")

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _send(self, request: Request, upload: "_Upload", deadline: float) -> Answer | NoAnswer:
        has_body = request.body is not None
        about_body = {"Content-Type": "application/json", "Content-Length": str(len(upload))}
        built = self._client.build_request(
            request.method,
            self.origin + request.path,
            params=dict(request.query) or None,
            content=upload if has_body else None,
            headers=about_body if has_body else {},
        )
        response = self._client.send(built, stream=True, follow_redirects=False)
        try:
            whole = response.status_code < 300 or response.status_code == 422
            most = MOST_ANSWER_BYTES if whole else MOST_COMPLAINT_BYTES
            body = self._read(response, most=most, whole=whole, deadline=deadline)
            return Answer(response.status_code, dict(response.headers), body)
        finally:
            with suppress(httpx.HTTPError, OSError):
                response.close()

    def _read(self, response: httpx.Response, *, most: int, whole: bool, deadline: float) -> bytes:
        """The body; an error's body is only a hint, so that one which breaks off or never ends is cut short."""
        inflate = _inflater(response.headers.get("content-encoding", ""))
        found = bytearray()
        try:
            for chunk in raw_chunks(response):
                found += inflate(chunk, most + 1 - len(found))
                if len(found) > most:
                    raise _TooMuch
                if self._monotonic() > deadline:
                    raise _TooSlow
        except (httpx.HTTPError, zlib.error, OSError, _TooMuch, _TooSlow):
            if whole:
                raise
        return bytes(found[:most])


class _TooMuch(Exception):  # noqa: N818 - never leaves this file
    pass


class _TooSlow(Exception):  # noqa: N818 - never leaves this file
    pass


class _Upload:
    """A body in chunks that remembers whether the last one was ever handed to the network.

    While it was not, the body is shorter than its Content-Length says: nobody can have acted on it. So a process that
    was stopped for longer than an exchange may take, and whose work another one has done since, does not end it.
    """

    def __init__(self, request: Request, *, too_late: Callable[[], bool]) -> None:
        self._request, self._too_late = request, too_late
        self._pieces = _pieces(request.body)
        self._length = sum(map(len, self._pieces))
        self.incomplete = self._length > 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        handed = 0
        for piece in self._pieces:
            for start in range(0, len(piece), _CHUNK_BYTES):
                chunk = bytes(piece[start : start + _CHUNK_BYTES])
                if self._too_late():
                    raise _TooSlow
                handed += len(chunk)
                if handed == self._length and self._request.before_end is not None:
                    self._request.before_end()
                self.incomplete = handed < self._length
                yield chunk
        if self._request.uploaded is not None:
            self._request.uploaded()


def _pieces(body: Body | None) -> list[memoryview]:
    if body is None:
        return []
    pieces = [body] if isinstance(body, bytes | memoryview) else body
    return [view for piece in pieces if len(view := memoryview(piece).cast("B"))]


def open_client(
    origin: str,
    headers: Mapping[str, str],
    *,
    timeout_seconds: float,
    transport: httpx.BaseTransport | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> httpx.Client:
    """A client of one origin: TLS verified (SSL_CERT_FILE is honoured), no redirects, no cookies kept, deadlines kept."""
    _hush()
    timeout = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS))
    client = httpx.Client(
        transport=transport or _transport(origin, monotonic),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    )
    client.headers = httpx.Headers({**_HEADERS, **headers})
    return client


def reason(error: BaseException) -> str:
    """What went wrong between here and there, in words of our own: the error's might hold a URL."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        for kind, words in _REASONS.items():
            if isinstance(inner, kind):
                return words
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__.lstrip("_")


_REASONS: dict[type[BaseException], str] = {
    ssl.SSLCertVerificationError: "the certificate is not trusted",
    ssl.SSLError: "TLS failed",
    socket.gaierror: "the host name is not known",
    ConnectionRefusedError: "the connection was refused",
    ConnectionResetError: "the connection was reset",
}


def raw_chunks(response: httpx.Response) -> Iterator[bytes]:
    """The body as it comes; a transport without sockets may have read it already."""
    if response.is_stream_consumed:
        return iter((response.content,))
    return response.iter_raw()


def check_origin(url: str, *, setting: str) -> str:
    """The origin of an API URL: https, or http on this very machine; nothing but scheme, host and port."""
    try:
        parsed = httpx.URL(url.strip().rstrip("/"))
    except (httpx.InvalidURL, TypeError):
        raise _wrong_origin(setting) from None
    plain = not (parsed.userinfo or parsed.query or parsed.fragment or parsed.path not in ("", "/"))
    safe = parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(parsed.host))
    if not (plain and safe and parsed.host):
        raise _wrong_origin(setting)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


@contextmanager
def quiet() -> Iterator[None]:
    """No line of httpx's log about what this thread does: it would hold the URL, and so an address."""
    before = getattr(_here, "quiet", False)
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = before


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """No read or write of this thread waits beyond the deadline, however slowly the other side drips."""
    _here.deadline = deadline
    try:
        yield
    finally:
        _here.deadline = None


_here = threading.local()


def _silent(_record: logging.LogRecord) -> bool:
    return not getattr(_here, "quiet", False)


def _hush() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _silent not in logger.filters:
            logger.addFilter(_silent)


def _inflater(encoding: str) -> Callable[[bytes, int], bytes]:
    """We ask for no compression; a server that compresses all the same cannot make us hold more than the bound."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return lambda chunk, _most: chunk
    machine = zlib.decompressobj(wbits=47 if "gzip" in encoding.lower() else 15)
    return lambda chunk, most: machine.decompress(chunk, max(1, most))


def _transport(origin: str, monotonic: Callable[[], float]) -> httpx.HTTPTransport:
    url = httpx.URL(origin)
    trust = _trust() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    # Shorter than any server keeps an idle connection: a POST into one that is just being closed would be unknown.
    limits = httpx.Limits(keepalive_expiry=_IDLE_SECONDS)
    transport = httpx.HTTPTransport(verify=trust, proxy=_proxy(url), trust_env=False, limits=limits)
    # httpx has no timeout for a whole exchange, and no public way to give it a network of one's own;
    # a test with a server that drips says when this stops working.
    pool: Any = transport._pool  # noqa: SLF001
    pool._network_backend = _Network(pool._network_backend, monotonic)  # noqa: SLF001
    return transport


def _trust() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context(verify=True, trust_env=True)
    except (OSError, ssl.SSLError):
        named = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        raise SettingsError(
            f"The certificates that {named} names cannot be read.",
            "TLS is always verified, and without them it cannot be.",
            f"Let {named} name a readable PEM file or folder, or unset it.",
        ) from None


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    if is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    return httpx.Proxy(found if "://" in found else f"http://{found}") if found else None


class _Network(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, monotonic: Callable[[], float]) -> None:
        self._inner, self._monotonic = inner, monotonic

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, self._monotonic)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._monotonic)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, monotonic: Callable[[], float]) -> None:
        self._inner, self._monotonic = inner, monotonic

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, self._monotonic))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, self._monotonic))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, self._monotonic)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._monotonic)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, monotonic: Callable[[], float]) -> float | None:
    """What is left of the deadline, as a timeout; just above zero when it has passed, because zero means "at once"."""
    deadline: float | None = getattr(_here, "deadline", None)
    if deadline is None:
        return timeout
    left = max(0.001, deadline - monotonic())
    return left if timeout is None else min(timeout, left)


def _wrong_origin(setting: str) -> SettingsError:
    return SettingsError(
        f"{setting} is not an address that we talk to.",
        "The token and people's data go there: https only, plain http only on this machine, no path, no user.",
        "Use https://mailtrap.io, or http://127.0.0.1:PORT for a local Mailtrap.",
    )
