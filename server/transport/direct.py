"""The direct way between a connection and uvicorn's socket: plain calls, no queue and no task between."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import ParamSpec

from crdt.errors import CloseCode
from server.transport import Sink
from server.transport.reading import BudgetedReader
from server.transport.receive_budget import ReceiveBudget
from server.transport.unsent import limit_unsent

__all__ = ["CLOSE_TIMEOUT_S", "UvicornTransport"]

_logger = logging.getLogger("cowrite.transport")
_P = ParamSpec("_P")

CLOSE_TIMEOUT_S = 10.0
"""How long the peer may take to read and to answer a close frame."""

_EMPTY_PING = b"\x89\x00"


class UvicornTransport(BudgetedReader):
    """``Transport`` that is itself the protocol of uvicorn's socket, once the app asks for it.

    It lives by callbacks alone: ``serve`` returns at once. Reading is paused until then, and later at
    most one chunk of what was received is kept. Closing takes at most ``CLOSE_TIMEOUT_S``, a peer that
    does not read included.
    """

    __slots__ = (
        "_closing",
        "_is_lost",
        "_is_writing_paused",
        "_kept",
        "_peers",
        "_sink",
        "is_serving",
        "write",
    )

    def __init__(self, tcp: asyncio.Transport, peers: set[object], max_size: int) -> None:
        super().__init__(tcp, max_size)
        self.is_serving = False
        """Whether ``serve`` was called."""
        self._peers = peers
        """All connections of the server, which waits for them when it stops."""
        self._sink: Sink | None = None
        self._kept: deque[bytes | None] | None = None
        """Messages, None for a text. An empty deque takes 760 bytes: it is made when there is one to keep."""
        self.write: Callable[[bytes], None] = tcp.write
        """See ``Transport``. No method of ours between saves 0.5 µs of 12 for each frame and reader."""
        self._closing: asyncio.TimerHandle | None = None
        self._is_lost = False
        self._is_writing_paused = False

    def take_over(self) -> None:
        """Become the protocol of the socket, whose reading is paused."""
        self._peers.add(self)
        self._tcp.set_protocol(self)
        if self._tcp.is_closing():
            self.write = _drop

    def limit(self, write_budget_bytes: int, receive_budget: ReceiveBudget) -> None:
        """Tell the sink when more than ``write_budget_bytes`` wait for the peer; count what is received."""
        self._budget = receive_budget
        if self.is_open:
            self._tcp.set_write_buffer_limits(high=write_budget_bytes, low=write_budget_bytes // 4)
            limit_unsent(self._tcp)

    async def serve(self, sink: Sink) -> None:
        """See ``Transport``; returns at once, and the sink goes on hearing."""
        assert not self.is_serving
        self._sink, self.is_serving = sink, True
        if self._is_writing_paused:
            self._call(sink.pause_writing)
        self.is_reading_paused = False
        self.go_on()

    def ping(self) -> None:
        """Send an empty ping; the answer counts as activity."""
        self.write(_EMPTY_PING)

    def close(self, code: int, reason: str) -> None:
        """See ``Transport``; messages that wait or still come are dropped."""
        self._drop_kept()
        self.uncount()
        if self.is_open:
            self._tcp.write(self.close_frame(code, reason))
            self._wind_up()
            self.is_reading_paused = False
            self._tcp.resume_reading()

    def abort(self) -> None:
        """See ``Transport``."""
        self._drop_kept()
        self.uncount()
        self.write = _drop
        self._tcp.abort()

    def shutdown(self) -> None:
        """Tell the peer that the server restarts (uvicorn calls this when it stops)."""
        self.close(CloseCode.RESTART, CloseCode.RESTART.phrase)

    @property
    def unsent_bytes(self) -> int:
        """See ``Transport``."""
        return self._tcp.get_write_buffer_size()

    def message_read(self, message: bytes | None) -> None:
        """Hand one message to the sink, now or after those that are kept."""
        if self.is_reading_paused or self._kept:
            if self._kept is None:
                self._kept = deque()
            self._kept.append(message)
        elif message is None or self._sink is None:
            self._hand_over(message)
        else:
            # As _hand_over does, in two calls less: nearly all that is received.
            try:
                self._sink.message_received(message)
            except Exception:
                self._failed()

    def ping_read(self, pong: bytes) -> None:
        """Answer, unless the peer floods us with pings and does not read the answers."""
        if not self._is_writing_paused:
            self._tcp.write(pong)

    def close_read(self, answer: bytes) -> None:
        """Complete the closing handshake; the sink learns of it at once."""
        if not self._tcp.is_closing():
            if answer:
                self._tcp.write(answer)
            self._tcp.close()
        self._wind_up()
        self._finish_if_over()

    def malformed_read(self, answer: bytes) -> None:
        """Send the close frame with which the parser failed; drop what comes until the peer ends, too.

        Closing at once, with more in flight, would reset the connection: the peer would not learn why.
        """
        assert self._parser is not None
        code, reason = self._parser.refusal
        self.uncount()
        if self._sink is not None:
            self._call(self._sink.malformed_received, code, reason)
        if answer:
            self._tcp.write(answer)
        self._wind_up()
        if self._tcp.can_write_eof():
            self._tcp.write_eof()
        else:
            self._tcp.close()

    def pause_writing(self) -> None:
        """Tell the sink that the write budget is exceeded."""
        self._is_writing_paused = True
        if self._sink is not None:
            self._call(self._sink.pause_writing)

    def resume_writing(self) -> None:
        """Tell the sink that most of it has gone."""
        self._is_writing_paused = False
        if self._sink is not None:
            self._call(self._sink.resume_writing)

    def eof_received(self) -> None:
        """Let the event loop close the connection, in bounded time."""
        self._wind_up()

    def give_up(self) -> None:
        """See ``Receiver``."""
        code = CloseCode.OVERLOADED
        if self._sink is not None:
            self._call(self._sink.malformed_received, int(code), "too much is under way")
        self.close(code, code.phrase)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the sink, after everything that was received before."""
        self._peers.discard(self)
        self._is_lost = True
        if not self.is_reading_paused:
            self.uncount()
        self.write = _drop
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self._finish_if_over()

    def _wind_up(self) -> None:
        """Write nothing more; what is queued has ``CLOSE_TIMEOUT_S`` to go out."""
        self.write = _drop
        if self._closing is None and not self._is_lost:
            self._closing = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._tcp.abort)

    def _finish_if_over(self) -> None:
        """Tell the sink that the connection is over, unless there are messages to deliver before."""
        is_over = self._is_lost or (self._parser is not None and self._parser.close_rcvd is not None)
        if is_over and not self._kept and self._sink is not None:
            sink, self._sink = self._sink, None
            self._call(sink.connection_lost, clean=self._parser is not None and self._parser.peer_has_left)

    def go_on(self) -> None:
        """Hand over what is kept, and read."""
        while self._kept and not self.is_reading_paused:
            self._hand_over(self._kept.popleft())
        self._finish_if_over()
        if not self.is_reading_paused:
            self._kept = None
            self.uncount()
            self.read_socket()

    def _hand_over(self, message: bytes | None) -> None:
        if self._sink is None:
            return
        if message is None:
            self._call(self._sink.text_received)
        else:
            self._call(self._sink.message_received, message)

    def _drop_kept(self) -> None:
        if self._kept:
            self._kept = None
            asyncio.get_running_loop().call_soon(self._finish_if_over)  # which may have waited for them

    def _call(self, method: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        _logger.exception("a connection failed")
        self.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)


def _drop(_data: bytes) -> None:
    """Stand in for a transport's write when the connection is over."""
