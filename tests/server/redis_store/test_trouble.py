"""A Redis that dies, that is full, that is far; and what is said of it."""

import asyncio
import random
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.storage import Entry, Snapshot, StoreUnavailable
from server.storage.redis import RedisStore
from tests.server.redis_store.support import TIMEOUT_S
from tests.support.polling import PATIENCE_S
from tests.support.redis_server import RedisServer
from tests.support.server_process import free_port
from tests.support.stores import append_losing_the_answer, append_until_stored, entries, write_through_crashes
from tests.support.tcp_proxy import TcpProxy


async def test_a_crash_of_redis_loses_and_doubles_nothing_and_the_store_recovers(
    tmp_path: Path, seed: int
) -> None:
    with RedisServer(tmp_path) as server:
        async with RedisStore.open(server.url, timeout_s=2) as store:
            acknowledged = await write_through_crashes(store, server, random.Random(seed))
            assert list((await store.load("a")).entries) == acknowledged
            assert acknowledged == entries("a", range(1, len(acknowledged) + 1))


@asynccontextmanager
async def memory_limit(redis: RedisServer, extra_bytes: int) -> AsyncIterator[None]:
    """Let Redis have no more than a little above what it has."""
    used = redis.execute("INFO", "memory")["used_memory"]
    redis.execute("CONFIG", "SET", "maxmemory", used + extra_bytes)
    try:
        yield
    finally:
        redis.execute("CONFIG", "SET", "maxmemory", 0)


async def test_full_memory_loses_nothing_and_folding_makes_room(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    store = nodes[0]
    await store.append([Entry("a", position, b"x" * 10_000) for position in range(1, 301)])
    stored: list[Entry] = []
    async with memory_limit(redis, 1_000_000):
        with pytest.raises(StoreUnavailable, match="OOM"):
            for position in range(1, 1000):
                batch = [Entry("filling", position, b"y" * 10_000)]
                await store.append(batch)
                stored += batch
        more = [Entry("new", position, b"z" * 1000) for position in range(1, 100)]
        with pytest.raises(StoreUnavailable, match="OOM"):
            await store.append(more)
        assert list((await store.load("filling")).entries) == stored
        assert await store.replace("a", Snapshot(b"s" * 100_000, 300, 1), folded=range(1, 301), generation=0)
        await store.append(more)
    assert list((await store.load("new")).entries) == more
    assert list((await store.load("filling")).entries) == stored
    assert (await store.load("a")).snapshot == Snapshot(b"s" * 100_000, 300, 1)


async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    for position in range(1, 4):
        redis.execute("SCRIPT", "FLUSH")
        await nodes[0].append(entries("a", [position]) + entries("b", [position]))
        redis.execute("SCRIPT", "FLUSH")
        assert list((await nodes[0].load("a")).entries) == entries("a", range(1, position + 1))
    redis.execute("SCRIPT", "FLUSH")
    assert await nodes[0].replace("a", Snapshot(b"s", 3, 1), folded=range(1, 4), generation=0)


async def test_an_append_whose_answer_was_lost_is_stored_once(redis: RedisServer) -> None:
    async with TcpProxy.open(redis.port) as proxy, RedisStore.open(proxy.url, timeout_s=TIMEOUT_S) as store:
        await store.append(entries("a", [1]))
        for position in range(2, 6):
            await append_losing_the_answer(store, proxy, entries("a", [position], "first"))
            await append_until_stored(store, entries("a", [position], "again"))
        stored = await store.load("a")
    assert list(stored.entries) == entries("a", [1]) + entries("a", range(2, 6), "first")


async def test_a_server_that_falls_silent_is_reported_in_time(redis: RedisServer) -> None:
    async with TcpProxy.open(redis.port) as proxy, RedisStore.open(proxy.url, timeout_s=TIMEOUT_S) as store:
        await store.append(entries("a", [1]))
        proxy.drops_replies = True
        async with asyncio.timeout(PATIENCE_S):
            calls = [store.append(entries("a", [2])), store.load("a"), store.backlog()]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}


async def test_no_error_shows_the_password(redis: RedisServer) -> None:
    nobody = free_port()
    for bad in (
        f"redis://:secret@127.0.0.1:{nobody}",
        f"redis://cowrite:secret@127.0.0.1:{redis.port}",
        "redis://:sec/secret@127.0.0.1",
        "redis://127.0.0.1:secret",
        "redis//:secret@127.0.0.1",
        "redis://:secret@[127.0.0.1",
    ):
        with pytest.raises(StoreUnavailable) as refused:
            async with RedisStore.open(bad, timeout_s=1):
                pass
        said = "".join(traceback.format_exception(refused.value))
        assert "secret" not in said, bad
