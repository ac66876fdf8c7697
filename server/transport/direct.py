"""The direct way between a connection and uvicorn's socket: plain calls, no queue and no task between.

Belongs to ``CowriteProtocol`` (server/transport/uvicorn.py), which cuts the stream into messages.
"""

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from websockets.protocol import State

from crdt.errors import CloseCode
from server.transport import Frame, Sink

if TYPE_CHECKING:
    from server.transport.uvicorn import CowriteProtocol

__all__ = ["UvicornTransport"]

_logger = logging.getLogger("cowrite.transport")
_P = ParamSpec("_P")

_EMPTY_PING = b"\x89\x00"
_NOTSENT_LOWAT_BYTES = 131_072
# Named in the socket module from Python 3.12 on.
_TCP_NOTSENT_LOWAT = 25 if sys.platform == "linux" else None


class UvicornTransport:
    """``Transport`` on a ``CowriteProtocol``: calls go straight to and from the event loop's transport.

    Reading is paused at once, and of what was already received at most one chunk is kept. Closing
    takes at most ``close_timeout`` (10) seconds, a peer that does not read included.
    """

    def __init__(self, protocol: "CowriteProtocol", write_budget_bytes: int) -> None:
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
            self._call(sink.connection_lost, clean=self._has_left)
            self._over.set()

    @property
    def _has_left(self) -> bool:
        """Whether the peer closed, unless only because it was sent away to come back at once (A6)."""
        connection = self._protocol.conn
        was_sent_away = connection.close_sent is not None and connection.close_sent.code == CloseCode.RESTART
        return connection.close_rcvd is not None and (
            not was_sent_away or connection.close_rcvd_then_sent is True
        )

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
        if self._kept:
            self._kept.clear()
            self._protocol.loop.call_soon(self.finish_if_over)  # which may have waited for them
        while not self._protocol.queue.empty():
            self._protocol.queue.get_nowait()

    def _call(self, method: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            _logger.exception("a connection failed")
            self.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)


def _limit_unsent(tcp: asyncio.Transport) -> None:
    # Else the kernel hides up to 4 MB per slow reader from the write budget.
    sock = tcp.get_extra_info("socket")
    if _TCP_NOTSENT_LOWAT and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)


def _drop(_data: object) -> None:
    """Stand in for a transport's write when the connection is over."""
