"""Several processes on one port: one server to the outside, started and ended as one."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil

from tests.support.polling import poll, poll_blocking
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import COWRITE, ServerProcess, is_port_free

WORKERS = 2
CONNECTIONS = 20
"""Opened at a time; the kernel gives them to any process that listens by then."""
TRIES = 20
SEEN_LIMIT_S = 20.0
GONE_LIMIT_S = 20.0


@asynccontextmanager
async def open_many(server: ServerProcess, document: str) -> AsyncIterator[list[RawClient]]:
    """Open many clients on one document."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(RawClient.open(server.ws_url(document)))
            for _ in range(CONNECTIONS)
        ]


def serving(server: ServerProcess) -> list[psutil.Process]:
    """Return the processes that have connections to the server's port."""
    return [
        child
        for child in server.children()
        if any(
            connection.laddr.port == server.port and connection.status == psutil.CONN_ESTABLISHED
            for connection in child.net_connections("tcp")
        )
    ]


@asynccontextmanager
async def open_on_all(server: ServerProcess, document: str) -> AsyncIterator[list[RawClient]]:
    """Open clients until every process has some: one may start later than another."""
    async with AsyncExitStack() as stack:
        clients: list[RawClient] = []
        for _ in range(TRIES):
            clients += await stack.enter_async_context(open_many(server, document))
            if len(await asyncio.to_thread(serving, server)) == WORKERS:
                yield clients
                return
        raise AssertionError("not all processes take connections")


def wait_gone(server: ServerProcess, processes: Sequence[psutil.Process]) -> None:
    """Wait until the processes have ended by themselves and the port is free."""
    poll_blocking(lambda: not any(p.is_running() for p in processes), GONE_LIMIT_S, "all have ended")
    assert is_port_free(server.port)


async def test_clients_of_all_processes_see_each_other(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """An edit through one process reaches the clients of the other, and SIGTERM ends all in order."""
    arguments = ("--redis", redis.url, "--workers", str(WORKERS))
    with ServerProcess(tmp_path / "data", arguments=arguments) as server:
        async with open_on_all(server, document) as clients:
            for number, client in enumerate(clients[:10]):
                await client.append(f"<{number}>")
                await client.acknowledge()
            tokens = {f"<{number}>" for number in range(10)}

            async def all_see() -> bool:
                for client in clients:
                    await client.acknowledge()
                return all(tokens <= set(client.text.replace(">", "> ").split()) for client in clients)

            await poll(all_see, SEEN_LIMIT_S, "all clients have all edits")
        processes = await asyncio.to_thread(server.children)
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.to_thread(wait_gone, server, processes)


async def test_killed_parent_leaves_no_process_behind(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """After ``kill -9`` of the parent the processes end by themselves, and keep what was acknowledged."""
    arguments = ("--redis", redis.url, "--workers", str(WORKERS))
    with ServerProcess(tmp_path / "data", arguments=arguments) as server:
        async with RawClient.open(server.ws_url(document)) as client:
            await client.append("kept")
            await client.acknowledge()
            processes = await asyncio.to_thread(server.children)
            assert len(processes) >= WORKERS
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(wait_gone, server, processes)
        await asyncio.to_thread(server.start)
        async with RawClient.open(server.ws_url(document)) as client:
            assert client.text == "kept"


def test_several_processes_without_redis_are_refused(tmp_path: Path) -> None:
    """They would not see each other's edits: that is said in one sentence, before anything starts."""
    command = [*COWRITE, "serve", "--workers", "2", "--port", "0", "--data", str(tmp_path / "data")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2
    assert refused.stderr.startswith("cowrite: --workers: several processes need --redis")
    assert refused.stderr.count("\n") == 1
