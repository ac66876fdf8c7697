"""The tables, and a database and a server that suit them."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from server.storage import SchemaTooNew, StoreUnavailable
from server.storage.postgres import PostgresStore
from tests.server.postgres_store.support import sql
from tests.support.postgres_server import PostgresServer
from tests.support.stores import entries


async def test_nodes_that_start_at_once_on_an_empty_database_all_find_their_tables(url: str) -> None:
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(PostgresStore.open(url)) for _ in range(4))
        stores = await asyncio.gather(*opening)
        for position, store in enumerate(stores, 1):
            await store.append(entries("a", [position]))
        assert list((await stores[0].load("a")).entries) == entries("a", range(1, 5))
    assert await sql(url, "SELECT version FROM cowrite.schema_version") == [(1,)]


async def test_a_later_schema_is_refused_and_left_alone(url: str) -> None:
    async with PostgresStore.open(url) as store:
        await store.append(entries("a", [1]))
    await sql(url, "UPDATE cowrite.schema_version SET version = 2")
    with pytest.raises(SchemaTooNew, match="schema 2"):
        async with PostgresStore.open(url):
            pass
    assert await sql(url, "SELECT version FROM cowrite.schema_version") == [(2,)]
    assert await sql(url, "SELECT document, position FROM cowrite.entries") == [("a", 1)]


async def test_a_database_that_cannot_hold_every_name_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database("--encoding=LATIN1", "--template=template0", "--locale=C")
    with pytest.raises(StoreUnavailable, match="LATIN1"):
        async with PostgresStore.open(url):
            pass


async def test_a_setting_that_loses_commits_is_warned_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await sql(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    async with PostgresStore.open(url):
        pass
    assert [(record.levelno, record.args) for record in caplog.records] == [
        (logging.WARNING, ("synchronous_commit",))
    ]
