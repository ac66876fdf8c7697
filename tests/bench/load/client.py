"""One connection to one document that answers what it must and counts the rest."""

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from crdt.encoding import Decoder
from tests.bench.load.wire import (
    EMPTY_STATE_VECTOR,
    EMPTY_UPDATE,
    STEP_1,
    STEP_2,
    SYNC_KINDS,
    step_1,
    step_2,
    wire_to,
)
from tests.bench.systems.contract import Server

__all__ = ["Client", "Lost"]

FRAME_LIMIT_BYTES = 64 * 2**20
READ_BUFFER_BYTES = 8 * 2**10
HANDSHAKE_LIMIT_S = 60.0


class Lost(Exception):
    """A connection that the server ended."""


class Client(WSListener):
    """Syncs, then only counts bytes. ``held`` is the update with all that it brings along."""

    def __init__(self, server: Server, document: str, *, held: bytes = EMPTY_UPDATE) -> None:
        self.server = server
        self.document = document
        self.wire = wire_to(server.dialect, document)
        self.synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a sync step 2 came in whole; failed when the connection ended before."""
        self.received_bytes = 0
        self.lost: str | None = None
        """How the server ended the connection; None: it did not."""
        self._held = held
        self._reads = True
        self._body = len(self.wire.prefix)
        self._transport: WSTransport | None = None
        self._is_leaving = False

    async def connect(self) -> None:
        """Open the connection and send what a client sends first."""
        await ws_connect(
            lambda: self,
            self.server.url(self.document),
            max_frame_size=FRAME_LIMIT_BYTES,
            read_buffer_init_size=READ_BUFFER_BYTES,
            websocket_handshake_timeout=HANDSHAKE_LIMIT_S,
            # uvloop's transports set TCP_NODELAY.
            use_aiofastnet=False,
        )

    def send(self, message: bytes) -> None:
        """Send one message, framed for its document."""
        self.send_frame(self.wire.frame(message))

    def send_frame(self, frame: bytes) -> None:
        """Send what was framed before."""
        assert self._transport is not None, "not connected"
        self._transport.send(WSMsgType.BINARY, frame)

    def write(self, data: bytes) -> None:
        """Write whole WebSocket frames, masked before."""
        assert self._transport is not None, "not connected"
        self._transport.underlying_transport.write(data)

    def leave(self) -> None:
        """End the connection without a word."""
        self._is_leaving = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def state_vector(self) -> bytes:
        """Return what it says to have when it connects."""
        return EMPTY_STATE_VECTOR

    def missing(self, state_vector: bytes) -> bytes:
        """Return the update for a server that has ``state_vector``."""
        return self._held

    def take(self, kind: int, decoder: Decoder) -> None:
        """Take a message that is no sync step 1; ``decoder`` stands at its body."""

    def is_done(self) -> bool:
        """Whether the synced client only counts from now on."""
        return True

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet the server."""
        self._transport = transport
        if self.wire.opening:
            self.send_frame(self.wire.opening)
        self.send(step_1(self.state_vector()))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count; look inside only while there is something to learn."""
        self.received_bytes += frame.payload_size
        if self._reads and frame.msg_type is WSMsgType.BINARY:
            self._receive(frame.get_payload_as_bytes())

    def _receive(self, payload: bytes) -> None:
        at = self._body
        kind = payload[at]
        step = payload[at + 1] if kind in SYNC_KINDS else None
        if step == STEP_1:
            self.send(step_2(self.missing(Decoder(payload, at + 2).read_var_bytes())))
            return
        self.take(kind, Decoder(payload, at + 1))
        if step == STEP_2 and not self.synced.done():
            self.synced.set_result(None)
            self._reads = not self.is_done()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note how the connection ended, unless this side ended it."""
        self._transport = None
        if self._is_leaving:
            return
        handshake = transport.close_handshake
        close = handshake.recv if handshake is not None else None
        self.lost = "cut off" if close is None else f"closed with {int(close.code.value)}"
        if not self.synced.done():
            self.synced.set_exception(Lost(self.lost))
