"""The server as a process: stopped, killed, out of disk; what it acknowledged is there afterwards."""

import asyncio
import contextlib
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

import server.node
from crdt.errors import CloseCode
from server.storage.sqlite import FILE_NAME
from tests.server.support import Peer, until
from tests.support.polling import PATIENCE_S, poll
from tests.support.server_process import ServerProcess


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server on a folder of its own."""
    with ServerProcess(tmp_path / "data") as process:
        yield process


@contextlib.asynccontextmanager
async def connected(process: ServerProcess, document: str) -> AsyncIterator[Peer]:
    """Connect; the connection is broken at the end, whatever became of the server."""
    peer = Peer(process.ws_url(document))
    await peer.connect()
    try:
        await peer.synced()
        yield peer
    finally:
        await peer.abort()


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Keep everybody from writing to the database, as a backup program may."""
    connection = sqlite3.connect(data / FILE_NAME, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def status_of(process: ServerProcess) -> int:
    """Ask ``/readyz`` for its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


async def test_SIGTERM_stores_what_is_pending_and_says_that_it_restarts(process: ServerProcess) -> None:
    async with connected(process, "d") as peer, connected(process, "d") as reader:
        for number in range(200):
            await peer.append(f"{number} ")
        await reader.shows(peer.shown)
        stopping = asyncio.create_task(asyncio.to_thread(process.stop))
        for one in (peer, reader):
            assert await one.closing() == (CloseCode.RESTART, CloseCode.RESTART.phrase)
        assert await stopping == 0
        await asyncio.to_thread(process.start)
        async with connected(process, "d") as again:
            assert again.shown == peer.shown
    assert "Traceback" not in process.log.read_text()


async def test_D1_what_was_acknowledged_survives_kill_9(process: ServerProcess) -> None:
    for round_ in range(3):
        async with connected(process, "d") as peer:
            for number in range(50):
                await peer.append(f"{round_}.{number} ")
                if number % 10 == 9:
                    await peer.acknowledge()
                    acknowledged = peer.shown
            await peer.append("perhaps")
            await asyncio.to_thread(process.restart)
        async with connected(process, "d") as again:
            assert again.shown.startswith(acknowledged)
            await again.edit(lambda content: content.clear())
            await again.acknowledge()


async def test_D8_the_pool_ends_with_the_server_however_that_ends(process: ServerProcess) -> None:
    async with connected(process, "d") as peer:
        for _ in range(3):
            await peer.append("x" * 500_000)
            await peer.acknowledge()
        await until(lambda: len(process.children()) >= 1, "the pool")
        orphans = process.children()
        await asyncio.to_thread(process.kill)
    psutil.wait_procs(orphans, timeout=PATIENCE_S)
    assert not any(orphan.is_running() for orphan in orphans)
    await asyncio.to_thread(process.start)
    async with connected(process, "d") as again:
        assert again.shown == "x" * 1_500_000


async def test_D2_a_locked_database_degrades_and_recovers(process: ServerProcess) -> None:
    async with connected(process, "d") as writer, connected(process, "d") as reader:
        await writer.append("before ")
        await writer.acknowledge()
        with locked(process.data):
            await writer.append("meanwhile ")
            asked = await writer.ask()
            await reader.shows("before meanwhile ")

            async def is_degraded() -> bool:
                return await status_of(process) == 503

            await poll(is_degraded, PATIENCE_S, "degraded")
            assert asked not in writer.acknowledged
        await until(lambda: asked in writer.acknowledged, "acknowledged")
        assert await status_of(process) == 200
        await asyncio.to_thread(process.restart)
        async with connected(process, "d") as again:
            assert again.shown == "before meanwhile "


async def test_D2_a_full_disk_degrades_and_recovers(process: ServerProcess) -> None:
    """A limit on the size of files stands for the disk: writing behind it fails."""
    async with connected(process, "d") as writer, connected(process, "d") as reader:
        await writer.append("before ")
        await writer.acknowledge()
        limit_bytes = max(path.stat().st_size for path in process.data.iterdir()) + 100_000
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
        for _ in range(30):
            await writer.append("x" * 10_000)
        asked = await writer.ask()
        await reader.shows(writer.shown)

        async def is_degraded() -> bool:
            return await status_of(process) == 503

        await poll(is_degraded, PATIENCE_S, "degraded")
        assert asked not in writer.acknowledged
        async with connected(process, "d") as joiner:
            assert joiner.shown == writer.shown
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        await until(lambda: asked in writer.acknowledged, "acknowledged")
        assert await status_of(process) == 200
        await asyncio.to_thread(process.restart)
        async with connected(process, "d") as again:
            assert again.shown == writer.shown


class AlteredServer(ServerProcess):
    """A server that runs ``alteration`` on its module ``server.node`` before it starts."""

    def __init__(self, data: Path, alteration: str) -> None:
        super().__init__(data)
        program = f"import server.cli\nfrom server import node\n{alteration}\nserver.cli.main()"
        self._command[:1] = [sys.executable, "-c", program]

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._running.poll()


FAILING_TICKER = """
async def tick(self):
    import asyncio, pathlib
    while not pathlib.Path({sign!r}).exists():
        await asyncio.sleep(0.01)
    raise KeyError("ticker")
node.Node._tick = tick
"""


async def test_a_server_of_which_a_part_fails_stores_what_it_has_and_ends_with_1(tmp_path: Path) -> None:
    """A server that went on without one of its workers would forget in silence."""
    sign = tmp_path / "fail now"
    with AlteredServer(tmp_path / "data", FAILING_TICKER.format(sign=str(sign))) as process:
        async with connected(process, "d") as peer:
            known = len(peer.frames)
            await peer.append("kept")
            await until(lambda: len(peer.frames) > known, "it is sent to everybody, hence accepted")
            sign.touch()

            async def has_ended() -> bool:
                return process.exit_code is not None

            await poll(has_ended, PATIENCE_S, "the end")
        assert process.exit_code == 1
        assert "a part of the server failed" in process.log.read_text()
    with ServerProcess(tmp_path / "data") as again:
        async with connected(again, "d") as peer:
            assert peer.shown == "kept"


async def test_F24_SIGTERM_while_nothing_can_be_stored_ends_in_time_and_not_with_0(tmp_path: Path) -> None:
    with AlteredServer(tmp_path / "data", "node.DRAIN_LIMIT_S = 1.0") as process:
        await stop_while_locked(process)


def test_F24_a_stopping_server_gives_up_within_half_a_minute() -> None:
    assert server.node.DRAIN_LIMIT_S <= 20


async def stop_while_locked(process: ServerProcess) -> None:
    async with connected(process, "d") as peer:
        await peer.append("before")
        await peer.acknowledge()
        with locked(process.data):
            await peer.append(" lost")
            asked = await peer.ask()
            assert await asyncio.to_thread(process.stop) == 1
        assert asked not in peer.acknowledged
    critical = [line for line in process.log.read_text().splitlines() if " CRITICAL " in line]
    assert len(critical) == 1
    assert "could not be stored" in critical[0]
    await asyncio.to_thread(process.start)
    async with connected(process, "d") as again:
        assert again.shown == "before"


async def test_S16_many_documents_that_nobody_stays_in_do_not_stay_in_memory(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", arguments=["--grace-s", "0"]) as process:
        before = 0
        for number in range(150):
            async with connected(process, f"d{number}") as peer:
                await peer.append("x" * 100_000)
                await peer.acknowledge()
            if number == 50:
                before = psutil.Process(process.pid).memory_info().rss
        grown = psutil.Process(process.pid).memory_info().rss - before
        assert grown < 30_000_000
