"""What stays in Redis when nobody needs it."""

import random

from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from tests.server.redis_bus.support import STREAM, append
from tests.support.redis_server import RedisServer


async def test_an_idle_trimmed_stream_is_small(redis: RedisServer, bus: RedisBus) -> None:
    positions = await append(bus, *[random.Random(1).randbytes(1000)] * 200)
    await bus.trim("a", positions[-1])
    assert redis.execute("MEMORY", "USAGE", STREAM) < 600


async def test_presence_left_alone_does_not_stay_for_ever(redis: RedisServer, bus: RedisBus) -> None:
    await bus.publish_presence("a", b"x", b"everybody")
    left_ms = redis.execute("PTTL", RedisKeys(0).of("a").presence)
    assert 0 < left_ms <= 3_600_000


async def test_what_a_dead_node_left_is_removed(redis: RedisServer, bus: RedisBus) -> None:
    async with RedisBus.open(redis.url, node="two") as other:
        await other.publish_presence("a", b"x", b"everybody")
    assert redis.execute("HKEYS", RedisKeys(0).of("a").presence) == [b"two"]
    assert await bus.presence("a") == {}
    assert redis.execute("HKEYS", RedisKeys(0).of("a").presence) == []
