"""A client that joins, and throws away what it reads: whoever stores 150 large documents measures itself.

It speaks just enough HTTP and WebSocket for that. What it keeps of a message is its beginning.
"""

import asyncio
import base64
from typing import cast
from urllib.parse import urlsplit

from tests.bench.load.client import Lost
from tests.bench.load.wire import (
    EMPTY_STATE_VECTOR,
    EMPTY_UPDATE,
    STEP_1,
    STEP_2,
    SYNC_KINDS,
    step_1,
    step_2,
    wire_to,
)
from tests.bench.systems.contract import Server

__all__ = ["Skimmer", "masked"]

READ_BYTES = 2**18
_landing = memoryview(bytearray(READ_BYTES))
"""Where every skimmer's socket is read to, one after the other."""

BINARY, PING, PONG = 2, 9, 10
OPCODE, LENGTH = 0x0F, 0x7F
FINAL, MASKED = 0x80, 0x80
END_OF_HEADERS = b"\r\n\r\n"
KEPT_BYTES = 128
"""More than a ping may carry, and than stands before the kind of a message."""
MASK = b"\x00\x00\x00\x00"
"""Changes nothing, and is as good as another to whoever undoes it."""
KEY = base64.b64encode(bytes(16)).decode()


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a whole frame as a client sends it."""
    size = len(payload)
    if size < 126:
        length = bytes((MASKED | size,))
    elif size < 2**16:
        length = bytes((MASKED | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((MASKED | 127,)) + size.to_bytes(8, "big")
    return bytes((FINAL | opcode,)) + length + MASK + payload


class Skimmer(asyncio.BufferedProtocol):
    """Joins with an empty document."""

    def __init__(self, server: Server, document: str) -> None:
        self.synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a sync step 2 was received to its last byte."""
        self.received_bytes = 0
        """What all frames held."""
        self._url = urlsplit(server.url(document))
        self._wire = wire_to(server.dialect, document)
        self._is_upgraded = False
        self._head = bytearray()
        self._left_bytes = 0

    async def join(self) -> None:
        """Open the connection and return when it is synced; raises ``Lost``."""
        host, port = self._url.hostname, self._url.port
        assert host is not None and port is not None
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, host, port)
        await self.synced

    def leave(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        # uvloop's transports are no subclasses.
        self._transport = cast(asyncio.Transport, transport)
        lines = (
            f"GET {self._url.path or '/'} HTTP/1.1",
            f"Host: {self._url.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            "\r\n",
        )
        self._transport.write("\r\n".join(lines).encode())

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the sync that has not come."""
        if not self.synced.done():
            self.synced.set_exception(Lost("cut off"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Read to where everybody reads."""
        return _landing

    def buffer_updated(self, size: int) -> None:
        """Take what was read."""
        data = _landing[:size]
        if not self._is_upgraded:
            data = self._upgrade(data)
        while data:
            if self._left_bytes:
                passed = min(self._left_bytes, len(data))
                self._left_bytes -= passed
            else:
                passed = self._needed_bytes() - len(self._head)
                self._head += data[:passed]
                if len(self._head) < self._needed_bytes():
                    data = data[passed:]
                    continue
                self._left_bytes = self._size()[1] - (len(self._head) - self._size()[0])
            data = data[passed:]
            if not self._left_bytes:
                self._end_frame()

    def _upgrade(self, data: memoryview) -> memoryview:
        """Return what follows the answer to the upgrade, once that is whole."""
        before = len(self._head)
        self._head += data
        end = self._head.find(END_OF_HEADERS)
        if end < 0:
            return data[:0]
        if not self._head.startswith(b"HTTP/1.1 101"):
            raise Lost(f"no upgrade: {self._head[:60]!r}")
        self._head.clear()
        self._is_upgraded = True
        if self._wire.opening:
            self._send(self._wire.opening)
        self._send(self._wire.frame(step_1(EMPTY_STATE_VECTOR)))
        return data[end + len(END_OF_HEADERS) - before :]

    def _size(self) -> tuple[int, int]:
        """Return how long the frame's header is, and how long what it carries."""
        length = self._head[1] & LENGTH
        extra = {126: 2, 127: 8}.get(length, 0)
        if len(self._head) < 2 + extra:
            return 2 + extra, 0
        return 2 + extra, int.from_bytes(self._head[2 : 2 + extra], "big") if extra else length

    def _needed_bytes(self) -> int:
        """Return how much of the frame must be kept to know what it is."""
        if len(self._head) < 2:
            return 2
        header, size = self._size()
        return header + min(size, KEPT_BYTES)

    def _end_frame(self) -> None:
        header, size = self._size()
        opcode = self._head[0] & OPCODE
        assert self._head[0] & FINAL, "a message in several frames"
        payload = bytes(self._head[header:])
        self._head.clear()
        self.received_bytes += size
        if opcode == PING:
            self._transport.write(masked(PONG, payload))
        elif opcode == BINARY:
            self._take(payload[len(self._wire.prefix) :])

    def _take(self, message: bytes) -> None:
        if message[0] not in SYNC_KINDS:
            return
        if message[1] == STEP_1:
            self._send(self._wire.frame(step_2(EMPTY_UPDATE)))
        elif message[1] == STEP_2 and not self.synced.done():
            self.synced.set_result(None)

    def _send(self, frame: bytes) -> None:
        self._transport.write(masked(BINARY, frame))
