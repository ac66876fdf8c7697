"""A TCP proxy for one server that loses connections and replies as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

__all__ = ["TcpProxy"]

CHUNK_BYTES = 1 << 16


class TcpProxy:
    """Listens on ``port`` of 127.0.0.1; its attributes hold for all connections, from when they are set."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        """The port of 127.0.0.1 that new connections lead to."""
        self.delay_s = 0.0
        """How long each piece that the server sends is held."""
        self.drops_replies = False
        """Whether what the server sends is thrown away; what it is sent still arrives."""
        self.on_request: Callable[[bytes], None] = _ignore
        """Called with each piece that is sent to the server, just before it is."""
        self.refuses = False
        """Whether new connections are closed at once."""
        self.accepted = 0
        """How many connections were opened."""
        self.swallowed_bytes = 0
        """How much of what the server sent was thrown away."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: int) -> AsyncIterator[Self]:
        """Serve, in front of port ``target``, until the end."""
        proxy = cls(target)
        server = await asyncio.start_server(proxy._accepted, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            if proxy._tasks:
                await asyncio.wait(proxy._tasks)
            await server.wait_closed()

    @property
    def url(self) -> str:
        """The server as seen through the proxy."""
        return f"redis://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refuses:
            writer.transport.abort()
            return
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, behind_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._carry(reader, behind_writer, is_reply=False),
                self._carry(behind_reader, writer, is_reply=True),
            )
        finally:
            self._writers -= pair

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not is_reply:
                    self.on_request(data)
                if is_reply and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if is_reply and self.drops_replies:
                    self.swallowed_bytes += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


def _ignore(_piece: bytes) -> None:
    """Let a request pass."""
