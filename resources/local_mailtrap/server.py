"""The local Mailtrap over loopback: two ports, the API's and the storage host's, in one event loop.

Belongs here: bytes in and out, connections that break when a fault says so, jobs done between requests. Not here:
the answers (`engine.py`).
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from resources.local_mailtrap import admin, routes
from resources.local_mailtrap.engine import Engine
from resources.local_mailtrap.exchange import Answer, Request
from resources.local_mailtrap.faults import Effects

Reply = Callable[[Request, Effects], Awaitable[Answer]]
_RESET = struct.pack("ii", 1, 0)
_DRIPS = 20


class Origin:
    """One of the two origins, as an ASGI app."""

    def __init__(self, mailtrap: Engine, reply: Reply) -> None:
        self.mailtrap, self._reply = mailtrap, reply
        self.connections: Callable[[], Iterable[Any]] = tuple

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        head = _head(scope)
        effects = Effects() if admin.is_admin(head.path) else self.mailtrap.meet(head.method, head.path)
        if effects.of("reset_before") is not None:
            await self._reply(head, effects)
            self._break(scope, reset=True)
            return
        body = await _body(receive)
        request = Request(head.method, head.path, head.query, head.headers, body)
        await self._send(await self._reply(request, effects), scope, receive, send)

    async def _send(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        if answer.wait_seconds and answer.ending != "drip" and await _hangs_up(receive, answer.wait_seconds):
            return
        if answer.ending in ("reset", "hang"):
            self._break(scope, reset=True)
            return
        await send(_start(answer))
        if answer.ending in ("cut", "cut_reset"):
            await send(
                {"type": "http.response.body", "body": answer.body[: answer.cut_at], "more_body": True}
            )
            await asyncio.sleep(0.02)  # what was written shall arrive before the end does
            self._break(scope, reset=answer.ending == "cut_reset")
            return
        await _send_body(answer, send)

    def _break(self, scope: Scope, *, reset: bool) -> None:
        """End the connection: with a reset, or as if all had been said."""
        for connection in [*self.connections()]:
            if connection.client == tuple(scope["client"]):
                transport = connection.transport
                if reset:
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    transport.abort()
                else:
                    transport.close()


def _head(scope: Scope) -> Request:
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    return Request(scope["method"], path, query, headers)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _hangs_up(receive: Receive, seconds: float) -> bool:
    """Stay silent; whether the client went away meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


def _start(answer: Answer) -> dict[str, Any]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status != 204:
        headers.append((b"Content-Length", str(len(answer.body)).encode()))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send_body(answer: Answer, send: Send) -> None:
    if answer.ending == "drip":
        size = max(1, len(answer.body) // _DRIPS)
        for start in range(0, len(answer.body), size):
            await send(
                {"type": "http.response.body", "body": answer.body[start : start + size], "more_body": True}
            )
            await asyncio.sleep(answer.wait_seconds / _DRIPS)
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": answer.body})


def origins(mailtrap: Engine) -> tuple[Origin, Origin]:
    """The API and the storage host as ASGI apps."""

    async def api(request: Request, effects: Effects) -> Answer:
        if admin.is_admin(request.path):
            return await run_in_threadpool(admin.answer, mailtrap, request)
        parsed = None
        if request.body and routes.is_import(request.method, request.path):
            parsed = await run_in_threadpool(mailtrap.parse_import, request)
        return mailtrap.api(request, effects, parsed=parsed)

    async def storage(request: Request, effects: Effects) -> Answer:
        return mailtrap.storage(request, effects)

    return Origin(mailtrap, api), Origin(mailtrap, storage)


def application(origin: Origin) -> ASGIApp:
    """An origin behind Starlette, which takes care of start and end."""
    app = Starlette()
    app.mount("/", origin)
    return app


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(slots=True)
class Listening:
    """Both servers, bound to their ports and not yet serving."""

    mailtrap: Engine
    servers: tuple[_Server, _Server]
    sockets: tuple[socket.socket, socket.socket]

    async def serve(self) -> None:
        """Serve until `stop`, and do the jobs that fall due."""
        worker = asyncio.create_task(_work(self.mailtrap))
        try:
            await asyncio.gather(
                *(
                    server.serve(sockets=[sock])
                    for server, sock in zip(self.servers, self.sockets, strict=True)
                )
            )
        finally:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    def stop(self) -> None:
        """End soon."""
        for server in self.servers:
            server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether both answer."""
        return all(server.started for server in self.servers)


def listen(mailtrap: Engine, *, port: int = 0, storage_port: int = 0) -> Listening:
    """Bind both ports on loopback, and tell the local Mailtrap where it is to be found."""
    sockets = _bound(port), _bound(storage_port)
    mailtrap.api_origin, mailtrap.storage_origin = (
        f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets
    )
    mailtrap.works_in_background = True
    servers = []
    for origin in origins(mailtrap):
        config = uvicorn.Config(
            application(origin), loop="asyncio", log_config=None, log_level="critical", access_log=False, lifespan="off",
            server_header=False, date_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=1, ws="none",
        )  # fmt: skip
        server = _Server(config)
        origin.connections = _connections(server)
        servers.append(server)
    return Listening(mailtrap, (servers[0], servers[1]), sockets)


def _connections(server: _Server) -> Callable[[], Iterable[Any]]:
    return lambda: server.server_state.connections


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


async def _work(mailtrap: Engine) -> None:
    """Do jobs when they are due, giving way to requests after every step."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    mailtrap.on_change = lambda: _wake(loop, changed)
    while True:
        changed.clear()
        while _step(mailtrap):  # noqa: ASYNC110 - gives way to requests, waits for no event
            await asyncio.sleep(0)
        wait = mailtrap.queue.next_at() - mailtrap.clock.time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), min(max(wait, 0), 3600))


def _step(mailtrap: Engine) -> bool:
    with mailtrap.lock:
        return mailtrap.queue.step(mailtrap.clock.time())


def _wake(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(changed.set)


@contextlib.contextmanager
def running(mailtrap: Engine, *, port: int = 0, storage_port: int = 0) -> Iterator[Engine]:
    """Serve from a thread while the block runs."""
    listening = listen(mailtrap, port=port, storage_port=storage_port)
    thread = threading.Thread(
        target=lambda: asyncio.run(listening.serve()), name="local-mailtrap", daemon=True
    )
    thread.start()
    try:
        while thread.is_alive() and not listening.started:
            threading.Event().wait(0.005)
        yield mailtrap
    finally:
        listening.stop()
        thread.join(timeout=5)
        mailtrap.works_in_background = False
        mailtrap.on_change = lambda: None
