"""One client that its makers wrote, beside those of the generator."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.bench.systems.contract import Dialect, Server
from tests.support.clients import NodeClients

__all__ = ["Stock", "open_stock"]

HOCUSPOCUS_CLIENT = Path(__file__).parents[1] / "peers" / "hocuspocus_client.mjs"
WAIT_LIMIT_S = 15.0


class Stock(Protocol):
    """What is asked of it."""

    async def insert(self, index: int, text: str) -> None:
        """Insert into the text; here only ever at 0."""
        ...

    async def wait_text(self, text: str) -> None:
        """Wait until it shows exactly ``text``; raises after a while."""
        ...


class HocuspocusClient:
    """@hocuspocus/provider in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def insert(self, index: int, text: str) -> None:
        """Insert before the text."""
        assert index == 0 and self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        await self._process.stdin.drain()

    async def wait_text(self, text: str) -> None:
        """Read what it shows until that is ``text``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_LIMIT_S):
            async for line in self._process.stdout:
                if json.loads(line) == text:
                    return
        raise ConnectionError("the stock client ended")


@asynccontextmanager
async def open_stock(server: Server, document: str) -> AsyncIterator[Stock]:
    """Run a stock client of the server's dialect on ``document``."""
    if server.dialect is Dialect.Y_WEBSOCKET:
        async with NodeClients() as node:
            url = server.url(document).removesuffix(f"/{document}")
            client = await node.open("stock", url, document)
            await client.wait_synced()
            yield client
        return
    command = ("node", str(HOCUSPOCUS_CLIENT), server.url(document), document)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield HocuspocusClient(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
