"""WebSockets on uvicorn, with a direct path from the socket to the connection and back.

The stream is cut into whole frames here, and websockets' parser sees only whole frames, one at a
time: it stands at a frame boundary whenever anybody looks. Once a sink is served, whole binary
messages do not go through the parser at all; everything else (text, fragments, control frames,
anything malformed) does, and reaches the same sink in order. An ASGI app that never asks for the
direct path gets uvicorn's ordinary ``receive`` and ``send``.
"""

import asyncio
import logging

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame as ParsedFrame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from crdt.errors import CloseCode
from server.transport import DIRECT
from server.transport.direct import UvicornTransport
from server.transport.framing import measure

__all__ = ["CowriteProtocol"]

_logger = logging.getLogger("cowrite.transport")

_PATH_SHOWN = 300
"""Characters of the path that a refusal logs."""
_FINAL_BINARY = 0x82
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FRAGMENTS_LIMIT = 16_384
"""Frames of one message; empty ones would otherwise pile up without ever reaching the size limit."""
_OUR_CODES: dict[int, CloseCode] = {
    StandardCode.PROTOCOL_ERROR: CloseCode.MALFORMED,
    StandardCode.INVALID_DATA: CloseCode.MALFORMED,
    StandardCode.MESSAGE_TOO_BIG: CloseCode.TOO_LARGE,
    StandardCode.INTERNAL_ERROR: CloseCode.FAILURE,
    StandardCode.SERVICE_RESTART: CloseCode.RESTART,
}


class _Parser(ServerProtocol):
    """websockets' state machine, speaking our close codes and fixed phrases."""

    def fail(self, code: int, reason: str = "") -> None:
        ours = _OUR_CODES.get(code)
        super().fail(*((ours, ours.phrase) if ours else (code, reason)))

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        ours = None if code is None else _OUR_CODES.get(code)
        super().send_close(*((ours, ours.phrase) if ours else (code, reason)))


class CowriteProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol (``ws=CowriteProtocol``), offering the direct path in the scope.

    ``scope["extensions"][DIRECT]["open"](write_budget_bytes)`` gives the ``UvicornTransport`` of an
    accepted connection.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Parser(
            extensions=self.conn.available_extensions,
            max_size=config.ws_max_size,
            logger=logging.getLogger("uvicorn.error"),
        )
        # T8: at level DEBUG the parser logs the request's path and headers, tokens included.
        self.conn.debug = False
        self.has_activity = False
        """Whether anything was received since this was last set to False."""
        self._direct: UvicornTransport | None = None
        self._rest = bytearray()  # an incomplete frame: at most ws_max_size and one chunk
        self._wanted = 0  # the length at which it is worth another look

    async def run_asgi(self) -> None:
        """Run the app with the direct path in its scope."""
        app, scope = self.app, self.scope
        scope["extensions"][DIRECT] = {"open": self.open}

        async def with_whole_scope(_scope: object, receive: object, send: object) -> object:
            return await app(scope, receive, send)

        # T8: uvicorn logs path and query of self.scope; only the app may see the query.
        self.scope = {**scope, "query_string": b""}
        self.app = with_whole_scope
        await super().run_asgi()

    def open(self, write_budget_bytes: int) -> UvicornTransport:
        """Give the direct way to this connection; once, after ``websocket.accept``."""
        assert self.handshake_complete and self._direct is None
        self._direct = UvicornTransport(self, write_budget_bytes)
        return self._direct

    def data_received(self, data: bytes) -> None:
        """Take the whole frames of what was received; keep the incomplete rest."""
        self.has_activity = True
        if not self.handshake_initiated:
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                # The parser gives up on a line above 8 KB without a word, and the client would wait for ever.
                self.transport.write(_TOO_LONG)
                self.transport.close()
        elif not self.handshake_complete:
            self.transport.abort()  # RFC 6455, 4.1: the client must wait for our response
        elif not self._rest:
            self._take(data)
        elif not self.conn.eof_sent:
            self._rest += data
            if len(self._rest) >= self._wanted:
                whole, self._rest = self._rest, bytearray()
                self._take(whole)

    def _take(self, data: bytes | bytearray) -> None:
        conn, at, size, limit = self.conn, 0, len(data), self.config.ws_max_size
        while at < size and not conn.eof_sent and not self.transport.is_closing():
            start, end = measure(data, at, size)
            if start <= size and (end - start > limit or data[at + 1] < 0x80):
                # Too large or not masked: the parser refuses it by its header alone.
                super().data_received(bytes(data[at:]))
                return
            if end > size:
                self._rest, self._wanted = bytearray(memoryview(data)[at:]), end - at
                return
            direct = self._direct
            if (
                data[at] == _FINAL_BINARY
                and direct is not None
                and direct.is_serving
                and not self.close_sent
                and conn.current_size is None
            ):
                direct.deliver(apply_mask(data[start:end], data[start - 4 : start]))
            else:
                super().data_received(bytes(data[at:end]))
            at = end

    def send_receive_event_to_app(self) -> None:
        """Hand over a message that came through the parser; in direct mode nothing pauses reading."""
        if self._direct is None or not self._direct.is_serving:
            super().send_receive_event_to_app()
            return
        frames, self.frames = self.frames, []
        if not self.close_sent:
            self._direct.deliver(b"".join(frames) if self.curr_msg_data_type == "bytes" else None)

    def handle_cont(self, event: ParsedFrame) -> None:
        """Collect a fragment."""
        if len(self.frames) < _FRAGMENTS_LIMIT:
            super().handle_cont(event)
        else:
            self.conn.fail(StandardCode.MESSAGE_TOO_BIG)
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer, unless the peer floods us with pings and does not read the answers."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def pause_writing(self) -> None:
        """Pass on that the write budget is exceeded."""
        super().pause_writing()
        if self._direct is not None:
            self._direct.writing_paused()

    def resume_writing(self) -> None:
        """Pass on that most of it has gone."""
        super().resume_writing()
        if self._direct is not None:
            self._direct.writing_resumed()

    def start_close(self, code: int, reason: str) -> None:
        """Send a close frame after what is queued; wait ``close_timeout`` seconds for the answer."""
        if not self.transport.is_closing() and self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.wind_up()
            self.read_paused = False
            self.transport.resume_reading()

    def wind_up(self) -> None:
        """Write nothing more; what is queued has ``close_timeout`` seconds to go out."""
        if self._direct is not None:
            self._direct.stop_writing()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def shutdown(self) -> None:
        """Tell the peer that the server restarts (uvicorn calls this when it stops)."""
        self.stop_keepalive()
        if not self.handshake_complete:
            super().shutdown()
        elif self._direct is not None:
            self._direct.close(CloseCode.RESTART, CloseCode.RESTART.phrase)
        else:
            self.start_close(CloseCode.RESTART, CloseCode.RESTART.phrase)

    def handle_close(self, event: ParsedFrame) -> None:
        """Complete the closing handshake; the sink learns of it at once."""
        super().handle_close(event)
        self.wind_up()
        if self._direct is not None:
            self._direct.finish_if_over()

    def handle_parser_exception(self) -> None:
        """Send the close frame with which the parser failed; drop what comes until the peer ends, too.

        Closing at once, with more in flight, would reset the connection: the peer would not learn why.
        """
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        fields = {"path": self.scope["path"][:_PATH_SHOWN], "code": code}
        _logger.warning("refused: %s", reason, extra=fields)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.wind_up()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def eof_received(self) -> None:
        """Let the event loop close the connection, in bounded time."""
        self.wind_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the sink, after everything that was received before."""
        self.wind_up()
        super().connection_lost(exc)
        if self._direct is not None:
            self._direct.finish_if_over()
