"""Leases and kept presence: what was said stays said, through lost replies, a full Redis and late returns."""

import asyncio
from collections.abc import Sequence

import pytest

from server.bus import BusUnavailable
from server.bus.redis import RedisBus
from server.bus.redis_connection import Reply
from server.bus.redis_keys import RedisKeys
from server.bus.redis_servers import Lane, Request
from tests.server.redis_bus.support import TIMEOUT_S, append, everything
from tests.support.bus_ear import Ear
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy

LEASES = RedisKeys(0).leases
PRESENCE = RedisKeys(0).of("a").presence


async def test_B14_a_full_redis_takes_claims_leases_and_presence_and_is_trimmed(
    redis: RedisServer, bus: RedisBus
) -> None:
    """What waits to be folded is what fills it: so a fold must be able to begin."""
    positions = await append(bus, b"one", b"two")
    ear = Ear()
    async with RedisBus.open(redis.url, node="two") as other:
        await other.listen("a", ear)
        redis.execute("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BusUnavailable, match=r"^OOM "):
            await append(bus, b"three")
        assert await bus.claim("fold:a", 10.0)
        await bus.publish_presence("a", b"here", b"everybody")
        await ear.hears(b"here")
        assert await other.presence("a") == {"one": b"everybody"}
        redis.execute("DEL", LEASES)
        assert await bus.renew_lease()
        assert await bus.living_nodes() == {"one"}
        await bus.trim("a", positions[-1])
        assert await everything(bus) == []
        await bus.release("fold:a")


async def test_a_return_that_failed_half_way_is_completed(
    redis: RedisServer, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.publish_presence("a", b"x", b"everybody")
    redis.flush()
    ask_all = bus._servers.ask_all

    async def lose_presence(lane: Lane, requests: Sequence[Request]) -> list[Reply]:
        if any(PRESENCE in command for _, command in requests):
            return [BusUnavailable("lost")] * len(requests)
        return await ask_all(lane, requests)

    with monkeypatch.context() as lossy:
        lossy.setattr(bus._servers, "ask_all", lose_presence)
        with pytest.raises(BusUnavailable):
            await bus.renew_lease()
        assert redis.execute("ZCARD", LEASES) == 1
    assert await bus.renew_lease()
    assert redis.execute("HKEYS", PRESENCE) == [b"one"]
    assert not await bus.renew_lease()


@pytest.mark.parametrize(("lease_s", "is_over"), [(TIMEOUT_S / 2, True), (60.0, False)])
async def test_a_return_whose_reply_was_lost_is_completed(
    redis: RedisServer, proxy: TcpProxy, lease_s: float, is_over: bool
) -> None:
    async with RedisBus.open(proxy.url, node="one", lease_s=lease_s, timeout_s=TIMEOUT_S) as bus:
        await bus.publish_presence("a", b"x", b"everybody")
        redis.flush()
        proxy.drops_replies = True
        with pytest.raises(BusUnavailable):
            await bus.renew_lease()
        proxy.drops_replies = False
        assert redis.execute("ZCARD", LEASES) == 1
        assert await bus.renew_lease() == is_over
        assert redis.execute("HKEYS", PRESENCE) == [b"one"]


async def test_a_node_that_comes_back_while_it_is_cleared_away_keeps_its_presence(
    redis: RedisServer, bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who reads has found it dead; then it returns and says what it said before."""
    async with RedisBus.open(redis.url, node="two") as other:
        await other.publish_presence("a", b"x", b"everybody")
        redis.execute("DEL", LEASES)
        living = bus._presence.living

        async def living_then_other_returns() -> frozenset[str]:
            found = await living()
            assert await other.renew_lease()
            return found

        with monkeypatch.context() as late:
            late.setattr(bus._presence, "living", living_then_other_returns)
            assert await bus.presence("a") == {}
        assert await bus.presence("a") == {"two": b"everybody"}


async def test_a_bus_without_a_lease_is_no_node(redis: RedisServer, bus: RedisBus) -> None:
    """Who only looks, or only folds, must not appear and disappear before the others."""
    async with RedisBus.open(redis.url, node="two", takes_lease=False) as other:
        assert await bus.living_nodes() == {"one"}
        assert await other.claim("fold:a", 10.0)
        assert not await bus.claim("fold:a", 10.0)
        [position] = await append(bus, b"one")
        await other.trim("a", position)
        assert await everything(bus) == []


async def test_a_lease_is_renewed_beside_a_large_reading(redis: RedisServer, proxy: TcpProxy) -> None:
    """Several MB behind a slow link take longer than a server may be silent: that must end nothing."""
    async with RedisBus.open(redis.url, node="two") as writer:
        for _ in range(4):
            await append(writer, *[bytes(60_000)] * 25)
        await append(writer, bytes(4_000_000))
        expected = [60_000] * 100 + [4_000_000]
        async with RedisBus.open(proxy.url, node="one", timeout_s=TIMEOUT_S) as bus:
            proxy.delay_s = 0.04
            loop = asyncio.get_running_loop()
            started = loop.time()
            reading = asyncio.create_task(everything(bus))
            renewals = 0
            while not reading.done():
                assert not await bus.renew_lease()
                renewals += 1
            assert [len(update) for update in await reading] == expected
            assert loop.time() - started > TIMEOUT_S
            # Behind the reading, which takes two pages, there would be room for a few.
            assert renewals > 10
