"""The smallest Yjs client: the wire protocol in a few lines, quick to start and with nothing hidden."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pycrdt import (
    Decoder,
    Doc,
    Text,
    YMessageType,
    YSyncMessageType,
    create_sync_message,
    create_update_message,
    handle_sync_message,
    write_message,
)
from websockets.asyncio.client import ClientConnection, connect

from tests.support.polling import PATIENCE_S

__all__ = ["RawClient"]

MESSAGE_ACKNOWLEDGE = 102


class RawClient:
    """One connection to one document, read only while something is waited for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get("text", type=Text)
        self._requests = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> "AsyncIterator[RawClient]":
        """Connect and read the document; what the context gives holds all that the server knew."""
        async with connect(
            url, compression=None, max_size=None, ping_interval=None, open_timeout=PATIENCE_S
        ) as socket:
            client = cls(socket)
            await socket.send(create_sync_message(client._doc))
            await client._take_until(bytes((YMessageType.SYNC, YSyncMessageType.SYNC_STEP2)))
            yield client

    @property
    def text(self) -> str:
        """The text as far as it was received."""
        return str(self._text)

    @property
    def clocks(self) -> dict[int, int]:
        """The state vector as far as it was received."""
        decoder = Decoder(self._doc.get_state())
        return {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_var_uint())}

    async def append(self, text: str) -> None:
        """Write at the end of the text and send it as one update."""
        known = self._doc.get_state()
        self._text += text
        await self._socket.send(create_update_message(self._doc.get_update(known)))

    async def send(self, update: bytes) -> None:
        """Send an update that was made elsewhere."""
        await self._socket.send(create_update_message(update))

    async def acknowledge(self) -> None:
        """Wait until the server has confirmed everything sent so far (message 102)."""
        self._requests += 1
        request = bytes((MESSAGE_ACKNOWLEDGE,)) + write_message(str(self._requests).encode())
        await self._socket.send(request)
        await self._take_until(request)

    async def _take_until(self, beginning: bytes) -> None:
        """Take messages until one that starts so has been taken."""
        async for message in self._socket:
            assert isinstance(message, bytes), "the server sent text"
            if message[0] == YMessageType.SYNC:
                answer = handle_sync_message(message[1:], self._doc)
                if answer is not None:
                    await self._socket.send(answer)
            if message.startswith(beginning):
                return
        raise AssertionError(f"the server closed: {self._socket.close_code} {self._socket.close_reason}")
