"""How a connection gets from one process to another: the client sees one connection, and loses no byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing

import pytest

from server.workers.passing import LARGEST_BYTES, Passing
from tests.support.polling import PATIENCE_S

MOST_THAT_WAIT = 10_000
REQUEST = b"GET /ws/d HTTP/1.1\r\n\r\n"


@pytest.fixture
def passing() -> Iterator[Passing]:
    with closing(Passing(2)) as passing:
        yield passing


class Accepting(asyncio.Protocol):
    """Takes one request, and has ``decide`` do what is to be done with it."""

    def __init__(self, decide: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._decide = decide

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._decide(self._tcp, data)


@asynccontextmanager
async def accepting(decide: Callable[[asyncio.Transport, bytes], None]) -> AsyncIterator[int]:
    """Listen on a free port, which is given."""
    server = await asyncio.get_running_loop().create_server(lambda: Accepting(decide), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection and send the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_a_connection_goes_on_where_it_was_passed_to(passing: Passing) -> None:
    """The first one's end of it is closed, and the client notices nothing."""
    taken: asyncio.Queue[tuple[socket.socket, bytes]] = asyncio.Queue()
    passing.listen(1, lambda connection, request: taken.put_nowait((connection, request)))

    def pass_on(tcp: asyncio.Transport, data: bytes) -> None:
        assert passing.pass_on(1, tcp, data)
        assert tcp.is_closing()

    async with asyncio.timeout(PATIENCE_S), accepting(pass_on) as port, connected(port) as (reader, writer):
        connection, request = await taken.get()
        assert request == REQUEST
        theirs = await asyncio.open_connection(sock=connection)
        theirs[1].write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        writer.write(b"more")
        assert await theirs[0].readexactly(4) == b"more"
        theirs[1].close()
        assert await reader.read() == b""
    passing.stop_listening(1)


async def test_what_waits_for_a_process_is_there_for_its_successor(passing: Passing) -> None:
    waiting: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

    def pass_on(tcp: asyncio.Transport, data: bytes) -> None:
        assert passing.pass_on(0, tcp, data)
        waiting.put_nowait(tcp)

    taken: asyncio.Queue[bytes] = asyncio.Queue()

    def take(connection: socket.socket, request: bytes) -> None:
        connection.close()
        taken.put_nowait(request)

    async with asyncio.timeout(PATIENCE_S), accepting(pass_on) as port, connected(port), connected(port):
        await waiting.get()
        await waiting.get()
        passing.listen(0, take)
        assert [await taken.get(), await taken.get()] == [REQUEST, REQUEST]
    passing.stop_listening(0)


async def test_who_cannot_pass_it_on_keeps_it(passing: Passing) -> None:
    """What waits is bounded, and so is a request; the transport is as it was."""
    outcomes: asyncio.Queue[list[bool]] = asyncio.Queue()

    def pass_on(tcp: asyncio.Transport, data: bytes) -> None:
        found = [passing.pass_on(1, tcp, bytes(LARGEST_BYTES + 1))]
        kept = socket.socket(fileno=tcp.get_extra_info("socket").fileno())
        for _ in range(MOST_THAT_WAIT):
            if not passing.pass_on(1, _Open(kept), data):
                break
        kept.detach()
        found += [passing.pass_on(1, tcp, data), tcp.is_closing()]
        tcp.write(b"kept")
        outcomes.put_nowait(found)

    async with asyncio.timeout(PATIENCE_S), accepting(pass_on) as port, connected(port) as (reader, _):
        assert await outcomes.get() == [False, False, False]
        assert await reader.readexactly(4) == b"kept"


class _Open(asyncio.Transport):
    """A transport that is not closed, so that one connection can be passed on again and again."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})

    def close(self) -> None:
        pass
