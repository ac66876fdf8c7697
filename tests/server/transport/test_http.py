"""What a request may take before it is one: bytes and seconds, each with a bound."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.transport import http
from server.transport.http import HEAD_LIMIT_BYTES
from tests.server.transport.client import HANDSHAKE
from tests.server.transport.recording import until
from tests.server.transport.servers import Server, running

LIMIT_S = 10.0
START = b"GET /ws/d HTTP/1.1\r\nHost: a\r\n"
PIECE = b"X-Piece: " + b"x" * 1_000 + b"\r\n"


@asynccontextmanager
async def dialled(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection that has sent nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(LIMIT_S):
        yield reader, writer
    writer.close()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(START, id="headers"),
        pytest.param(START + b"X-Long: ", id="one header"),
        pytest.param(b"GET /", id="path"),
    ],
)
async def test_a_request_without_end_is_refused(start: bytes) -> None:
    async with running("direct") as server, dialled(server) as (reader, writer):
        writer.write(start)
        piece = PIECE if start.endswith(b"\r\n") else b"x" * 1_000
        for _ in range(2 * HEAD_LIMIT_BYTES // len(piece)):
            writer.write(piece)
        assert b"HTTP/1.1 431 " in await reader.read()
        writer.close()
        await until(lambda: not server.connections)


@pytest.mark.parametrize("sent", [b"", START, HANDSHAKE[:-2]])
async def test_a_request_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http, "HEAD_LIMIT_S", 0.05)
    async with running("direct") as server, dialled(server) as (reader, writer):
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await until(lambda: not server.connections)


async def test_a_websocket_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_LIMIT_S", 0.05)
    async with running("direct") as server:
        client, _ = await server.connect()
        await asyncio.sleep(0.1)  # in which nothing may happen
        assert not client.reader.at_eof()
        assert server.connections


async def test_a_large_body_is_no_large_request() -> None:
    async with running("direct") as server, dialled(server) as (reader, writer):
        size = 3 * HEAD_LIMIT_BYTES
        writer.write(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        assert not (await reader.readline()).startswith(b"HTTP/1.1 431 ")
