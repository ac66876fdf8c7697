"""A WebSocket client that sends what it is told, byte by byte."""

import asyncio
import base64
import secrets
import socket
import struct
from dataclasses import dataclass

from websockets.speedups import apply_mask

from tests.support.polling import PATIENCE_S

__all__ = ["BINARY", "CLOSE", "CONT", "Client", "HANDSHAKE", "PING", "PONG", "TEXT", "closing", "frame"]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


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
        async with asyncio.timeout(PATIENCE_S):
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
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read(1) == b""

    def reset(self) -> None:
        """Break the connection as a crash would."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def closing(code: int, reason: str = "") -> bytes:
    """Encode a client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())
