"""A Postgres, and the stores of two nodes in a database of the test's own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from server.storage.postgres import PostgresStore
from tests.support.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Give an empty database."""
    return postgres.new_database()


@pytest.fixture
async def nodes(url: str) -> AsyncIterator[list[PostgresStore]]:
    """Open the store of two nodes on one database."""
    async with PostgresStore.open(url) as one, PostgresStore.open(url) as other:
        yield [one, other]
