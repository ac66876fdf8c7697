"""WebSockets on uvicorn, with a direct path from the socket to the connection and back.

The stream is cut into whole frames here, and websockets' parser sees only whole frames, one at a
time: it stands at a frame boundary whenever anybody looks. Once a sink is served, whole binary
messages do not go through the parser at all; everything else (text, fragments, control frames,
anything malformed) does, and reaches the same sink in order. An ASGI app that never asks for the
direct path gets uvicorn's ordinary ``receive`` and ``send``.
"""

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import ParamSpec

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame as ParsedFrame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from crdt.errors import CloseCode
from server.transport import DIRECT, Frame, Sink

__all__ = ["CowriteProtocol", "UvicornTransport"]

_logger = logging.getLogger("cowrite.transport")
_P = ParamSpec("_P")

_FINAL_BINARY = 0x82
_EMPTY_PING = b"\x89\x00"
_FRAGMENTS_LIMIT = 16_384
"""Frames of one message; empty ones would otherwise pile up without ever reaching the size limit."""
_NOTSENT_LOWAT_BYTES = 131_072
# Named in the socket module from Python 3.12 on.
_TCP_NOTSENT_LOWAT = 25 if sys.platform == "linux" else None
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
        # S12: at level DEBUG the parser logs the request's path and headers, tokens included.
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

        # S12: uvicorn logs path and query of self.scope; only the app may see the query.
        self.scope = {**scope, "query_string": b""}
        self.app = with_whole_scope
        await super().run_asgi()

    def open(self, write_budget_bytes: int) -> "UvicornTransport":
        """Give the direct way to this connection; once, after ``websocket.accept``."""
        assert self.handshake_complete and self._direct is None
        self._direct = UvicornTransport(self, write_budget_bytes)
        return self._direct

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Take the whole frames of what was received; keep the incomplete rest."""
        self.has_activity = True
        if not self.handshake_initiated:
            super().data_received(data)
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
        at, size, limit = 0, len(data), self.config.ws_max_size
        while at < size and not self.conn.eof_sent and not self.transport.is_closing():
            start, end = _measure(data, at, size)
            if start <= size and (end - start > limit or data[at + 1] < 0x80):
                # Too large or not masked: the parser refuses it by its header alone.
                super().data_received(bytes(data[at:]))
                return
            if end > size:
                self._rest, self._wanted = bytearray(memoryview(data)[at:]), end - at
                return
            if data[at] == _FINAL_BINARY and self._direct is not None and self._takes_messages:
                self._direct.deliver(apply_mask(data[start:end], data[start - 4 : start]))
            else:
                super().data_received(bytes(data[at:end]))
            at = end

    @property
    def _takes_messages(self) -> bool:
        """Whether a final frame is a whole message now, for the sink."""
        direct, conn = self._direct, self.conn
        is_open = conn.state is State.OPEN and conn.current_size is None
        return is_open and direct is not None and direct.is_serving

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

    # Back pressure

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

    # The end

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


class UvicornTransport:
    """``Transport`` on a ``CowriteProtocol``: calls go straight to and from the event loop's transport.

    Reading is paused at once, and of what was already received at most one chunk is kept. Closing
    takes at most ``close_timeout`` (10) seconds, a peer that does not read included.
    """

    def __init__(self, protocol: CowriteProtocol, write_budget_bytes: int) -> None:
        tcp = protocol.transport
        self.is_serving = False
        """Whether messages go to the sink."""
        self._protocol = protocol
        self._sink: Sink | None = None
        self._over = asyncio.Event()
        self._kept: deque[bytes | None] = deque()  # messages, None for a text
        self._write: Callable[[bytes], None] = tcp.write
        self._writelines: Callable[[tuple[bytes, bytes]], None] = tcp.writelines
        if tcp.is_closing() or protocol.conn.state is not State.OPEN:
            self.stop_writing()
        else:
            tcp.set_write_buffer_limits(high=write_budget_bytes, low=write_budget_bytes // 4)
            _limit_unsent(tcp)

    async def serve(self, sink: Sink) -> None:
        """See ``Transport``; when cancelled, the connection is aborted."""
        assert self._sink is None
        self._sink, self.is_serving = sink, True
        queue = self._protocol.queue
        while not queue.empty():
            event = queue.get_nowait()
            if event["type"] == "websocket.receive":
                self._kept.append(event.get("bytes"))
        if not self._protocol.writable.is_set():
            self._call(sink.pause_writing)
        self._protocol.read_paused = False
        self._read_on()
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            self.abort()
            self._finish()
            raise

    def write(self, frame: Frame) -> None:
        """See ``Transport``."""
        wire = frame.wire
        if wire is None:
            self._writelines((frame.header, frame.payload))
        else:
            self._write(wire)

    def ping(self) -> None:
        """Send an empty ping; the answer counts as activity."""
        self._write(_EMPTY_PING)

    def pause_reading(self) -> None:
        """See ``Transport``; what was received with the message in hand is kept."""
        if not self._protocol.read_paused and not self._protocol.close_sent:
            self._protocol.read_paused = True
            self._protocol.transport.pause_reading()

    def resume_reading(self) -> None:
        """See ``Transport``; the sink is not called from within."""
        if self._protocol.read_paused:
            self._protocol.read_paused = False
            self._protocol.loop.call_soon(self._read_on)

    def close(self, code: int, reason: str) -> None:
        """See ``Transport``; messages that wait or still come are dropped."""
        self._drop_received()
        self._protocol.start_close(code, reason)

    def abort(self) -> None:
        """See ``Transport``."""
        self._drop_received()
        self.stop_writing()
        self._protocol.transport.abort()

    @property
    def is_reading_paused(self) -> bool:
        """See ``Transport``."""
        return self._protocol.read_paused

    @property
    def unsent_bytes(self) -> int:
        """See ``Transport``."""
        return self._protocol.transport.get_write_buffer_size()

    def take_activity(self) -> bool:
        """See ``Transport``; pongs count."""
        has_activity, self._protocol.has_activity = self._protocol.has_activity, False
        return has_activity

    # For the protocol

    def deliver(self, message: bytes | None) -> None:
        """Hand one message (None: a text) to the sink, now or after those that are kept."""
        if self._protocol.read_paused or self._kept:
            self._kept.append(message)
        else:
            self._hand_over(message)

    def writing_paused(self) -> None:
        """Learn that the write budget is exceeded."""
        if self._sink is not None:
            self._call(self._sink.pause_writing)

    def writing_resumed(self) -> None:
        """Learn that most of it has gone."""
        if self._sink is not None:
            self._call(self._sink.resume_writing)

    def stop_writing(self) -> None:
        """Drop everything that is written from now on."""
        self._write = self._writelines = _drop

    def finish_if_over(self) -> None:
        """Tell the sink that the connection is over, unless there are messages to deliver before."""
        if not self._kept and (self._protocol.disconnected or self._protocol.conn.close_rcvd is not None):
            self._finish()

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            self._call(sink.connection_lost, clean=self._protocol.conn.close_rcvd is not None)
            self._over.set()

    def _read_on(self) -> None:
        while self._kept and not self._protocol.read_paused:
            self._hand_over(self._kept.popleft())
        self.finish_if_over()
        if not self._protocol.read_paused:
            self._protocol.transport.resume_reading()

    def _hand_over(self, message: bytes | None) -> None:
        if self._sink is None:
            return
        if message is None:
            self._call(self._sink.text_received)
        else:
            self._call(self._sink.message_received, message)

    def _drop_received(self) -> None:
        self._kept.clear()
        while not self._protocol.queue.empty():
            self._protocol.queue.get_nowait()

    def _call(self, method: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            _logger.exception("a connection failed")
            self.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)


def _measure(data: bytes | bytearray, at: int, size: int) -> tuple[int, int]:
    """Return where the payload of the frame at ``at`` starts and ends (RFC 6455, 5.2).

    Both lie beyond ``size`` when the header is not complete.
    """
    start = at + 2
    if start > size:
        return start, start
    length = data[at + 1] & 0x7F
    if length == 126:
        start += 2
        length = int.from_bytes(data[at + 2 : start], "big")
    elif length == 127:
        start += 8
        length = int.from_bytes(data[at + 2 : start], "big")
    if data[at + 1] >= 0x80:
        start += 4
    return (start, start + length) if start <= size else (start, start)


def _limit_unsent(tcp: asyncio.Transport) -> None:
    # Else the kernel hides up to 4 MB per slow reader from the write budget.
    sock = tcp.get_extra_info("socket")
    if _TCP_NOTSENT_LOWAT and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)


def _drop(_data: object) -> None:
    """Stand in for a transport's write when the connection is over."""
