"""A Redis, a Postgres and a Node process for the tests of this folder that ask for them."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.clients import NodeClients
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with an append-only file."""
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A Postgres."""
    with PostgresServer() as running:
        yield running


@pytest.fixture
async def clients() -> AsyncIterator[NodeClients]:
    """A Node process for stock clients."""
    async with NodeClients() as running:
        yield running


@pytest.fixture
def document(request: pytest.FixtureRequest) -> str:
    """The name of a document that no other test uses."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name)
