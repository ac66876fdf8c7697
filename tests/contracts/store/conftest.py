"""Every store: each test of this folder runs over all of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.storage.postgres import PostgresStore
from server.storage.redis import RedisStore
from server.storage.sqlite import SqliteStore
from tests.contracts.store.support import Open, Subject, open_memory
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisCluster, RedisServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("redis-cluster")) as cluster:
        yield cluster


@pytest.fixture
def memory() -> Open:
    return open_memory


@pytest.fixture
def sqlite(tmp_path: Path) -> Open:
    return lambda: SqliteStore.open(tmp_path)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Open:
    url = postgres_server.new_database()
    return lambda: PostgresStore.open(url)


@pytest.fixture
def redis(redis_server: RedisServer) -> Open:
    redis_server.flush()
    return lambda: RedisStore.open(redis_server.url)


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> Open:
    redis_cluster.flush()
    return lambda: RedisStore.open(redis_cluster.url)


KINDS = ["memory", "sqlite", "postgres", "redis", "cluster"]
"""The fixtures that say how to open a store, on something of the test's own."""


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest) -> Open:
    """Say how to open a store of each kind; starts only the servers that the chosen tests need."""
    chosen: Open = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def subject(opener: Open) -> AsyncIterator[Subject]:
    subject = Subject(opener)
    await subject.open()
    yield subject
    await subject.close()
