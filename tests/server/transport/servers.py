"""A transport on every kind of server."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from crdt.errors import CloseCode
from server.transport import Transport
from server.transport.asgi import open_transport
from server.transport.http import BoundedHttp
from server.transport.receive_budget import ReceiveBudget
from server.transport.uvicorn import CowriteProtocol
from tests.server.transport.client import HANDSHAKE, Client
from tests.server.transport.recording import BUDGET, MAX_SIZE, RECEIVE_BUDGET, RecordingSink, until
from tests.support.polling import PATIENCE_S

__all__ = ["Peer", "Server", "on_hypercorn", "on_uvicorn", "running"]


@dataclass
class Peer:
    """The server's side of one connection."""

    transport: Transport
    sink: RecordingSink
    served: asyncio.Future[None]


@dataclass
class Server:
    """A running server whose app serves every connection with a recording sink."""

    kind: str
    port: int = 0
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    may_serve: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: CloseCode | None = None
    peers: list[Peer] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    receive_budget: ReceiveBudget = field(default_factory=lambda: ReceiveBudget(RECEIVE_BUDGET))
    shutdown: Callable[[], Coroutine[Any, Any, None]] | None = None
    connections: set[Any] = field(default_factory=set)
    tasks: set[Any] = field(default_factory=set)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        assert scope["query_string"] == b"token=s3cret"
        await receive()
        await send({"type": "websocket.accept"})
        await self.may_open.wait()
        if self.refusal is not None:
            await send({"type": "websocket.close", "code": self.refusal, "reason": self.refusal.phrase})
            return
        served = asyncio.get_running_loop().create_future()
        sink = RecordingSink(on_lost=lambda: served.set_result(None))
        transport = open_transport(scope, receive, send, BUDGET, self.receive_budget)
        self.peers.append(Peer(transport, sink, served))
        await self.may_serve.wait()
        await transport.serve(sink)

    async def connect(self, receive_buffer_bytes: int | None = None) -> tuple[Client, Peer]:
        known = len(self.peers)
        client = await self.dial(receive_buffer_bytes)
        await until(lambda: len(self.peers) > known)
        return client, self.peers[known]

    async def dial(self, receive_buffer_bytes: int | None = None) -> Client:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        client = Client(*await asyncio.open_connection(sock=sock, limit=4096))
        self.clients.append(client)
        client.send(HANDSHAKE)
        async with asyncio.timeout(PATIENCE_S):
            answer = await client.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101")
        return client


@asynccontextmanager
async def running(kind: str) -> AsyncIterator[Server]:
    """Run one kind of server on a free port, and end it with all its clients."""
    server = Server(kind)
    server.may_open.set()
    server.may_serve.set()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server.port = sock.getsockname()[1]
        async with {"hypercorn": on_hypercorn}.get(kind, on_uvicorn)(server, sock):
            try:
                yield server
            finally:
                for client in server.clients:
                    client.writer.transport.abort()
                await until(lambda: all(peer.sink.is_over for peer in server.peers))


@asynccontextmanager
async def on_uvicorn(server: Server, sock: socket.socket) -> AsyncIterator[None]:
    """Run uvicorn with our protocol ("direct") or its own."""
    config = uvicorn.Config(
        server.app,
        interface="asgi3",
        http=BoundedHttp,
        ws=CowriteProtocol if server.kind == "direct" else "websockets-sansio",
        ws_max_size=MAX_SIZE,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=5,
        lifespan="off",
        log_config=None,
    )
    config.load()
    runner = uvicorn.Server(config)
    runner.lifespan = config.lifespan_class(config)
    await runner.startup(sockets=[sock])
    server.shutdown = lambda: runner.shutdown(sockets=[sock])
    server.connections, server.tasks = runner.server_state.connections, runner.server_state.tasks
    try:
        yield
    finally:
        await runner.shutdown(sockets=[sock])


@asynccontextmanager
async def on_hypercorn(server: Server, sock: socket.socket) -> AsyncIterator[None]:
    """Run hypercorn."""
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(sock.fileno())}"]  # which it closes
    config.websocket_max_message_size = MAX_SIZE
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 1
    stop = asyncio.Event()
    task = asyncio.create_task(
        hypercorn.asyncio.serve(server.app, config, mode="asgi", shutdown_trigger=stop.wait)
    )
    try:
        yield
    finally:
        stop.set()
        await task
