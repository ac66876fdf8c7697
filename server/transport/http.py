"""HTTP on uvicorn, with bounds: its parser waits for ever, and keeps all that comes of a request."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.transport.handshake import closing_response

__all__ = ["HEAD_LIMIT_BYTES", "HEAD_LIMIT_S", "BoundedHttp"]

HEAD_LIMIT_BYTES = 64 * 1024
"""Of a request, its body left out. Cookies of a large site take 8 KB."""
HEAD_LIMIT_S = 10.0
"""Until a request is there, but for its body: from when nothing else bounds the connection's time."""

_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"
_BAD = b"400 Bad Request"


class BoundedHttp(HttpToolsProtocol):
    """One connection (``http=BoundedHttp``) until it becomes a WebSocket; who exceeds a bound is refused.

    Three things bound a connection's time: ``HEAD_LIMIT_S``, the app that answers, and uvicorn's keep-alive.
    """

    _head_bytes = 0
    """Of path and headers that are complete."""
    _awaited_bytes = 0
    """What has come while a head was awaited."""
    _deadline: asyncio.TimerHandle | None = None
    """Set while a head is awaited."""
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._is_refused:
            return
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if not self._is_answering and self.timeout_keep_alive_task is None:
            self._await_head()
        if self._deadline is not None:
            self._awaited_bytes += len(data)
            if self._awaited_bytes > HEAD_LIMIT_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request that has begun."""
        self._head_bytes = 0
        self._await_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or what follows a body in pieces."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take a request that is whole but for its body, of which uvicorn reads what the app takes."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or is too large."""
        self._refuse(_BAD)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(_TOO_LARGE)
            raise ValueError("too large")  # which ends the parser's work: the app must not be asked

    def _await_head(self) -> None:
        if self._deadline is None:
            self._awaited_bytes = 0
            self._deadline = self.loop.call_later(HEAD_LIMIT_S, self._refuse, _TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._stop_waiting()
        if self._is_answering:
            # Anything written now would be read as a part of that answer.
            self.transport.abort()
            return
        self.transport.write(closing_response(status))
        # Closing at once, with more in flight, would reset the connection: the client would not learn why.
        self.transport.write_eof()
        self._deadline = self.loop.call_later(HEAD_LIMIT_S, self.transport.abort)
