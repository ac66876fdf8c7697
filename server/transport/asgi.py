"""WebSockets on any ASGI server, through ``receive`` and ``send``; slower than the direct path."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import ParamSpec

from starlette.types import Message, Receive, Scope, Send

from crdt.errors import CloseCode
from server.transport import DIRECT, Frame, Sink, Transport, payloads_of
from server.transport.receive_budget import ReceiveBudget

__all__ = ["AsgiTransport", "open_transport"]

_logger = logging.getLogger("cowrite.transport")
_P = ParamSpec("_P")

_CLOSE_TIMEOUT_S = 10.0
_EXCESS_LIMIT_BYTES = 64 * 2**20


def open_transport(
    scope: Scope,
    receive: Receive,
    send: Send,
    write_budget_bytes: int,
    receive_budget: ReceiveBudget,
    largest_bytes: int | None = None,
) -> Transport:
    """Give the best way the server offers to a WebSocket that was accepted; once per connection.

    ``largest_bytes`` is the largest message taken, where it is less than the server's own limit and the
    server lets us say so.
    """
    direct = scope.get("extensions", {}).get(DIRECT)
    if direct is None:
        return AsgiTransport(receive, send, write_budget_bytes)
    transport: Transport = direct["open"](write_budget_bytes, receive_budget, largest_bytes)
    return transport


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    """Our close frame is queued; nothing is delivered or queued any more."""
    OVER = auto()


class AsgiTransport:
    """``Transport`` on ``receive`` and ``send``: one reader, one writer, one queue between.

    When the queue is full, the sink is told, and a room sends nothing more to a paused sink. What is
    written all the same has a hard end: 64 MiB above the budget the connection is aborted.

    The server hides some things. It sends the pings and ends dead connections, so ``ping`` does
    nothing and there is always activity. It holds messages that are not complete, which nobody counts, and
    refuses oversize and malformed frames with its own close codes. Where it reports every loss alike, none is
    clean. Aborting means that the app returns, and some servers send a close frame then.
    """

    def __init__(self, receive: Receive, send: Send, write_budget_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._high = write_budget_bytes
        self._low = write_budget_bytes // 4
        self._state = _State.OPEN
        self._sink: Sink | None = None
        self._queue: deque[Frame] = deque()
        self._close: tuple[int, str] | None = None
        self._unsent_bytes = 0
        self._is_writing_paused = False
        self._has_output = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._deadline: float | None = None
        self._timeout: asyncio.Timeout | None = None

    async def serve(self, sink: Sink) -> None:
        """See ``Transport``; when cancelled, the connection ends with the app."""
        assert self._sink is None
        self._sink = sink
        is_clean = False
        if self._is_writing_paused:
            self._call(sink.pause_writing)
        try:
            async with asyncio.timeout_at(self._deadline) as self._timeout, asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write_queued())
                is_clean = await self._read()
                writer.cancel()
        except TimeoutError:
            pass  # aborted, or the closing took too long
        finally:
            self._timeout = None
            self._end_writing()
            self._call(sink.connection_lost, clean=is_clean)

    def write(self, frame: Frame) -> None:
        """See ``Transport``."""
        if self._state is not _State.OPEN:
            return
        self._queue.append(frame)
        self._unsent_bytes += len(frame)
        self._has_output.set()
        if self._unsent_bytes > self._high:
            self._budget_exceeded()

    def ping(self) -> None:
        """Do nothing: the server pings by itself."""

    def pause_reading(self) -> None:
        """See ``Transport``; one message in flight is kept."""
        if self._state is _State.OPEN:
            self._may_read.clear()

    def resume_reading(self) -> None:
        """See ``Transport``."""
        self._may_read.set()

    def close(self, code: int, reason: str) -> None:
        """See ``Transport``; takes at most 10 seconds."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._close = code, reason
            self._has_output.set()
            self._may_read.set()
            self._end_in(_CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        """See ``Transport``."""
        if self._state is not _State.OVER:
            self._end_writing()
            self._end_in(0)

    @property
    def is_reading_paused(self) -> bool:
        """See ``Transport``."""
        return not self._may_read.is_set()

    @property
    def unsent_bytes(self) -> int:
        """See ``Transport``; what the server itself holds is unknown."""
        return self._unsent_bytes

    def take_activity(self) -> bool:
        """Always True: only the server sees the bytes, and it ends dead connections by itself."""
        return True

    async def _read(self) -> bool:
        """Deliver until the server reports the end; return whether it was clean."""
        while True:
            await self._may_read.wait()
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return _is_clean(message)
            await self._may_read.wait()
            if self._state is _State.OPEN and self._sink is not None:
                self._deliver(self._sink, message)

    def _deliver(self, sink: Sink, message: Message) -> None:
        payload = message.get("bytes")
        if payload is None:
            self._call(sink.text_received)
        else:
            self._call(sink.message_received, payload)

    async def _write_queued(self) -> None:
        try:
            while await self._has_output.wait():
                while self._queue:
                    frame = self._queue[0]
                    for payload in payloads_of(frame):
                        await self._send({"type": "websocket.send", "bytes": payload})
                    self._written(frame)
                self._has_output.clear()
                if self._close is not None:
                    code, reason = self._close
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                    return
        except (OSError, RuntimeError):
            # The connection is gone (OSError by the specification; uvicorn raises RuntimeError when
            # it has closed by itself). ``receive`` says how.
            self._end_writing()

    def _written(self, frame: Frame) -> None:
        if self._state is _State.OVER:
            return
        self._queue.popleft()
        self._unsent_bytes -= len(frame)
        if self._is_writing_paused and self._unsent_bytes <= self._low:
            self._is_writing_paused = False
            if self._sink is not None:
                self._call(self._sink.resume_writing)

    def _budget_exceeded(self) -> None:
        if self._unsent_bytes > self._high + _EXCESS_LIMIT_BYTES:
            self.abort()
        elif not self._is_writing_paused:
            self._is_writing_paused = True
            if self._sink is not None:
                self._call(self._sink.pause_writing)

    def _end_writing(self) -> None:
        self._state = _State.OVER
        self._queue.clear()
        self._unsent_bytes = 0

    def _end_in(self, delay_s: float) -> None:
        self._deadline = asyncio.get_running_loop().time() + delay_s
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._deadline)

    def _call(self, method: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            _logger.exception("a connection failed")
            self.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)


def _is_clean(disconnect: Message) -> bool:
    """Tell whether a close frame came, as far as servers say so.

    1005 stands for a close frame without a code, and then has a reason; uvicorn also reports a lost
    connection as 1005, without one. 1006 is always a lost connection.
    """
    code = disconnect.get("code", 1005)
    return bool(code != 1006 and (code != 1005 or "reason" in disconnect))
