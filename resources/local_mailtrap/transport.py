"""The local Mailtrap in process: an httpx transport without sockets, on virtual time.

Belongs here: an httpx request to ours and back, and how faults look to an httpx client. Not here: the answers.
"""

from collections.abc import Iterator

import httpx

from resources.local_mailtrap import admin
from resources.local_mailtrap.engine import Engine
from resources.local_mailtrap.exchange import Answer, Request


class LocalTransport(httpx.BaseTransport):
    """Give it to `httpx.Client(transport=…)`: the storage origin's host is the storage host, all others are the API."""

    def __init__(self, mailtrap: Engine) -> None:
        self._mailtrap = mailtrap
        self._storage_host = httpx.URL(mailtrap.storage_origin).netloc

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a connection would."""
        effects = self._mailtrap.meet(request.method, request.url.raw_path.decode().partition("?")[0])
        if effects.of("reset_before") is not None:
            self._mailtrap.api(_without_body(request), effects)
            raise httpx.WriteError("connection reset by peer", request=request)
        ours = _request(request)
        if request.url.netloc == self._storage_host:
            answer = self._mailtrap.storage(ours, effects)
        elif admin.is_admin(ours.path):
            answer = admin.answer(self._mailtrap, ours)
        else:
            answer = self._mailtrap.api(ours, effects)
        self._pass_time(answer, request)
        return _response(answer, request)

    def _pass_time(self, answer: Answer, request: httpx.Request) -> None:
        """A silence longer than the client's read timeout costs the client just that timeout."""
        patience = (request.extensions.get("timeout") or {}).get("read")
        silent = answer.ending != "drip" and patience is not None and answer.wait_seconds > patience
        if answer.wait_seconds:
            self._mailtrap.advance(
                min(answer.wait_seconds, patience) if silent and patience else answer.wait_seconds
            )
        if silent or answer.ending == "hang":
            raise httpx.ReadTimeout("timed out", request=request)
        if answer.ending == "reset":
            raise httpx.ReadError("connection reset by peer", request=request)


def _without_body(request: httpx.Request) -> Request:
    path, _, query = request.url.raw_path.decode().partition("?")
    return Request(
        request.method, path, query, {key.lower(): value for key, value in request.headers.items()}
    )


def _request(request: httpx.Request) -> Request:
    bare = _without_body(request)
    return Request(bare.method, bare.path, bare.query, bare.headers, request.read())


def _response(answer: Answer, request: httpx.Request) -> httpx.Response:
    headers = (
        [*answer.headers, ("Content-Length", str(len(answer.body)))]
        if answer.status != 204
        else [*answer.headers]
    )
    if answer.ending in ("cut", "cut_reset"):
        return httpx.Response(answer.status, headers=headers, stream=_CutStream(answer, request))
    return httpx.Response(answer.status, headers=headers, stream=httpx.ByteStream(answer.body))


class _CutStream(httpx.SyncByteStream):
    """A body that ends before it is whole."""

    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        self._answer, self._request = answer, request

    def __iter__(self) -> Iterator[bytes]:
        yield self._answer.body[: self._answer.cut_at]
        if self._answer.ending == "cut":
            words = "peer closed connection without sending complete message body"
            raise httpx.RemoteProtocolError(words, request=self._request)
        raise httpx.ReadError("connection reset by peer", request=self._request)
