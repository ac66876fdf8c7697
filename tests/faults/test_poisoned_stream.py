"""What is broken in Redis for one document is nobody else's trouble."""

import asyncio
from pathlib import Path

import pytest

from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.tcp_proxy import TcpProxy

IN_A_ROW = 4
"""Edits that are acknowledged one after the other."""
GAVE_UP = "gave up an entry that cannot be read"


def stream_of(redis: RedisServer, document: str) -> bytes:
    """Return the key of a document's stream."""
    [key] = redis.execute("KEYS", f"*{{{document}}}:stream")
    assert isinstance(key, bytes)
    return key


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

            await poll(has_all, PATIENCE_S, "the reader has all")
        for node in nodes:
            await asyncio.to_thread(node.restart)
            async with RawClient.open(node.ws_url("poisoned")) as fresh:
                assert fresh.text == "before after"


async def test_node_that_looks_for_what_it_cannot_read_stops_at_once(
    redis: RedisServer, tmp_path: Path
) -> None:
    """The store has no such entry either, and is asked for it for 12 s; nobody waits for that at the end."""
    async with run_nodes(tmp_path, [redis.url]) as [node]:

        async def stops_while_it_looks() -> bool:
            async with RawClient.open(node.ws_url("poisoned")) as writer:
                await writer.append("before ")
                await writer.acknowledge()
                known = said(node, GAVE_UP)
                redis.execute("XADD", stream_of(redis, "poisoned"), "*", "what", "garbage")
                await writer.append("after ")
                await writer.acknowledge()
            has_given_up = said(node, GAVE_UP) > known
            assert await asyncio.to_thread(node.stop) == 0
            if not has_given_up:
                assert said(node, GAVE_UP) == known, "the stop waited for what nobody has"
                return True
            await asyncio.to_thread(node.start)
            return False

        await poll(stops_while_it_looks, PATIENCE_S, "it is stopped while it looks")


def said(node: ServerProcess, sentence: str) -> int:
    """Count how often a sentence is in the log of a node."""
    return node.log.read_text().count(sentence)


async def test_document_that_cannot_be_appended_to_holds_up_no_other(
    redis: RedisServer, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Its stream is no stream any more: its own acknowledgements wait, others come between its tries."""
    async with (
        TcpProxy.open(redis.port) as proxy,
        run_nodes(tmp_path, [proxy.url], "--store", postgres.new_database()) as [node],
    ):
        async with (
            RawClient.open(node.ws_url("broken")) as broken,
            RawClient.open(node.ws_url("healthy")) as healthy,
        ):
            await broken.append("before ")
            await broken.acknowledge()
            key = stream_of(redis, "broken")
            redis.execute("DEL", key)
            redis.execute("SET", key, "no stream")
            tries = Appends(proxy, key)
            await broken.append("after")
            waiting = asyncio.create_task(broken.acknowledge())
            written = 0

            async def is_held_up_by_no_try() -> bool:
                nonlocal written
                before = tries.count
                for _ in range(IN_A_ROW):
                    await healthy.append(f"{written} ")
                    await healthy.acknowledge()
                    written += 1
                return 0 < before == tries.count

            trying = poll(is_held_up_by_no_try, PATIENCE_S, "others are acknowledged between two tries")
            await asyncio.wait_for(trying, PATIENCE_S)
            assert not waiting.done()
            assert redis.execute("XLEN", stream_of(redis, "healthy")) == written

            redis.execute("DEL", key)
            await asyncio.wait_for(waiting, PATIENCE_S)
        await asyncio.to_thread(node.restart)
        text = "".join(f"{number} " for number in range(written))
        for document, expected in (("broken", "before after"), ("healthy", text)):
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == expected


class Appends:
    """How often a node tries to append to one stream, by what it asks of Redis."""

    def __init__(self, proxy: TcpProxy, key: bytes) -> None:
        self.count = 0
        self._key = key
        proxy.on_request = self._look

    def _look(self, piece: bytes) -> None:
        self.count += b"EVALSHA" in piece and self._key in piece
