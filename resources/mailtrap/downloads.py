"""An export's file, fetched from wherever Mailtrap put it: without credentials, and from known hosts only.

Belongs here: the allow-list, redirects, bounds, and telling a gzip file that came whole from one that broke off, a web
page, nothing, or a link that expired. The URL comes from an answer, so it is not trusted; it is signed, so it is in no
message. Not here: whether the file unpacks to its end (`assets/rules/gunzip`, which unpacks it once, where it is read).
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import httpx

from resources.errors import MailtrapError, SettingsError, UnavailableError
from resources.mailtrap.connection import open_client, quiet, raw_chunks, reason, within
from resources.settings import is_loopback

MOST_COMPRESSED_BYTES = 8 * 1024**3
_REDIRECTS_AT_MOST = 3
_SLOWEST_BYTES_PER_SECOND = 1024.0
_HINT_BYTES = 4096
_MAGIC = b"\x1f\x8b"
_EXPIRED = re.compile(
    rb"<Code>(AccessDenied|ExpiredToken|RequestExpired|NoSuchKey)</Code>|has expired", re.IGNORECASE
)


class DownloadError(UnavailableError):
    """The file could not be had; asking for the export again can help."""


class DownloadExpiredError(DownloadError):
    """The link is no longer good: ask for the export again, it may give a fresh one."""


class DownloadTruncatedError(DownloadError):
    """The file ended before it was whole."""


class DownloadCorruptError(DownloadError):
    """What came is not a gzip file."""


class DownloadHtmlError(DownloadError):
    """What came is a web page or an XML notice."""


class DownloadEmptyError(DownloadError):
    """Nothing came."""


class DownloadTooLargeError(MailtrapError):
    """The file is larger than we are willing to keep; a retry changes nothing."""

    outcome = "data"


class Sink(Protocol):
    """Anything that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take some."""


class Downloader:
    """Fetches files with a fresh client each, so that nothing of one request reaches another host."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        timeout_seconds: float,
        deadline_seconds: float,
        most_bytes: int = MOST_COMPRESSED_BYTES,
        transport: httpx.BaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = tuple(_host_pattern(host) for host in hosts)
        self._timeout_seconds, self._deadline_seconds = timeout_seconds, deadline_seconds
        self._most_bytes = most_bytes
        self._transport, self._monotonic = transport, monotonic

    def close(self) -> None:
        """Nothing is kept open between files."""

    def download(self, url: str, sink: Sink) -> int:
        """Fetch one file into the sink as it is (gzip); says how many bytes it has."""
        for _ in range(_REDIRECTS_AT_MOST + 1):
            found = self._fetch(self._allowed(url), sink)
            if isinstance(found, int):
                return found
            if isinstance(found, MailtrapError):
                raise found
            url = found
        raise DownloadError(
            "The export's link leads from one place to the next.",
            f"More than {_REDIRECTS_AT_MOST} redirects are no file.",
            "Try again later; report it to Mailtrap when it stays so.",
        )

    def _fetch(self, url: httpx.URL, sink: Sink) -> int | MailtrapError | str:
        """The file, or where it is instead, or what is wrong: raised by the caller, so that no cause hangs on it."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        client = open_client(
            origin,
            {},
            timeout_seconds=self._timeout_seconds,
            transport=self._transport,
            monotonic=self._monotonic,
        )
        started = self._monotonic()
        check = _Check(self._most_bytes)
        with quiet(), within(started + self._deadline_seconds):
            try:
                response = client.send(client.build_request("GET", url), stream=True, follow_redirects=False)
                try:
                    return self._receive(response, sink, check, started)
                finally:
                    with suppress(httpx.HTTPError, OSError):
                        response.close()
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
                return _unreachable(reason(error))
            except (httpx.HTTPError, httpx.StreamError) as error:
                return _truncated(check.received, reason(error))
            finally:
                if self._transport is None:
                    client.close()

    def _receive(
        self, response: httpx.Response, sink: Sink, check: "_Check", started: float
    ) -> int | MailtrapError | str:
        if 300 <= response.status_code < 400:
            return _redirect(response)
        if response.status_code != 200:
            return _not_given(response.status_code, _hint(response))
        announced = response.headers.get("content-length", "")
        for chunk in raw_chunks(response):
            if (unfit := check.take(chunk)) is not None:
                return unfit
            sink.write(chunk)
            elapsed = self._monotonic() - started
            slow = elapsed > self._timeout_seconds and check.received / elapsed < _SLOWEST_BYTES_PER_SECOND
            if slow or elapsed > self._deadline_seconds:
                return _truncated(check.received, "too slow")
        if announced.isdigit() and int(announced) != check.received:
            return _truncated(check.received, "fewer bytes than announced")
        return check.whole()

    def _allowed(self, url: str) -> httpx.URL:
        """The URL, if it leads to a host on the list, by https (or http on this machine)."""
        parsed = _parsed(url)
        if parsed is None:
            raise _forbidden("")
        host, port = parsed.host.lower(), parsed.port
        safe = parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(host))
        known = any(pattern.matches(host, port) for pattern in self._hosts)
        if parsed.userinfo or not safe or not known:
            raise _forbidden(host if port is None else f"{host}:{port}")
        return parsed


def _parsed(url: str) -> httpx.URL | None:
    with suppress(httpx.InvalidURL, TypeError, ValueError):
        return httpx.URL(url)
    return None


@dataclass(frozen=True, slots=True)
class _HostPattern:
    host: re.Pattern[str]
    port: int | None
    any_port: bool

    def matches(self, host: str, port: int | None) -> bool:
        """`port` is None for the scheme's own."""
        return bool(self.host.fullmatch(host)) and (self.any_port or port == self.port)


def _host_pattern(text: str) -> _HostPattern:
    """`host`, `host:port`, `host:*`; `*` in a host stands for one label or a part of it, never for a dot."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9*._-]+)(?::(\d{1,5}|\*))?", text.strip())
    if not match or not re.search(r"[A-Za-z0-9:]", match[1]):
        raise SettingsError(
            "MAILTRAP_DOWNLOAD_HOSTS has an entry that is not a host.",
            "Exports are fetched from the hosts on this list and from nowhere else.",
            "Write host or host:port, separated by commas; * stands for one label, as in *.s3.amazonaws.com.",
        )
    host = match[1].strip("[]").lower()
    port = None if match[2] in (None, "*", "443") else int(match[2])
    # A bare name of this machine means any port of it: a local storage has no port of its own.
    any_port = match[2] == "*" or (match[2] is None and is_loopback(host))
    return _HostPattern(re.compile(re.escape(host).replace(r"\*", "[a-z0-9-]*")), port, any_port)


class _Check:
    """Counts the bytes as they come, and knows from the first ones whether they can be a gzip file."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._head, self.received = most_bytes, b"", 0

    def take(self, chunk: bytes) -> MailtrapError | None:
        """Some more of the file; what is wrong when no more is wanted."""
        self.received += len(chunk)
        if len(self._head) < _HINT_BYTES:
            self._head += chunk[: _HINT_BYTES - len(self._head)]
        return _too_large(self._most_bytes) if self.received > self._most_bytes else None

    def whole(self) -> int | MailtrapError:
        """How many bytes came, once the last one has."""
        if self.received == 0:
            return _empty()
        return self.received if self._head.startswith(_MAGIC) else _not_gzip(self._head)


def _hint(response: httpx.Response) -> bytes:
    found = b""
    with suppress(httpx.HTTPError):
        for chunk in raw_chunks(response):
            found += chunk[:_HINT_BYTES]
            if len(found) >= _HINT_BYTES:
                break
    return found


def _redirect(response: httpx.Response) -> str | MailtrapError:
    with suppress(httpx.InvalidURL, ValueError, UnicodeError):
        target = response.headers.get("location", "")
        if target:
            return str(response.request.url.join(target))
    return DownloadError(
        f"The export's link leads nowhere (status {response.status_code}).",
        "A redirect without a usable target is no file.",
        "Try again later; report it to Mailtrap when it stays so.",
    )


def _not_given(status: int, hint: bytes) -> MailtrapError:
    if status in (401, 403, 404, 410) or _EXPIRED.search(hint):
        return DownloadExpiredError(
            f"The export's link is no longer good (status {status}).",
            "Links to exports expire after a day.",
            "Ask for the export again: it gives a fresh link, or a fresh export does.",
        )
    return _unreachable(f"status {status}")


def _unreachable(why: str) -> MailtrapError:
    return DownloadError(
        f"The export's file could not be fetched ({why}).",
        "Where Mailtrap keeps its exports did not give it.",
        "Try again later; check that this machine may reach the hosts of MAILTRAP_DOWNLOAD_HOSTS.",
    )


def _truncated(received: int, why: str) -> MailtrapError:
    return DownloadTruncatedError(
        f"The export's file broke off after {received} bytes ({why}).",
        "A part of it is not the export; what was kept before stays.",
        "Try again; the same link can be used for a day.",
    )


def _not_gzip(head: bytes) -> MailtrapError:
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return DownloadCorruptError(
            "The export's file is not a gzip file.",
            "It was damaged on its way, or it is something else.",
            "Try again; start a new export when it stays so.",
        )
    if _EXPIRED.search(head):
        return _not_given(200, head)
    return DownloadHtmlError(
        "In place of the export's file came a web page.",
        "Something between here and Mailtrap's storage answers in its place.",
        "Check proxies and MAILTRAP_DOWNLOAD_HOSTS, then try again.",
    )


def _empty() -> MailtrapError:
    return DownloadEmptyError(
        "The export's file is empty.",
        "Even an export of nobody has a header line, so that this is no export.",
        "Start a new export.",
    )


def _too_large(most_bytes: int) -> MailtrapError:
    return DownloadTooLargeError(
        f"The export's file is larger than what we keep (more than {most_bytes} bytes).",
        "Files like that are made to fill disks.",
        "Export fewer contacts at a time with filters; report it to Mailtrap when the account is not that large.",
    )


def _forbidden(host: str) -> SettingsError:
    shown = host if re.fullmatch(r"[a-z0-9.:\[\]-]{1,253}", host) else "an unreadable host"
    return SettingsError(
        f"The export's link leads to {shown}, which is not on the list of hosts.",
        "It was not followed: a wrong answer could otherwise send us anywhere inside the network.",
        "Add the host to MAILTRAP_DOWNLOAD_HOSTS if it is Mailtrap's storage.",
    )
