"""An empty Redis, a bus in it, and the stores of two nodes."""

from collections.abc import AsyncIterator, Iterator

import pytest

from server.storage.redis import RedisStore
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(running: RedisServer) -> RedisServer:
    """Give an empty Redis."""
    running.flush()
    return running


@pytest.fixture
async def nodes(redis: RedisServer) -> AsyncIterator[list[RedisStore]]:
    """Open the store of two nodes on one Redis."""
    async with RedisStore.open(redis.url) as one, RedisStore.open(redis.url) as other:
        yield [one, other]
