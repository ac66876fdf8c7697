"""Processes beside each other: how several on one port end, and who of them is a node to the others."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from server.bus.redis_keys import RedisKeys
from server.cli import _work_until_stopped
from server.serving import _try_parts
from server.settings import Settings
from tests.server.support import Peer, until
from tests.support.polling import PATIENCE_S, poll, poll_blocking
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.workers import serving, wait_for_workers, with_workers

IMPATIENT = "from server import node\nnode.DRAIN_LIMIT_S = 1.0\n"
WATCHFUL = "from server.workers import supervisor\nsupervisor.HUNG_S = 15.0\n"
BRIEF = "from server.workers import supervisor\nsupervisor.STOP_LIMIT_S = 2.0\n"
BROKEN = "from server.node import Node\nNode.run = None\n"
"""Run by every Python process that is started with one of them on its path. None is so impatient that a busy
machine keeps a process from starting in time."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def altered_server(alteration: str, redis: RedisServer, folder: Path) -> ServerProcess:
    """Return two processes on one port, whose modules are altered when they start."""
    path = folder / "alteration"
    path.mkdir()
    (path / "sitecustomize.py").write_text(alteration)
    return with_workers(redis, folder, {"PYTHONPATH": str(path)})


@asynccontextmanager
async def server_with_a_hanging_process(
    alteration: str, redis: RedisServer, folder: Path
) -> AsyncIterator[tuple[ServerProcess, int]]:
    """Run an altered server, and give the process that hangs: it has the document d, which reads "kept"."""
    with altered_server(alteration, redis, folder) as server:
        await asyncio.to_thread(wait_for_workers, server)
        peer = Peer(server.ws_url("d"))
        await peer.connect()
        await peer.append("kept")
        await peer.acknowledge()
        [hanging] = await asyncio.to_thread(serving, server)
        psutil.Process(hanging).suspend()
        yield server, hanging
        await peer.abort()


def was_called(redis: RedisServer, command: str) -> bool:
    """Tell whether a command was carried out since the start, by a script too."""
    return f"cmdstat_{command}" in redis.execute("INFO", "commandstats")


async def test_B8_a_trial_start_is_no_node(redis: RedisServer) -> None:
    """The others would take it for one that came and died."""
    await _try_parts(Settings(redis=redis.url, store="redis"))
    assert was_called(redis, "hello")
    assert not was_called(redis, "zadd")


async def test_B8_who_only_folds_is_no_node(redis: RedisServer) -> None:
    folding = asyncio.create_task(_work_until_stopped(Settings(redis=redis.url, store="redis", sweep_s=0.01)))

    async def has_swept() -> bool:
        return was_called(redis, "scan")

    await poll(has_swept, PATIENCE_S, "the first sweep")
    folding.cancel()
    await asyncio.wait([folding])
    assert folding.cancelled()
    assert not was_called(redis, "zadd")


async def test_D10_what_one_process_could_not_store_is_in_the_exit_code_of_all(
    redis: RedisServer, tmp_path: Path
) -> None:
    async def are_all_up() -> bool:
        return bool(redis.execute("ZCARD", RedisKeys(0).leases) == 2)

    with altered_server(IMPATIENT, redis, tmp_path) as server:
        peer = Peer(server.ws_url("d"))
        await peer.connect()
        await peer.synced()
        await peer.append("before")
        await peer.acknowledge()
        await poll(are_all_up, PATIENCE_S, "every process has started")
        await asyncio.to_thread(redis.kill)
        known = len(peer.frames)
        await peer.append(" lost")
        await until(lambda: len(peer.frames) > known, "the edit is sent to everybody, hence accepted")
        assert await asyncio.to_thread(server.stop) == 1
        assert server.log.read_text().count("could not be stored") == 1
        await peer.abort()


async def test_a_process_that_hangs_is_replaced(redis: RedisServer, tmp_path: Path) -> None:
    """Who was passed on to it is served by its successor."""
    async with server_with_a_hanging_process(WATCHFUL, redis, tmp_path) as (server, hanging):
        coming = [Peer(server.ws_url("d")) for _ in range(4)]
        for peer in coming:
            await peer.connect()
            await peer.synced()
        assert [str(peer.text) for peer in coming] == ["kept"] * len(coming)
        assert f"process {hanging} hangs" in server.log.read_text()
        assert not psutil.pid_exists(hanging)
        for peer in coming:
            await peer.abort()


async def test_a_process_that_does_not_stop_is_killed(redis: RedisServer, tmp_path: Path) -> None:
    """What it had may not be stored: the exit code says so."""
    async with server_with_a_hanging_process(BRIEF, redis, tmp_path) as (server, hanging):
        assert await asyncio.to_thread(server.stop) == 1
        assert f"process {hanging} does not stop" in server.log.read_text()
        assert not psutil.pid_exists(hanging)


async def test_a_second_ctrl_c_waits_for_nobody(redis: RedisServer, tmp_path: Path) -> None:
    with altered_server("", redis, tmp_path) as server:
        await asyncio.to_thread(wait_for_workers, server)
        workers = server.spawned()
        for worker in workers:
            worker.suspend()
        parent = psutil.Process(server.pid)
        parent.send_signal(signal.SIGTERM)
        await asyncio.to_thread(
            poll_blocking, lambda: "stopping" in server.log.read_text(), PATIENCE_S, "it stops"
        )
        parent.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(server.stop) == 1
        assert not any(worker.is_running() for worker in workers)


async def test_ctrl_c_is_for_the_parent(redis: RedisServer, tmp_path: Path) -> None:
    """A terminal sends it to every process: for a process that stops it would be the second one."""
    with altered_server("", redis, tmp_path) as server:
        await asyncio.to_thread(wait_for_workers, server)
        for child in server.children():
            child.send_signal(signal.SIGINT)
        peer = Peer(server.ws_url("d"))
        await peer.connect()
        await peer.append("kept")
        await peer.acknowledge()
        for process in [*server.children(), psutil.Process(server.pid)]:
            process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(server.stop) == 0
        await peer.abort()


def test_processes_that_cannot_start_end_all(redis: RedisServer, tmp_path: Path) -> None:
    """Others would not start either; the exit code says so."""
    server = altered_server(BROKEN, redis, tmp_path)
    with pytest.raises(AssertionError, match="ended while starting"):
        server.start()
    assert server.stop() == 1
