"""What the transport tests share: a raw WebSocket client, servers, a recording sink, a fake socket."""

import asyncio
import base64
import functools
import os
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn
import uvloop
from websockets.speedups import apply_mask

from server.transport import Transport
from server.transport.asgi import open_transport
from server.transport.uvicorn import CowriteProtocol

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_SIZE = 1_000_000
BUDGET = 65_536


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on uvloop, as the server does, for at most half a minute."""

    async def bounded(**arguments: Any) -> None:
        async with asyncio.timeout(30):
            await test(**arguments)

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded(**arguments))

    return run


async def until(condition: Callable[[], bool], interval_s: float = 0.002) -> None:
    """Poll until ``condition`` holds, for at most 10 seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within 10 s"
        await asyncio.sleep(interval_s)


class RecordingSink:
    """Notes every call; a hook may act in the middle of a message."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.on_message: Callable[[bytes], None] = lambda payload: None

    @property
    def messages(self) -> list[bytes]:
        return [event for event in self.events if isinstance(event, bytes)]

    @property
    def is_over(self) -> bool:
        return "clean" in self.events or "unclean" in self.events

    def message_received(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.events.append(payload)
        self.on_message(payload)

    def text_received(self) -> None:
        self.events.append("text")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, *, clean: bool) -> None:
        self.events.append("clean" if clean else "unclean")


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bytes | None = None, width: int = 0
) -> bytes:
    """Encode a client's frame; ``width`` forces a length field of 2 or 8 bytes."""
    key = secrets.token_bytes(4) if mask is None else mask
    size = len(payload)
    width = width or (0 if size < 126 else 2 if size < 65_536 else 8)
    marker = {0: size, 2: 126, 8: 127}[width]
    length = size.to_bytes(width, "big") if width else b""
    return bytes((opcode | (0x80 if fin else 0), 0x80 | marker)) + length + key + apply_mask(payload, key)


HANDSHAKE = (
    "GET /room?token=s3cret HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


@dataclass
class Client:
    """A WebSocket client that does exactly what it is told, wrong things included."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame; raises IncompleteReadError at the end."""
        async with asyncio.timeout(10):
            head, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            assert head & 0x80
            return head & 0xF, await self.reader.readexactly(size)

    async def receive_close(self) -> tuple[int, str]:
        """Skip to the close frame and return its code and reason."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    async def at_end(self) -> bool:
        """Wait for the end of the stream, and tell whether nothing came before."""
        async with asyncio.timeout(10):
            return await self.reader.read(1) == b""

    def reset(self) -> None:
        """Break the connection as a crash would."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def closing(code: int, reason: str = "") -> bytes:
    """Encode a client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


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
    may_serve: asyncio.Event = field(default_factory=asyncio.Event)
    peers: list[Peer] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    shutdown: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        assert scope["query_string"] == b"token=s3cret"
        await receive()
        await send({"type": "websocket.accept"})
        sink = RecordingSink()
        transport = open_transport(scope, receive, send, BUDGET)
        peer = Peer(transport, sink, asyncio.get_running_loop().create_future())
        self.peers.append(peer)
        await self.may_serve.wait()
        await transport.serve(sink)
        peer.served.set_result(None)

    async def connect(self, receive_buffer_bytes: int | None = None) -> tuple[Client, Peer]:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        client = Client(*await asyncio.open_connection(sock=sock, limit=4096))
        self.clients.append(client)
        known = len(self.peers)
        client.send(HANDSHAKE)
        async with asyncio.timeout(10):
            answer = await client.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101")
        await until(lambda: len(self.peers) > known)
        return client, self.peers[known]


@asynccontextmanager
async def running(kind: str) -> AsyncIterator[Server]:
    """Run one kind of server on a free port, and end it with all its clients."""
    server = Server(kind)
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


class MemoryTransport(asyncio.Transport):
    """A socket that is a list of chunks: what it feeds is decided by the test."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []
        self.reading_calls = 0
        self._chunks: list[bytes] = []
        self._is_reading = True
        self._is_closing = False
        protocol.connection_made(self)

    def feed(self, *chunks: bytes) -> None:
        """Deliver chunks as a socket would: not while reading is paused."""
        self._chunks.extend(chunks)
        self._pump()

    def _pump(self) -> None:
        while self._chunks and self._is_reading and not self._is_closing:
            self.protocol.data_received(self._chunks.pop(0))

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading_calls += 1
        self._is_reading = False

    def resume_reading(self) -> None:
        self.reading_calls += 1
        if not self._is_reading:
            self._is_reading = True
            asyncio.get_running_loop().call_soon(self._pump)

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


@contextmanager
def in_memory(
    protocol_class: type[asyncio.Protocol], app: Callable[..., Coroutine[Any, Any, None]]
) -> Iterator[MemoryTransport]:
    """Put a WebSocket protocol of uvicorn on a socket in memory and send it the handshake."""
    config = uvicorn.Config(
        app, ws_max_size=MAX_SIZE, ws_ping_interval=None, ws_per_message_deflate=False, log_config=None
    )
    config.load()
    state = uvicorn.server.ServerState()
    transport = MemoryTransport(protocol_class(config, state, {}))  # type: ignore[call-arg]
    transport.feed(HANDSHAKE)
    try:
        yield transport
    finally:
        transport.abort()
