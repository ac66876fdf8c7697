"""A Redis of the test's own, a bus in it, and a proxy before it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.bus.redis import RedisBus
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def bus(redis: RedisServer) -> AsyncIterator[RedisBus]:
    async with RedisBus.open(redis.url, node="one") as bus:
        yield bus


@pytest.fixture
async def proxy(redis: RedisServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.open(redis.port) as proxy:
        yield proxy
