"""A socket in memory under the server's own protocol."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.server.transport.client import HANDSHAKE
from tests.server.transport.recording import MAX_SIZE

__all__ = ["MemoryTransport", "in_memory"]


class MemoryTransport(asyncio.Transport):
    """A socket that is a list of chunks: what it feeds is decided by the test."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []
        self.reading_calls = 0
        self.is_over = False
        self._chunks: list[bytes] = []
        self._is_reading = True
        self._is_closing = False
        protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

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
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        self.protocol.connection_lost(None)
        self.is_over = True

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
