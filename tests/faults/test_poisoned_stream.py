"""What is broken in Redis for one document is nobody else's trouble."""

import asyncio
import time
from pathlib import Path
from statistics import median

import pytest

from tests.support.nodes import run_nodes
from tests.support.polling import poll
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

LIMIT_S = 8.0
UNDISTURBED_S = 1.5
"""The document that is broken is tried every 2 s after a while: others must not wait for that."""

EDITS = 13
STOP_LIMIT_S = 4.0


def stream_of(redis: RedisServer, document: str) -> bytes:
    """Return the key of a document's stream."""
    [key] = redis.execute("KEYS", f"*{{{document}}}:stream")
    assert isinstance(key, bytes)
    return key


async def time_to_stop(node: ServerProcess) -> float:
    """Stop a node in order and return how many seconds that took."""
    started = time.monotonic()
    assert await asyncio.to_thread(node.stop) == 0
    return time.monotonic() - started


@pytest.mark.parametrize("stored_in", ["redis", "postgres"])
async def test_garbage_in_a_stream_is_skipped(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path, stored_in: str
) -> None:
    """An entry that nobody can read: edits before and after it are read by old and new nodes."""
    store = "redis" if stored_in == "redis" else postgres.new_database()
    async with run_nodes(tmp_path, [redis.url] * 2, "--store", store) as nodes:
        async with (
            RawClient.open(nodes[0].ws_url("poisoned")) as writer,
            RawClient.open(nodes[1].ws_url("poisoned")) as reader,
        ):
            await writer.append("before ")
            await writer.acknowledge()
            redis.execute("XADD", stream_of(redis, "poisoned"), "*", "what", "garbage")
            await writer.append("after")
            await writer.acknowledge()

            async def has_all() -> bool:
                await reader.acknowledge()
                return reader.text == "before after"

            await poll(has_all, LIMIT_S, "the reader has all")
        for node in nodes:
            await asyncio.to_thread(node.restart)
            async with RawClient.open(node.ws_url("poisoned")) as fresh:
                assert fresh.text == "before after"


async def test_node_that_looks_for_what_it_cannot_read_stops_at_once(
    redis: RedisServer, tmp_path: Path
) -> None:
    """The store has no such entry either, and is asked for it for 12 s; nobody waits for that at the end.

    A stop takes little longer than that of a node that looks for nothing, however slow the machine is.
    """
    async with run_nodes(tmp_path, [redis.url] * 2) as [idle, node]:
        usual_s = await time_to_stop(idle)
        async with RawClient.open(node.ws_url("poisoned")) as writer:
            await writer.append("before ")
            await writer.acknowledge()
            redis.execute("XADD", stream_of(redis, "poisoned"), "*", "what", "garbage")
            await writer.append("after")
            await writer.acknowledge()
        assert await time_to_stop(node) < usual_s + STOP_LIMIT_S


async def test_document_that_cannot_be_appended_to_holds_up_no_other(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Its stream is no stream any more: its own acknowledgements wait, those of others come."""
    async with run_nodes(tmp_path, [redis.url], "--store", postgres.new_database()) as [node]:
        async with (
            RawClient.open(node.ws_url("broken")) as broken,
            RawClient.open(node.ws_url("healthy")) as healthy,
        ):
            await broken.append("before ")
            await broken.acknowledge()
            key = stream_of(redis, "broken")
            redis.execute("DEL", key)
            redis.execute("SET", key, "no stream")
            await broken.append("after")
            waiting = asyncio.create_task(broken.acknowledge())
            waits_s = []
            for number in range(EDITS):
                started = time.monotonic()
                await healthy.append(f"{number} ")
                async with asyncio.timeout(LIMIT_S):
                    await healthy.acknowledge()
                waits_s.append(time.monotonic() - started)
            assert median(waits_s) < UNDISTURBED_S
            assert not waiting.done()
            assert redis.execute("XLEN", stream_of(redis, "healthy")) == EDITS

            redis.execute("DEL", key)
            async with asyncio.timeout(LIMIT_S):
                await waiting
        await asyncio.to_thread(node.restart)
        written = "".join(f"{number} " for number in range(EDITS))
        for document, text in (("broken", "before after"), ("healthy", written)):
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == text
