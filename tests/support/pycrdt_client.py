"""A Python program's Yjs client: pycrdt's own ``Provider`` over an httpx-ws WebSocket."""

import asyncio
from typing import Self

from httpx_ws import AsyncWebSocketSession, WebSocketDisconnect, WebSocketNetworkError, aconnect_ws
from pycrdt import Doc, Provider, Text

from tests.support.polling import PATIENCE_S, poll

__all__ = ["PycrdtClient"]


class Channel:
    """What a pycrdt ``Provider`` reads from and writes to."""

    def __init__(self, socket: AsyncWebSocketSession, path: str) -> None:
        self._socket = socket
        self.path = path

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except (WebSocketDisconnect, WebSocketNetworkError):
            raise StopAsyncIteration from None

    async def send(self, message: bytes) -> None:
        """Send one binary message."""
        await self._socket.send_bytes(message)

    async def recv(self) -> bytes:
        """Return the next binary message."""
        return await self._socket.receive_bytes()


class PycrdtClient:
    """One document, with a new provider for each time that it connects; it has no awareness.

    Unlike y-websocket's provider it does not come back by itself. Text is ASCII here: pycrdt and
    Y.Text count positions differently.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get("text", type=Text)
        self._connection: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Connect, and return when the first sync is complete."""
        assert self._connection is None, "connected already"
        self._leave = asyncio.Event()
        synced = asyncio.Event()
        self._connection = asyncio.create_task(self._run(synced))
        waiting = asyncio.create_task(synced.wait())
        await asyncio.wait(
            (self._connection, waiting), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if self._connection.done():
            self._connection.result()
        assert synced.is_set(), "not synced"

    async def disconnect(self) -> None:
        """Close with a close frame; idempotent. Raises what ended the connection earlier, if anything."""
        if self._connection is None:
            return
        self._leave.set()
        connection, self._connection = self._connection, None
        await connection

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None and not self._connection.done()

    async def insert(self, index: int, text: str) -> None:
        """Insert into the text in one transaction."""
        self._text.insert(index, text)

    async def delete(self, index: int, length: int) -> None:
        """Delete from the text in one transaction."""
        del self._text[index : index + length]

    async def text(self) -> str:
        """Return the text that the client has."""
        return str(self._text)

    async def wait_text(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the client has exactly ``text``."""

        async def has_text() -> bool:
            return str(self._text) == text

        await poll(has_text, timeout_s, f"the text of the Python client is {text!r}")

    async def wait_synced(self, timeout_s: float = PATIENCE_S) -> None:
        """Return at once: ``connect`` has waited."""
        assert self.is_connected, "not connected"

    async def _run(self, synced: asyncio.Event) -> None:
        async with (
            aconnect_ws(
                self._url, session_class=AsyncWebSocketSession, max_message_size_bytes=2**24
            ) as socket,
            Provider(self._doc, Channel(socket, self._url)) as provider,
        ):
            await provider.synced.wait()
            synced.set()
            await self._leave.wait()
