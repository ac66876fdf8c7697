"""Redis is away, comes back, or comes back empty: people go on, and nothing acknowledged is lost."""

import asyncio
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.clients import NodeClients
from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll, poll_blocking
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

EDITS_WHILE_AWAY = 200
NOT_ACKNOWLEDGED_S = 1.0
BUDGET_BYTES = 2**16
LINE = "0123456789abcdef" * 64


def is_degraded(node: ServerProcess) -> bool:
    """Tell whether a node calls itself degraded."""
    status, body = node.get("/readyz")
    return status == 503 and b"degraded" in body


async def read(node: ServerProcess, document: str) -> str:
    """Return the text that a fresh client gets."""
    async with RawClient.open(node.ws_url(document)) as reader:
        return reader.text


async def wait_read(node: ServerProcess, document: str, text: str) -> None:
    """Wait until a fresh client gets exactly this text."""

    async def has_text() -> bool:
        return await read(node, document) == text

    await poll(has_text, PATIENCE_S, f"a fresh client reads {text[:60]!r}")


async def test_editing_goes_on_while_redis_is_away(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Those on one node see each other, acknowledgements wait, all is published, merged, at the return."""
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        writer = await clients.open("writer", nodes[0].ws_root, document)
        reader = await clients.open("reader", nodes[0].ws_root, document)
        remote = await clients.open("remote", nodes[1].ws_root, document)
        await writer.insert(0, "before ")
        await writer.acknowledge()
        await remote.wait_text("before ")

        await asyncio.to_thread(redis.kill)
        text = "before " + "".join(f"{number} " for number in range(EDITS_WHILE_AWAY))
        for number in range(EDITS_WHILE_AWAY):
            await writer.insert(len(await writer.text()), f"{number} ")
        await reader.wait_text(text)
        assert not await writer.is_acknowledged(NOT_ACKNOWLEDGED_S)
        for node in nodes:
            await asyncio.to_thread(poll_blocking, partial(is_degraded, node), PATIENCE_S, "it is degraded")
        assert await remote.text() == "before "
        assert await reader.history("close") == []

        await asyncio.to_thread(redis.start)
        await writer.acknowledge()
        await remote.wait_text(text)
        for node in nodes:
            await asyncio.to_thread(poll_blocking, node.is_ready, PATIENCE_S, "the node is ready")
        assert await read(nodes[1], document) == text
        assert redis.execute("XLEN", stream_of(redis)) < EDITS_WHILE_AWAY / 4


def stream_of(redis: RedisServer) -> bytes:
    """Return the key of the one stream there is."""
    [key] = redis.execute("KEYS", "*:stream")
    assert isinstance(key, bytes)
    return key


async def test_what_waits_for_redis_is_bounded(redis: RedisServer, document: str, tmp_path: Path) -> None:
    """Beyond the budget who writes is not read, who reads is served; at the return everything arrives."""
    async with run_nodes(tmp_path, [redis.url], "--log-budget-bytes", str(BUDGET_BYTES)) as [node]:
        lines = [f"<{number} {LINE}>" for number in range(8 * BUDGET_BYTES // len(LINE))]
        async with (
            RawClient.open(node.ws_url(document)) as writer,
            RawClient.open(node.ws_url(document)) as reader,
        ):
            await asyncio.to_thread(redis.kill)
            for line in lines:
                await writer.append(line)
            acknowledged = asyncio.create_task(writer.acknowledge())
            await asyncio.to_thread(
                poll_blocking,
                lambda: b"too much waits" in node.get("/readyz")[1],
                PATIENCE_S,
                "too much waits",
            )
            known = await read_from_live_node(node, document)
            assert "".join(lines).startswith(known)
            assert len(known) < 4 * BUDGET_BYTES
            assert not acknowledged.done()

            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(PATIENCE_S):
                await acknowledged
            assert await read(node, document) == "".join(lines)
            await reader.append("!")


async def read_from_live_node(node: ServerProcess, document: str) -> str:
    """Return what a fresh client gets of a document that is open on the node."""
    async with asyncio.timeout(PATIENCE_S):
        return await read(node, document)


def empty(redis: RedisServer) -> None:
    """Delete everything, at once and without a lost connection."""
    redis.flush()


def lose_the_disk(redis: RedisServer) -> None:
    """Kill Redis, delete what it has written, and start it again."""
    redis.kill()
    for path in redis.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    redis.start()


each_loss = pytest.mark.parametrize("lose", [empty, lose_the_disk])


@each_loss
async def test_live_nodes_bring_their_documents_back(
    redis: RedisServer,
    clients: NodeClients,
    document: str,
    tmp_path: Path,
    lose: Callable[[RedisServer], None],
) -> None:
    """Redis, the only store, is empty: documents that are open anywhere are whole again by themselves."""
    async with run_nodes(tmp_path, [redis.url] * 3) as nodes:
        people = [await clients.open(f"on {i}", node.ws_root, document) for i, node in enumerate(nodes[:2])]
        text = ""
        for person in people:
            await person.wait_text(text)
            text = f"{person.name} {text}"
            await person.insert(0, f"{person.name} ")
            await person.acknowledge()
        await people[0].wait_text(text)

        await asyncio.to_thread(lose, redis)

        await wait_read(nodes[2], document, text)
        await people[0].insert(0, "after ")
        await people[0].acknowledge()
        await people[1].wait_text("after " + text)
        for node in nodes:
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
        assert await read(nodes[2], document) == "after " + text
        assert await read(nodes[2], "a new one") == ""


@each_loss
async def test_with_postgres_an_empty_redis_loses_nothing(
    redis: RedisServer,
    postgres: PostgresServer,
    document: str,
    tmp_path: Path,
    lose: Callable[[RedisServer], None],
) -> None:
    """Edits go on while Redis loses everything; all that was acknowledged is read by new nodes."""
    arguments = ("--store", postgres.new_database())
    async with run_nodes(tmp_path, [redis.url] * 2, *arguments) as nodes:
        expected = ""
        async with RawClient.open(nodes[0].ws_url("closed")) as client:
            await client.append("nobody is there")
            await client.acknowledge()
        async with RawClient.open(nodes[0].ws_url(document)) as writer:
            for number in range(60):
                if number == 30:
                    await asyncio.to_thread(lose, redis)
                await writer.append(f"{number} ")
                expected += f"{number} "
                await writer.acknowledge()
            await wait_read(nodes[1], document, expected)
        for node in nodes:
            await asyncio.to_thread(node.kill)
        await asyncio.to_thread(lose, redis)
        for node in nodes:
            await asyncio.to_thread(node.start)
            assert await read(node, document) == expected
            assert await read(node, "closed") == "nobody is there"
