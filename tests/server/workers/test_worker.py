"""A process that is given connections by others."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from server.settings import Settings
from server.workers.passing import Passing
from server.workers.placement import Placement
from server.workers.worker import _Worker
from tests.server.support import until
from tests.server.transport.client import HANDSHAKE
from tests.support.polling import PATIENCE_S


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[_Worker]:
    """Start a process of its own kind in this one; the test stops it."""
    placement = Placement(1)
    with closing(Passing(1)) as passing, socket.create_server(("127.0.0.1", 0)) as listener:
        worker = _Worker(Settings(store="memory", data=folder), 0, placement, passing)
        worker.config.timeout_graceful_shutdown = 3_600  # No test sees the end of it.
        worker.config.load()
        worker.lifespan = worker.config.lifespan_class(worker.config)
        await worker.startup([listener])
        assert placement.takes_any
        yield worker
        assert not placement.takes_any


async def test_a_connection_that_comes_while_it_stops_does_not_hold_it_up(tmp_path: Path) -> None:
    """Its client is told at once, and goes elsewhere."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    async with asyncio.timeout(PATIENCE_S), running(tmp_path) as worker:
        worker._take(theirs, HANDSHAKE)
        worker.should_exit = True
        await worker.shutdown()
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
    writer.close()


async def test_a_connection_that_was_lost_on_its_way_is_no_trouble(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    async with asyncio.timeout(PATIENCE_S), running(tmp_path) as worker:
        worker._take(theirs, HANDSHAKE)
        state = worker.server_state
        await until(lambda: not state.tasks and not state.connections, "it is forgotten")
        worker.should_exit = True
        await worker.shutdown()
