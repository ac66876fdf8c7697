"""What the tests of the Postgres store share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

__all__ = ["TIMEOUT_S", "sql", "writes_locked"]

TIMEOUT_S = 2.0
"""Short, as many tests wait for it, and longer than a busy machine stalls."""


async def sql(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement as an outsider would."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


@asynccontextmanager
async def writes_locked(url: str) -> AsyncIterator[None]:
    """Hold a lock that lets others read the entries, but not write them."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE cowrite.entries IN SHARE MODE")
            yield
    finally:
        await connection.close()
