"""The stock clients under one interface, so that one test runs over all of them."""

from typing import Protocol

from tests.support.clients import VERSIONS, NodeClients, StockClient
from tests.support.pycrdt_client import PycrdtClient
from tests.support.server_process import ServerProcess

__all__ = ["KINDS", "PYCRDT", "Peer", "Room"]

PYCRDT = "pycrdt"
KINDS = (*VERSIONS, PYCRDT)


class Peer(Protocol):
    """A client on one document, as a program that uses it sees it."""

    async def connect(self) -> None:
        """Come (back) to the server."""

    async def disconnect(self) -> None:
        """Leave cleanly and stay away."""

    async def insert(self, index: int, text: str) -> None:
        """Insert into the text."""

    async def delete(self, index: int, length: int) -> None:
        """Delete from the text."""

    async def text(self) -> str:
        """Return the text."""

    async def wait_text(self, text: str, timeout_s: float = ...) -> None:
        """Wait until the text is exactly this."""

    async def wait_synced(self, timeout_s: float = ...) -> None:
        """Wait until the first exchange of states is over."""


class Room:
    """One document of one server, which clients of any kind enter."""

    def __init__(self, server: ServerProcess, node: NodeClients, document: str) -> None:
        self._server = server
        self._node = node
        self._document = document
        self._pycrdt: list[PycrdtClient] = []
        self._stock: list[StockClient] = []

    async def enter(self, kind: str, name: str) -> Peer:
        """Open a client of any kind, synced with the server."""
        if kind != PYCRDT:
            return await self.enter_stock(kind, name)
        client = PycrdtClient(self._server.ws_url(self._document))
        self._pycrdt.append(client)
        await client.connect()
        return client

    async def enter_stock(self, version: str, name: str) -> StockClient:
        """Open a y-websocket client, synced with the server."""
        client = await self.open_stock(version, name)
        await client.connect()
        await client.wait_synced()
        return client

    async def open_stock(self, version: str, name: str) -> StockClient:
        """Open a y-websocket client that has not been connected yet."""
        url = self._server.ws_root
        client = await self._node.open(name, url, self._document, version=version, connect=False)
        self._stock.append(client)
        return client

    async def leave(self) -> None:
        """Close what Node's end does not close."""
        for client in self._pycrdt:
            await client.disconnect()

    async def check_nobody_helped_itself(self) -> None:
        """Fail where a client found out by itself, after 30 s, what the server has to tell."""
        for client in self._stock:
            assert await client.history("helped itself") == [], client.name
