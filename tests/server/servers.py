"""The whole application on a server of one kind or another, in a thread with an event loop of its own."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette

from server.app import create_app
from server.node import Node
from server.patience import Holding
from server.refusals import Refusals
from server.settings import Settings
from server.storage import Store
from server.storage.memory import MemoryStore
from server.tally import Tally
from server.transport.http import BoundedHttp
from server.transport.uvicorn import CowriteProtocol
from tests.server.support import Peer, until
from tests.support.polling import PATIENCE_S, poll

__all__ = ["KINDS", "RunningServer", "running_server"]

T = TypeVar("T")

TEST_LIMIT_S = 900.0
"""As pytest has it."""

NEVER_S = 3_600.0
KINDS = ("uvicorn", "hypercorn")
"""uvicorn with the direct path, as ``cowrite serve`` runs it, and another server through plain ASGI."""


@dataclass
class RunningServer:
    """A server with the whole application, in a thread and an event loop of its own."""

    kind: str
    port: int
    app: Starlette
    loop: asyncio.AbstractEventLoop
    stop: Callable[[], None]
    """Stops the server and waits until it has ended; idempotent."""
    peers: list[Peer] = field(default_factory=list)

    def url(self, document: str) -> str:
        """Return where ``document`` is connected to."""
        return f"ws://127.0.0.1:{self.port}/ws/{quote(document, safe='')}"

    @property
    def node(self) -> Node:
        """The node behind the application; touch it only through ``call``."""
        node: Node = self.app.state.node
        return node

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the server's loop and return its result."""

        async def run() -> T:
            return work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self.loop))

    async def documents(self) -> list[str]:
        """Return the names of the live documents."""
        return await self.call(lambda: [room.name for room in self.node.rooms])

    async def unloaded(self) -> None:
        """Wait until no document is live."""

        async def is_empty() -> bool:
            return not await self.documents()

        await poll(is_empty, PATIENCE_S, "every document is unloaded")

    def peer(self, document: str, **options: Any) -> "Peer":
        """Return a client of ``document``; it is gone when the test ends."""
        peer = Peer(self.url(document), **options)
        self.peers.append(peer)
        return peer

    async def end_peers(self) -> None:
        """Break every connection that a test has left open."""
        for peer in self.peers:
            await peer.abort()


@contextmanager
def running_server(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    store: Store | None = None,
    settings: Mapping[str, Any] | None = None,
    refusals: Refusals | None = None,
) -> Iterator[RunningServer]:
    """Run the application on a free port until the context ends; a fresh store in memory unless given.

    Unless ``refusals`` say otherwise, nobody who is refused is held, and every refusal is logged.
    """
    chosen: Store = MemoryStore() if store is None else store

    @asynccontextmanager
    async def open_store(_: Settings) -> AsyncIterator[Store]:
        yield chosen

    monkeypatch.setattr("server.node.open_store", open_store)
    options = Settings(store="memory", **{"grace_s": 0.05, "sweep_s": NEVER_S, **(settings or {})})
    app = create_app(options, refusals or Refusals(Holding(first_s=0), Tally(interval_s=0)))
    thread = _ServerThread(kind, app, options.max_message_bytes)
    try:
        thread.start()
        yield RunningServer(kind, thread.port, app, thread.loop, thread.stop)
    finally:
        thread.stop()


class _ServerThread:
    """One server in a thread; ``stop`` raises what the server failed of."""

    port: int
    loop: asyncio.AbstractEventLoop

    def __init__(self, kind: str, app: Starlette, limit_bytes: int) -> None:
        self._serve = {"uvicorn": _on_uvicorn, "hypercorn": _on_hypercorn}[kind]
        self._app = app
        self._limit_bytes = limit_bytes
        self._has_started = threading.Event()
        self._is_to_stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"server-{kind}")

    def start(self) -> None:
        """Return when the server listens."""
        self._thread.start()
        self._has_started.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop the server and wait until it has ended; idempotent."""
        self._is_to_stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server does not stop"
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._run_until_stopped())
        except BaseException as error:
            self._error = error
        finally:
            self._has_started.set()

    async def _run_until_stopped(self) -> None:
        self.loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
            self.port = sock.getsockname()[1]
            async with self._serve(self._app, sock, self._limit_bytes):
                self._has_started.set()
                await until(self._is_to_stop.is_set, "the test ends", TEST_LIMIT_S)


@asynccontextmanager
async def _on_uvicorn(app: Starlette, sock: socket.socket, limit_bytes: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=CowriteProtocol,
        ws_max_size=limit_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="on",
        timeout_graceful_shutdown=10,
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    assert server.started
    try:
        yield
    finally:
        app.state.node.begin_to_stop()  # As server/listening.py does, before the clients are told.
        await server.shutdown(sockets=[sock])


@asynccontextmanager
async def _on_hypercorn(app: Starlette, sock: socket.socket, limit_bytes: int) -> AsyncIterator[None]:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(sock.fileno())}"]  # which it closes
    config.websocket_max_message_size = limit_bytes
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 1
    config.shutdown_timeout = 30
    stop = asyncio.Event()
    task = asyncio.create_task(
        hypercorn.asyncio.serve(app, config, mode="asgi", shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    )
    await until(lambda: hasattr(app.state, "node"), "started")
    try:
        yield
    finally:
        stop.set()
        await task
