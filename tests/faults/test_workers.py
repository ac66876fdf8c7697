"""Several processes on one port: one server to the outside, with one of them for each document."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil

from tests.support.polling import PATIENCE_S, poll, poll_blocking
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import COWRITE, ServerProcess, is_port_free
from tests.support.workers import WORKERS, serving, wait_for_workers, with_workers

CONNECTIONS = 20
"""Opened at a time, on one document. When one process is much fuller than the other, some go to that."""
TRIES = 20


@asynccontextmanager
async def open_many(server: ServerProcess, document: str) -> AsyncIterator[list[RawClient]]:
    """Open many clients on one document."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(RawClient.open(server.ws_url(document)))
            for _ in range(CONNECTIONS)
        ]


def followers(redis: RedisServer) -> list[int]:
    """Return how many processes follow each document that any of them follows."""
    bells = redis.execute("PUBSUB", "SHARDCHANNELS", "*:bell")
    return list(redis.execute("PUBSUB", "SHARDNUMSUB", *bells)[1::2])


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
    poll_blocking(lambda: not any(p.is_running() for p in processes), PATIENCE_S, "all have ended")
    assert is_port_free(server.port)


async def test_clients_of_all_processes_see_each_other(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """An edit through one process reaches the clients of the other, and SIGTERM ends all in order."""
    with with_workers(redis, tmp_path) as server:
        async with open_on_all(server, document) as clients:
            for number, client in enumerate(clients[:10]):
                await client.append(f"<{number}>")
                await client.acknowledge()
            tokens = {f"<{number}>" for number in range(10)}

            async def all_see() -> bool:
                for client in clients:
                    await client.acknowledge()
                return all(tokens <= set(client.text.replace(">", "> ").split()) for client in clients)

            await poll(all_see, PATIENCE_S, "all clients have all edits")
        processes = await asyncio.to_thread(server.children)
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.to_thread(wait_gone, server, processes)


async def test_people_of_one_document_are_on_one_process(redis: RedisServer, tmp_path: Path) -> None:
    """Whichever process accepts a connection, the one that has the document serves it; documents spread."""
    documents = [f"d{number}" for number in range(8)]
    people = 4
    with with_workers(redis, tmp_path) as server:
        await asyncio.to_thread(wait_for_workers, server)
        async with AsyncExitStack() as stack:
            for document in documents * people:
                client = await stack.enter_async_context(RawClient.open(server.ws_url(document)))
                await client.append(document)
                await client.acknowledge()
            counts = await asyncio.to_thread(serving, server)
            assert list(counts.values()) == [people * len(documents) // WORKERS] * WORKERS
            assert await asyncio.to_thread(followers, redis) == [1] * len(documents)


async def test_clients_of_a_killed_process_come_back_to_another(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """Until its successor has started, the others take its documents; then all take their share again."""
    with with_workers(redis, tmp_path) as server:
        await asyncio.to_thread(wait_for_workers, server)
        async with RawClient.open(server.ws_url(document)) as client:
            await client.append("kept")
            await client.acknowledge()
            [(victim, _)] = (await asyncio.to_thread(serving, server)).items()
            psutil.Process(victim).kill()
            async with RawClient.open(server.ws_url(document)) as again:
                assert again.text == "kept"
        async with open_on_all(server, document):
            assert victim not in await asyncio.to_thread(serving, server)
        assert await asyncio.to_thread(server.stop) == 0


async def test_killed_parent_leaves_no_process_behind(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """After ``kill -9`` of the parent the processes end by themselves, and keep what was acknowledged."""
    with with_workers(redis, tmp_path) as server:
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
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 2
    assert refused.stderr.startswith("cowrite: --workers: several processes need --redis")
    assert refused.stderr.count("\n") == 1
