"""A Redis that is killed, slow, full, or cut off: order is kept and nothing is lost."""

import asyncio
import random
from pathlib import Path

import pytest
import uvloop

from server.bus import BusEntry, BusUnavailable, Position, Reading, birth_of, follows
from server.bus.redis import TIMEOUT_S as LONGER_TIMEOUT_S
from server.bus.redis import RedisBus
from tests.server.redis_bus.support import (
    STREAM,
    TIMEOUT_S,
    append,
    append_until_done,
    everything,
    without_doubles,
)
from tests.support.bus_ear import Ear
from tests.support.polling import PATIENCE_S
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy


async def test_a_killed_redis_is_unavailable_and_keeps_what_it_confirmed(
    redis: RedisServer, bus: RedisBus
) -> None:
    ear = Ear()
    await bus.listen("a", ear)
    before = await append(bus, b"one", b"two")
    redis.kill()
    with pytest.raises(BusUnavailable):
        await append(bus, b"three")
    with pytest.raises(BusUnavailable):
        await bus.read("a", before[0])
    doubts = ear.doubts
    redis.restart()
    [after] = await append_until_done(bus, b"three")
    await ear.doubts_again(doubts)
    assert follows(after, before[1])
    assert await everything(bus) == [b"one", b"two", b"three"]
    await append(bus, b"four")
    await ear.hears(b"four")


async def test_a_killed_redis_is_unavailable_at_once(redis: RedisServer) -> None:
    async with RedisBus.open(redis.url, node="one", timeout_s=3 * PATIENCE_S) as bus:
        await append(bus, b"one")
        redis.kill()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(BusUnavailable):
                await append(bus, b"two")
            with pytest.raises(BusUnavailable):
                await bus.read("a", Position(0))


async def test_positions_grow_when_redis_comes_back_empty(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", appendonly=False) as redis:
        async with RedisBus.open(redis.url, node="one") as bus:
            ear = Ear()
            await bus.listen("a", ear)
            before = await append(bus, b"one", b"two")
            redis.kill()
            redis.restart()
            [after] = await append_until_done(bus, b"three")
            await ear.doubts_again(0)
            assert birth_of(after) > birth_of(before[1])
            reading = await bus.read("a", before[1])
            assert reading == Reading([BusEntry(after, b"three")], False, after)


def test_it_works_on_the_event_loop_of_the_server(redis: RedisServer) -> None:
    """The other tests run on asyncio's own loop, where a test that hangs can be ended."""

    async def use() -> None:
        async with TcpProxy.open(redis.port) as proxy, RedisBus.open(proxy.url, node="one") as bus:
            ear = Ear()
            await bus.listen("a", ear)
            await append(bus, b"one", random.Random(1).randbytes(3_000_000))
            await ear.doubts_again(0)
            await append(bus, b"three")
            await ear.hears(b"three")
            proxy.cut()
            await ear.doubts_again(1)
            await append_until_done(bus, b"four")
            await ear.hears(b"four")
            assert [len(update) for update in await everything(bus)] == [3, 3_000_000, 5, 4]
            assert ear.updates == [b"one", b"three", b"four"]
            redis.kill()
            with pytest.raises(BusUnavailable):
                await append(bus, b"five")

    async def use_in_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await use()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use_in_time())


async def test_a_flushed_script_is_loaded_again(redis: RedisServer, bus: RedisBus) -> None:
    await append(bus, b"one")
    redis.execute("SCRIPT", "FLUSH")
    await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one", b"two", b"three"]


async def test_a_lost_reply_never_changes_the_order(redis: RedisServer, proxy: TcpProxy) -> None:
    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        await append(bus, b"one")
        proxy.drops_replies = True
        async with asyncio.timeout(LONGER_TIMEOUT_S):
            with pytest.raises(BusUnavailable):
                await append(bus, b"two", b"three")
        assert proxy.swallowed_bytes > 0
        proxy.drops_replies = False
        proxy.cut()
        await append_until_done(bus, b"two", b"three")
        await append(bus, b"four")
        assert await everything(bus) == [b"one", b"two", b"three", b"two", b"three", b"four"]


async def test_a_connection_cut_at_random_keeps_order_and_loses_nothing(
    redis: RedisServer, proxy: TcpProxy, seed: int
) -> None:
    chosen = random.Random(seed)
    is_writing = True

    async def harm() -> None:
        while is_writing:
            await asyncio.sleep(chosen.uniform(0, 0.02))
            proxy.cut()

    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        harming = asyncio.create_task(harm())
        updates = [str(index).encode() for index in range(400)]
        for start in range(0, len(updates), 4):
            await append_until_done(bus, *updates[start : start + 4])
        is_writing = False
        await harming
        async with RedisBus.open(redis.url, node="two") as reader:
            assert without_doubles(await everything(reader)) == updates


async def test_a_slow_redis_is_unavailable_in_time(proxy: TcpProxy) -> None:
    async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
        # Each would succeed if it was waited for.
        proxy.delay_s = 3 * TIMEOUT_S
        for call in (bus.read("a", Position(0)), bus.renew_lease(), bus.presence("a")):
            with pytest.raises(BusUnavailable):
                await call
        proxy.delay_s = 0.0
        await append_until_done(bus, b"one")


async def test_a_caller_that_gives_up_disturbs_no_other(bus: RedisBus) -> None:
    await append(bus, b"one")
    for index in range(20):
        given_up = asyncio.create_task(append(bus, str(index).encode()))
        for _ in range(index % 6):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        [position] = await append(bus, b"kept", document="b")
        assert (await bus.read("b", Position(position - 1))).entries == [BusEntry(position, b"kept")]
    updates = await everything(bus)
    assert updates == [b"one", *sorted(updates[1:], key=int)]


async def test_F46_a_full_redis_is_unavailable_and_recovers(redis: RedisServer, bus: RedisBus) -> None:
    await append(bus, b"one")
    redis.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(BusUnavailable, match=r"^OOM "):
        await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one"]
    redis.execute("CONFIG", "SET", "maxmemory", "0")
    await append(bus, b"two", b"three")
    assert await everything(bus) == [b"one", b"two", b"three"]


async def test_a_replica_is_unavailable(redis: RedisServer, bus: RedisBus, tmp_path: Path) -> None:
    await append(bus, b"one")
    with RedisServer(tmp_path / "other") as master:
        redis.execute("REPLICAOF", "127.0.0.1", master.port)
        with pytest.raises(BusUnavailable, match=r"^(READONLY|MASTERDOWN|LOADING) "):
            await append(bus, b"two")
        redis.execute("REPLICAOF", "NO", "ONE")
        await append_until_done(bus, b"two")


async def test_F16_a_new_master_behind_the_same_name_is_found(
    redis: RedisServer, proxy: TcpProxy, tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "other") as master:
        async with RedisBus.open(proxy.url, node="one") as bus:
            [before] = await append(bus, b"one")
            redis.execute("REPLICAOF", "127.0.0.1", master.port)
            proxy.target = master.port
            [after] = await append_until_done(bus, b"two")
            assert birth_of(after) > birth_of(before)
            assert master.execute("XLEN", STREAM) == 1


async def test_databases_of_one_redis_hear_nothing_of_each_other(redis: RedisServer, bus: RedisBus) -> None:
    ears = [Ear(), Ear()]
    async with RedisBus.open(f"{redis.url}/3", node="one") as other:
        for listening, ear in zip((bus, other), ears, strict=True):
            await listening.listen("a", ear)
        await append(bus, b"zero")
        await append(other, b"three")
        await ears[0].hears(b"zero")
        await ears[1].hears(b"three")
        assert [ear.updates for ear in ears] == [[b"zero"], [b"three"]]
        assert await everything(other) == [b"three"]


async def test_redis_that_is_not_there_is_unavailable_at_the_start(redis: RedisServer) -> None:
    redis.stop()
    with pytest.raises(BusUnavailable):
        async with RedisBus.open(redis.url, node="one"):
            pass
