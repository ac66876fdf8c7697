"""What the server tests share: a y-websocket client in Python, and waiting with a bound."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from pycrdt import Doc, Text, merge_updates
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crdt.dialects.y_websocket import YWebsocket
from crdt.encoding import Decoder, encode_var_string, encode_var_uint
from crdt.messages import (
    AwarenessUpdate,
    Message,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from crdt.state_vector import StateVector
from crdt.update import Update
from tests.support.polling import PATIENCE_S

__all__ = ["Peer", "presence", "read_presence", "until", "update_of", "warnings_of"]

DIALECT = YWebsocket()


async def until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` gives something true; fail with ``what`` after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(0.005)


@dataclass
class Peer:
    """A y-websocket client: a document with one text, what it saw of presence, and its acknowledgements.

    What comes before the first sync step 2 is merged with it, because yrs is wrong when updates come
    out of order. Edits go out as stock clients send them: one update frame a transaction.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """For the WebSocket's handshake."""
    doc: "Doc[Text]" = field(default_factory=Doc)
    hello: bytes | None = None
    """An awareness update sent right after the sync step 1."""
    frames: list[bytes] = field(default_factory=list)
    present: dict[int, tuple[int, Any]] = field(default_factory=dict)
    """Client id to (clock, state); None for who left."""
    presence_log: list[tuple[int, int, Any]] = field(default_factory=list)
    acknowledged: list[bytes] = field(default_factory=list)
    is_synced: bool = False
    answers: bool = True
    """Whether it answers the server's sync step 1, as every stock client does."""
    ws: ClientConnection = field(init=False)
    _early: list[bytes] = field(default_factory=list)
    _reader: "asyncio.Task[None] | None" = None
    _asked: int = 0

    async def __aenter__(self) -> Self:
        await self.connect()
        await self.synced()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect and start the protocol, as a stock client does."""
        options = {"max_size": None, "compression": None, "ping_interval": None, "open_timeout": PATIENCE_S}
        self.ws = await connect(self.url, **{**options, **self.options})
        self.is_synced = False
        self._reader = asyncio.create_task(self._read())
        # Whoever is refused is so at once.
        with suppress(ConnectionClosed):
            await self.send(SyncStep1(StateVector(self.doc.get_state())))
            if self.hello is not None:
                await self.send(AwarenessUpdate(self.hello))

    async def close(self) -> None:
        """Close with a close frame; idempotent."""
        assert self._reader is not None
        await self.ws.close()
        await self._reader

    async def abort(self) -> None:
        """Break the connection without a close frame; idempotent."""
        if self._reader is not None:
            self.ws.transport.abort()
            await self._reader

    async def synced(self) -> None:
        """Wait for the first sync step 2."""
        await until(lambda: self.is_synced or self.closed, "synced")
        assert self.is_synced, f"closed instead of synced: {self.ws.close_code} {self.ws.close_reason}"

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._reader is not None and self._reader.done()

    async def closing(self, timeout_s: float = PATIENCE_S) -> tuple[int | None, str | None]:
        """Wait for the end and return the server's code and reason."""
        await until(lambda: self.closed, "closed by the server", timeout_s)
        return self.ws.close_code, self.ws.close_reason

    @property
    def text(self) -> Text:
        """The one text of the document."""
        return self.doc.get("t", type=Text)

    @property
    def shown(self) -> str:
        """What the text says."""
        return str(self.text)

    async def send(self, message: Message) -> None:
        """Send one message."""
        await self.ws.send(DIALECT.encode(message))

    async def insert(self, index: int, content: str) -> bytes:
        """Insert into the text, send the update, and return it."""
        return await self.edit(lambda text: text.insert(index, content))

    def inserted(self, index: int, content: str) -> bytes:
        """Insert into the text without sending, and return the update."""
        return self.change(lambda text: text.insert(index, content))

    async def append(self, content: str) -> bytes:
        """Insert at the end."""
        return await self.insert(len(self.text), content)

    async def edit(self, change: Callable[[Text], object]) -> bytes:
        """Change the text in one transaction, send the update, and return it."""
        update = self.change(change)
        await self.send(SyncUpdate(Update(update)))
        return update

    def change(self, change: Callable[[Text], object]) -> bytes:
        """Change the text without sending, and return the update."""
        before = self.doc.get_state()
        with self.doc.transaction():
            change(self.text)
        return self.doc.get_update(before)

    async def ask(self, payload: bytes | None = None) -> bytes:
        """Ask for an acknowledgement without waiting for it; return what will come back."""
        self._asked += 1
        asked = encode_var_uint(self._asked) if payload is None else payload
        await self.send(SyncStatus(asked))
        return asked

    async def acknowledge(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until everything sent so far is durable."""
        asked = await self.ask()
        await until(lambda: asked in self.acknowledged or self.closed, "acknowledged", timeout_s)
        assert asked in self.acknowledged, f"closed: {self.ws.close_code} {self.ws.close_reason}"

    async def shows(self, content: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the text says exactly ``content``."""
        try:
            await until(lambda: self.shown == content, "the text", timeout_s)
        except AssertionError:
            assert self.shown == content
            raise

    @staticmethod
    def text_of(updates: Sequence[bytes]) -> str:
        """Return what the text says after ``updates``, given in any order."""
        doc: Doc[Text] = Doc()
        doc.apply_update(merge_updates(*updates))
        return str(doc.get("t", type=Text))

    def state_of(self, client: int) -> object:
        """Return what was last heard of the presence of ``client``; None when it left or never came."""
        return self.present.get(client, (0, None))[1]

    async def _read(self) -> None:
        try:
            async for frame in self.ws:
                assert isinstance(frame, bytes)
                self.frames.append(frame)
                for message in DIALECT.decode(frame):
                    await self._take(message)
        except ConnectionClosed:
            pass

    async def _take(self, message: Message) -> None:
        match message:
            case SyncUpdate(update) if self.is_synced:
                self.doc.apply_update(update)
            case SyncUpdate(update):
                self._early.append(update)
            case SyncStep2(update):
                self.doc.apply_update(merge_updates(*self._early, update))
                self._early.clear()
                self.is_synced = True
            case SyncStep1(state_vector):
                if self.answers:
                    await self.send(SyncStep2(Update(self.doc.get_update(state_vector))))
            case AwarenessUpdate(update):
                self._hear(update)
            case SyncStatus(payload):
                self.acknowledged.append(payload)

    def _hear(self, update: bytes) -> None:
        for client, clock, state in read_presence(update):
            self.presence_log.append((client, clock, state))
            self.present[client] = clock, state


def read_presence(update: bytes) -> Iterator[tuple[int, int, Any]]:
    """Read an awareness update as (client, clock, state)."""
    decoder = Decoder(update)
    for _ in range(decoder.read_count()):
        yield decoder.read_var_uint(), decoder.read_var_uint(), json.loads(decoder.read_var_string())


def presence(*entries: tuple[int, int, object]) -> bytes:
    """Encode an awareness update of (client, clock, state)."""
    parts = [encode_var_uint(len(entries))]
    for client, clock, state in entries:
        parts += [encode_var_uint(client), encode_var_uint(clock), encode_var_string(json.dumps(state))]
    return b"".join(parts)


def update_of(content: str, client_id: int | None = None) -> Update:
    """Return an update of a fresh client that inserts ``content`` into the text."""
    doc: Doc[Text] = Doc(client_id=client_id) if client_id is not None else Doc()
    doc.get("t", type=Text).insert(0, content)
    return Update(doc.get_update())


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logged from warning on, in order."""
    ours = ("cowrite", "uvicorn", "asyncio")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record for record in warnings if record.name.split(".")[0] in ours]
