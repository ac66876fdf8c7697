"""What a request may take before it is one: bytes and seconds, each with a bound."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from server.transport import http
from server.transport.http import HEAD_LIMIT_BYTES
from tests.server.transport.client import HANDSHAKE
from tests.server.transport.recording import until
from tests.server.transport.servers import Server, on_uvicorn, running
from tests.support.polling import PATIENCE_S

SHORT_S = 0.5
"""Longer than a busy machine stalls in the middle of a request."""
START = b"GET /ws/d HTTP/1.1\r\nHost: a\r\n"
WHOLE = START + b"\r\n"
PIECE = b"X-Piece: " + b"x" * 1_000 + b"\r\n"
BODY = b"Content-Length: 10\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Site(Server):
    """Answers every request as it is told, and counts them."""

    answered = 0
    may_end: asyncio.Event

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"an", "more_body": True})
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b"sw"})


@asynccontextmanager
async def visited() -> AsyncIterator[tuple[Site, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a site with one connection that has sent nothing yet; at the end it is gone from the server."""
    site = Site("direct")
    site.may_end = asyncio.Event()
    site.may_end.set()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with on_uvicorn(site, sock), asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            try:
                yield site, reader, writer
            finally:
                writer.close()
            await until(lambda: not site.connections)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests be there soon."""
    monkeypatch.setattr(http, "HEAD_LIMIT_S", SHORT_S)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(START, PIECE, id="headers"),
        pytest.param(START + b"X-Long: ", b"x" * 1_000, id="one header"),
        pytest.param(b"GET /", b"x" * 1_000, id="path"),
        pytest.param(b"", b"\r\n" * 500, id="empty lines"),
    ],
)
async def test_a_request_without_end_is_refused(start: bytes, piece: bytes) -> None:
    async with visited() as (site, reader, writer):
        writer.write(start)
        for _ in range(2 * HEAD_LIMIT_BYTES // len(piece)):
            writer.write(piece)
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        assert not site.answered


async def test_a_large_request_is_refused_however_it_comes() -> None:
    """Whole at one go, with its body to come: the app is not asked."""
    async with visited() as (site, reader, writer):
        writer.write(START + PIECE * 70 + BODY)
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        assert not site.answered


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_body_is_no_large_request(is_chunked: bool) -> None:
    async with visited() as (_, reader, writer):
        size = 3 * HEAD_LIMIT_BYTES
        if is_chunked:
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"1\r\nx\r\n" * size + b"0\r\n\r\n")
        else:
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("sent", [b"", START, HANDSHAKE[:-2], b"\r\n"])
async def test_a_request_that_does_not_come_is_given_up(sent: bytes) -> None:
    async with visited() as (_, reader, writer):
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(WHOLE, b"\r\n", id="an empty line"),
        pytest.param(WHOLE, START, id="half a request"),
        pytest.param(START + BODY, b"x", id="a part of a body"),
        pytest.param(START + CHUNKED + b"0\r\n", b"X-Trailer: ", id="a part of a trailer"),
    ],
)
async def test_nothing_that_follows_an_answer_keeps_a_connection(first: bytes, then: bytes) -> None:
    async with visited() as (_, reader, writer):
        writer.write(first)
        await reader.readuntil(b"answ")
        writer.write(then)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("hurry")
async def test_no_refusal_is_written_into_an_answer() -> None:
    async with visited() as (site, reader, writer):
        site.may_end.clear()
        writer.write(WHOLE)
        await reader.readuntil(b"an")
        writer.write(START)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        site.may_end.set()


@pytest.mark.usefixtures("hurry")
async def test_a_websocket_is_not_given_up() -> None:
    async with running("direct") as server:
        client, _ = await server.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")  # who came later
        writer.close()
        assert not client.reader.at_eof()
        await until(lambda: len(server.connections) == 1)
