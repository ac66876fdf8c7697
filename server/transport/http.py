"""HTTP on uvicorn, with bounds: its parser waits for ever, and keeps all that comes of a request."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_LIMIT_BYTES", "HEAD_LIMIT_S", "BoundedHttp"]

HEAD_LIMIT_BYTES = 64 * 1024
"""Of a request, its body left out. Cookies of a large site take 8 KB."""
HEAD_LIMIT_S = 10.0
"""From its first byte, or from the connection, until a request is there but for its body."""

_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"


class BoundedHttp(HttpToolsProtocol):
    """One connection (``http=BoundedHttp``) until it becomes a WebSocket; who exceeds a bound is refused."""

    _received_bytes = 0
    """Of the request that is under way, its body left out."""
    _deadline: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._is_refused:
            return
        self._received_bytes += len(data)
        super().data_received(data)
        if self._received_bytes > HEAD_LIMIT_BYTES:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request that has begun."""
        self._start_waiting()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a request that is whole but for its body."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, of which uvicorn reads no more than the app takes."""
        self._received_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._received_bytes = 0
        super().on_message_complete()

    def _start_waiting(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_LIMIT_S, self._refuse, _TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
        # Closing at once, with more in flight, would reset the connection: the client would not learn why.
        self.transport.write_eof()
        self._is_refused = True
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_LIMIT_S, self.transport.abort)
